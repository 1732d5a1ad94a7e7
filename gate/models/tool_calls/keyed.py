"""Calls as a name, and pairs of `<arg_key>` and `<arg_value>`.

GLM 4.5 to 4.7 and Poolside Laguna (mlx_lm.tool_parsers.glm47), Longcat (mlx_lm.tool_parsers.longcat: a prefix in every
tag), Hunyuan (SGLang hunyuan_detector: `<tool_sep>` after the name). Values have no types: without a schema they are
decoded as JSON where they parse, as in mlx-lm's parsers of these models.
"""

from __future__ import annotations

import re
from typing import Any

from gate.models.tool_calls.literals import parsed_or_text
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_NAME = re.compile(r"\s*+(?P<name>[^\s<>{}()\[\]\"'`,;=\\]{1,128})(?:\s|\\n)*+")
_KEY = re.compile(r"(?:\s|\\n)*+<(?:\w{1,20}_)?arg_key>", re.IGNORECASE)
_KEY_END = re.compile(r"</(?:\w{1,20}_)?arg_key>(?:\s|\\n)*+(?P<open><(?:\w{1,20}_)?arg_value>)?", re.IGNORECASE)
_VALUE_END = re.compile(
    r"(?P<closed></(?:\w{1,20}_)?arg_value>)|(?=<(?:\w{1,20}_)?arg_key>|</(?:\w{1,20}_)?tool_call>)", re.IGNORECASE
)
_SEPARATOR = re.compile(r"(?:\s|\\n)*+<tool_sep>", re.IGNORECASE)
_END = re.compile(r"(?:\s|\\n)*+</(?:\w{1,20}_)?tool_call>", re.IGNORECASE)
_LONGEST_KEY = 512
_PAIR = re.compile(r"""\s*+(?P<key>\w{1,128})=(?P<value>"[^"]*"|'[^']*'|[^\s<"']+)""")


def call(source: Source, at: int, tools: Tools) -> Reading:
    """Read the call whose name begins at `at`. Without a pair or a separator only an offered tool is called."""
    head = _NAME.match(source.text, at)
    if head is None:
        return [], at
    name = tools.resolve(head["name"])
    separator = _SEPARATOR.match(source.text, head.end())
    start = separator.end() if separator else head.end()
    arguments, stop, keyed = _pairs(source, start, name, tools)
    if not keyed and tools.has(name):
        arguments, stop = _assignments(source, start, name, tools)
    end = _END.match(source.text, stop)
    closed = end is not None or source.blank(stop, len(source.text))
    if arguments or (closed and (separator or keyed or tools.has(name))):
        return [{"name": name, "arguments": arguments}], end.end() if end else stop
    return [], at


def _pairs(source: Source, at: int, name: str, tools: Tools) -> tuple[Json, int, bool]:
    """Read the pairs from `at` on; the arguments, the index after them, and whether there was any key."""
    arguments: Json = {}
    start = at
    while key := _KEY.match(source.text, at):
        middle = source.seek(_KEY_END, key.end())
        if middle is None or middle.start() - key.end() > _LONGEST_KEY:
            break
        value, at = _value(source, middle)
        written = source.text[key.end() : middle.start()].strip()
        if value is not None:
            arguments[written] = tools.coerce(name, written, _framed(value), _untyped)
    return arguments, at, at > start


def _value(source: Source, middle: re.Match[str]) -> tuple[str | None, int]:
    """Read the value after a key, up to its end tag or the next key; None for a key without a value."""
    end = source.seek(_VALUE_END, middle.end())
    if not middle["open"] and not (end and end["closed"]):
        return None, middle.end()
    if end is None:
        return source.text[middle.end() :], len(source.text)
    return source.text[middle.end() : end.start()], end.end()


def _assignments(source: Source, at: int, name: str, tools: Tools) -> tuple[Json, int]:
    """Read the arguments of `name a=1 b="c"`, which GLM sometimes writes."""
    arguments: Json = {}
    while pair := _PAIR.match(source.text, at):
        arguments[pair["key"]] = tools.coerce(name, pair["key"], pair["value"].strip("\"'"), _untyped)
        at = pair.end()
    return arguments, at


def _framed(value: str) -> str:
    """The value without the line breaks around it."""
    return value[1:-1] if value.startswith("\n") and value.endswith("\n") and len(value) > 1 else value


def _untyped(value: str) -> Any:
    return parsed_or_text(value.strip())
