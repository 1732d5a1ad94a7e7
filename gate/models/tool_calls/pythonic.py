"""Calls written as Python: `[f(a="b"), g()]`.

LFM2 (mlx_lm.tool_parsers.pythonic), Llama 4 (vLLM pythonic), OLMo 3 (vLLM olmo3: one call a line, JSON words), the
built-in tools of Llama 3 (`f.call(a="b")`), Gemma 3 (`tool_code`). Nothing is evaluated: arguments must be literals.
They are not parsed with `ast`, which refuses a line break in a string and an argument called `from`, and may overflow
on adversarial input.
"""

from __future__ import annotations

import re
from typing import Any

from gate.models.tool_calls import objects
from gate.models.tool_calls.literals import DEEPEST, Literals
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_HEAD = re.compile(r"[\s,;]*+(?:print\()?(?P<name>[^\W\d][\w.-]{0,127})(?P<open>\()")
_KEY = re.compile(r"\s*+(?P<key>[^\W\d]\w{0,127})\s*=(?!=)")
_END = re.compile(r"[\s,;)]*+\]")


def sequence(source: Source, at: int, tools: Tools) -> Reading:
    """Read the calls after a marker, in a list or one after another.

    Arguments that are not literals stay text; such a call counts only in a list or with the name of an offered tool.
    """
    listed = source.text.startswith("[", at)
    at += listed
    calls: list[Json] = []
    while head := _HEAD.match(source.text, at):
        call, at = _read(source, head, tools)
        if isinstance(call["arguments"], dict) or listed or tools.has(call["name"]):
            calls.append(call)
    return [call for call in calls if not objects.elided(call["arguments"])], source.skip(_END, at) if listed else at


def literal(source: Source, at: int, tools: Tools) -> Reading | None:
    """Read calls with literal arguments, one after another or in a list; None where a list holds anything else."""
    listed = source.text.startswith("[", at)
    start = at + listed
    calls: list[Json] = []
    while head := _HEAD.match(source.text, start):
        opening = head.start("open")
        whole = source.close(opening) is not None and source.height(opening) <= DEEPEST
        call, end = _read(source, head, tools) if whole else ({"arguments": ""}, start)
        if isinstance(call["arguments"], str):
            break
        calls.append(call)
        start = end
    if not listed:
        return calls, start
    stop = _END.match(source.text, start)
    if stop is None and not source.blank(start, len(source.text)):
        return None
    return calls, stop.end() if stop else start


def _read(source: Source, head: re.Match[str], tools: Tools) -> tuple[Json, int]:
    """Read one call; the call and the index after it."""
    name = tools.resolve(head["name"].removesuffix(".call"))
    opening = head.start("open")
    end = source.close(opening)
    if end is None:
        raw = source.rest(opening + 1)
        return {"name": name, "arguments": raw}, opening + 1 + len(raw)
    if not source.afford(end - opening):
        return {"name": name, "arguments": ""}, end
    written = source.text[opening + 1 : end - 1]
    try:
        return {"name": name, "arguments": _arguments(Literals(written), tools.keys(name))}, end
    except ValueError:
        return {"name": name, "arguments": written}, end


def _arguments(literals: Literals, keys: list[str]) -> Json:
    """Read keyword arguments, positional ones in the schema's order, or one object that holds all arguments."""
    arguments: Json = {}
    positional: list[Any] = []
    while literals.peek():
        keyword = _KEY.match(literals.text, literals.at)
        if keyword is None:
            positional.append(literals.value())
        else:
            literals.at = keyword.end()
            arguments[keyword["key"]] = literals.value()
        if not literals.take(",") and literals.peek():
            raise ValueError("no comma")
    if len(positional) == 1 and isinstance(positional[0], dict) and not arguments:
        return dict(positional[0])
    if len(positional) > len(keys):
        raise ValueError("an argument without a name")
    return dict(zip(keys, positional, strict=False)) | arguments
