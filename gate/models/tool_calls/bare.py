"""Calls without a marker. They count by the name of an offered tool, or by their position in the text."""

from __future__ import annotations

import re

from gate.models.tool_calls import gemma, objects, pythonic
from gate.models.tool_calls.literals import decode
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_MARGIN = 200
_LINE_END = re.compile(r"[ \t;,]*(?:\n|\Z|<)")
_DATA = re.compile(r"\{|\[\s*\{")
_BETWEEN = re.compile(r"[\s,;)]*+")
_WORD = re.compile(r"[ \t]*(?P<word>[^\s(){}\"'`]{1,180})")
_HEAD = re.compile(r"(?:call:|functions\.)?(?P<name>[^\W\d][\w.-]{0,127}?)(?::\d{1,4})?(?:\[ARGS\])?")


def value(source: Source, opening: re.Match[str], tools: Tools) -> Reading:
    """Read a JSON object or array. Data that is not a call is skipped with everything nested in it."""
    at = opening.start()
    named = _named(source, at, tools)
    if named is not None:
        return named
    decoded = decode(source, at)
    if decoded is None:
        return objects.truncated(source, at, tools) if tools.offered else ([], at)
    data, end = decoded
    counts = tools.offered or source.blank(source.consumed, at)
    return objects.bare(data, tools) if counts else [], end


def listed(source: Source, opening: re.Match[str], tools: Tools) -> Reading:
    """Read `[f(a=1), g()]`. A list before a `(` is a Markdown link."""
    reading = pythonic.literal(source, opening.start(), tools)
    if reading is None or source.text.startswith("(", reading[1]):
        return [], opening.start()
    calls, end = reading
    if tools.offered or _fills_lines(source, opening.start(), end):
        return [call for call in calls if tools.admits(call["name"])], end
    return [], opening.start()


def single(source: Source, opening: re.Match[str], tools: Tools) -> Reading:
    """Read `f(a=1)` of an offered tool, or `f.call(a=1)` of any, on a line of its own."""
    start = _start(source, opening.start())
    name = source.text[start : opening.start()]
    if not (tools.has(name.removesuffix(".call")) or (name.endswith(".call") and not tools.offered)):
        return [], opening.end()
    reading = pythonic.literal(source, start, tools)
    if not reading or not reading[0] or not _LINE_END.match(source.text, reading[1]):
        return [], opening.end()
    return [call for call in reading[0] if tools.admits(call["name"])], reading[1]


def only(source: Source, tools: Tools) -> list[Json]:
    """The calls of a text that consists of calls; none where it contains anything else."""
    calls: list[Json] = []
    at = 0
    while not source.blank(at, len(source.text)):
        new, at = _next(source, source.skip(_BETWEEN, at), tools)
        if not new:
            return []
        calls += new
    return calls


def _next(source: Source, at: int, tools: Tools) -> Reading:
    """Read the value or the list at `at`; no calls where one of them is not admitted."""
    if _DATA.match(source.text, at):
        decoded = decode(source, at)
        return (objects.bare(decoded[0], tools), decoded[1]) if decoded else ([], at)
    literal = pythonic.literal(source, at, tools)
    if literal is None or not all(tools.admits(call["name"]) for call in literal[0]):
        return [], at
    return literal[0], source.skip(_BETWEEN, literal[1])


def _named(source: Source, at: int, tools: Tools) -> Reading | None:
    """Read `name{json}` of an offered tool at the start of a line: a call whose special tokens were stripped."""
    start = _start(source, at) if tools.offered else at
    name = _HEAD.fullmatch(source.text, start, at) if start < at else None
    if name is None or not tools.has(name["name"]):
        return None
    decoded = gemma.literal(source, at) if source.text.startswith("call:", start) else decode(source, at)
    if decoded is None or not isinstance(decoded[0], dict):
        return None
    return [{"name": tools.resolve(name["name"]), "arguments": decoded[0]}], decoded[1]


def _start(source: Source, at: int) -> int:
    """The start of the word that ends at `at`, if it is the first on its line; else `at`."""
    line = _line(source, at)
    word = _WORD.fullmatch(source.text, line, at) if at and not source.text[at - 1].isspace() else None
    return word.start("word") if word else at


def _fills_lines(source: Source, start: int, end: int) -> bool:
    """Is there nothing else on the lines from `start` to `end`?"""
    return not source.text[_line(source, start) : start].strip() and bool(_LINE_END.match(source.text, end))


def _line(source: Source, at: int) -> int:
    """The start of the line of `at`; at most _MARGIN characters back, which is more than any name."""
    margin = max(0, at - _MARGIN)
    return max(source.text.rfind("\n", margin, at) + 1, margin)
