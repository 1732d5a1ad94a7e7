"""Calls that are JSON objects, with or without a marker.

Hermes and Qwen 2.5 (mlx_lm.tool_parsers.json_tools), Llama 3 (vLLM llama3_json), Mistral (mlx_lm.tool_parsers.mistral),
Granite (vLLM granite and granite-20b-fc), Command-R (SGLang cohere_command4_detector), LFM2 (SGLang lfm2_detector).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gate.models.tool_calls.literals import decode, parsed_or_text
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_NAMES = ("name", "tool_name", "function_name", "function", "tool", "action")
_ARGUMENTS = ("arguments", "parameters", "args", "tool_input", "action_input", "input")
_WRAPPERS = ("tool_calls", "tool_call", "function_calls", "function_call", "function", "tool")
_CALL_KEYS = {"name", "tool_name", "arguments", "parameters", "id", "type", "tool_call_id"}
"""The keys of a call: an object with other keys is an answer, unless it names an offered tool."""

_NAME = re.compile(r"[^\W_]|_[^\W_]")
_IDENTIFIER = re.compile(r"[^\W\d][\w.:/-]{0,127}")
_BETWEEN = re.compile(r"[\s,;]*+")
_OPENING = re.compile(r"[\[{]")
_CALL_HEAD = re.compile(
    r"""\{+\s*["']name["']\s*:\s*["'](?P<name>[^"'\\\n]{1,128})["']\s*"""
    r"""(?:,\s*["'](?:arguments|parameters)["']\s*:\s*(?P<value>))?"""
)
_WRITTEN = re.compile(r"[\"':=“]")


def sequence(source: Source, at: int, tools: Tools) -> Reading:
    """Read the calls after a marker: objects or arrays one after another, also with separators between them."""
    calls: list[Json] = []
    while _OPENING.match(source.text, start := source.skip(_BETWEEN, at)):
        decoded = decode(source, start)
        if decoded is not None:
            calls += [_call(name, written, tools) for name, written, _ in _shapes(decoded[0])]
            at = decoded[1]
        elif source.text.startswith("[", start):  # Not closed, or one of its objects is broken: read them one by one.
            at = start + 1
        else:
            broken, at = _malformed(source, start, tools)
            calls += broken
            at = max(source.close(start) or at, at)
            if at == start:
                break
    return calls, at


def bare(value: Any, tools: Tools) -> list[Json]:
    """The calls in a value without a marker: those of offered tools, or objects with the keys of a call only."""
    return [
        _call(name, written, tools)
        for name, written, keys in _shapes(value)
        if _IDENTIFIER.fullmatch(name)
        and tools.admits(name)
        and (tools.offered or keys <= _CALL_KEYS)
        and isinstance(normalized(written), dict)
        and not _describes(written, keys)
    ]


def truncated(source: Source, at: int, tools: Tools) -> Reading:
    """Read a call of an offered tool without a marker that is truncated after its arguments."""
    head = _CALL_HEAD.match(source.text, at)
    if head is None or head["value"] is None or not tools.has(head["name"]):
        return [], at
    decoded = decode(source, head.end()) if _OPENING.match(source.text, head.end()) else None
    if decoded is None or not isinstance(decoded[0], dict):
        return [], at
    return [{"name": head["name"], "arguments": decoded[0]}], decoded[1]


def arguments(source: Source, at: int) -> tuple[Any, int]:
    """Read the arguments at `at`: an object where they parse, else the text."""
    if not _OPENING.match(source.text, at):
        raw = source.rest(at)
        return raw, at + len(raw)
    decoded = decode(source, at)
    if decoded is not None:
        return normalized(decoded[0]), decoded[1]
    end = source.close(at)
    raw = source.text[at:end] if end is not None else source.rest(at)
    return raw, at + len(raw)


def normalized(value: Any) -> Json | str:
    """Arguments as an object where they are one, also one in a string; else as text."""
    if value is None or value == "":
        return {}
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    inner = parsed_or_text(value)
    return inner if isinstance(inner, dict) else value


def elided(value: Any) -> bool:
    """Are the arguments a placeholder such as `{...}` or `{arguments}`? Then the call is an example."""
    if not isinstance(value, str) or not value or _WRITTEN.search(value):
        return False
    return value.endswith(("}", "]")) or not value.startswith(("{", "["))


def _call(name: str, written: Any, tools: Tools) -> Json:
    return {"name": tools.resolve(name), "arguments": normalized(written)}


def _shapes(value: Any) -> Iterator[tuple[str, Any, set[str]]]:
    """Name, arguments and keys of every object with the keys of a call, also in lists and wrappers."""
    if isinstance(value, list):
        for item in value:
            yield from _shapes(item)
        return
    if not isinstance(value, dict):
        return
    inner = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), dict | list)), None)
    if inner is not None:
        yield from _shapes(inner)
        return
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    if name is None or not _nameable(name):
        return
    key = next((key for key in _ARGUMENTS if key in value), None)
    yield name, value[key] if key else None, set(value) if key else set()


def _nameable(name: str) -> bool:
    """Can this be the name of a tool? A placeholder such as `<name>` or `...` cannot."""
    return len(name) <= 128 and bool(_NAME.search(name)) and not any(mark in name for mark in "<>{}\n")


def _describes(written: Any, keys: set[str]) -> bool:
    """Is this the definition of a tool, or an object without arguments?"""
    if not keys or "description" in keys:
        return True
    return isinstance(written, dict) and written.get("type") == "object" and "properties" in written


def _malformed(source: Source, at: int, tools: Tools) -> Reading:
    """Read a call that does not parse: its name, and its arguments up to where they break off."""
    head = _CALL_HEAD.match(source.text, at)
    if head is None or not _nameable(head["name"]):
        return [], at
    value, end = arguments(source, head.end())
    if head["value"] is None:
        raw = source.rest(head.end())
        value, end = ({} if raw.startswith("}") else raw.lstrip(", ")), head.end() + len(raw)
    if elided(value):
        return [], at
    return [{"name": tools.resolve(head["name"]), "arguments": value}], end
