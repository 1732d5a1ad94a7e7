"""Calls without a marker around them. They count by the name of a known tool, or by where they stand."""

from __future__ import annotations

import re

from gate.models.tool_calls import gemma, objects, pythonic
from gate.models.tool_calls.literals import decode
from gate.models.tool_calls.source import Found, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_MARGIN = 200
_LINE_END = re.compile(r"[ \t;,]*(?:\n|\Z|<)")
_DATA = re.compile(r"\{|\[\s*\{")
_BETWEEN = re.compile(r"[\s,;)]*+")
_WORD = re.compile(r"[ \t]*(?P<word>[^\s(){}\"'`]{1,180})")
_HEAD = re.compile(r"(?:call:|functions\.)?(?P<name>[^\W\d][\w.-]{0,127}?)(?::\d{1,4})?(?:\[ARGS\])?")


def value(source: Source, opening: re.Match[str], tools: Tools) -> Found:
    """A JSON object or array. Data that is no call is passed over whole, with whatever nests in it."""
    at = opening.start()
    named = _named(source, at, tools)
    if named is not None:
        return named
    found = decode(source, at)
    if found is None:
        return objects.torn(source, at, tools) if tools.given else ([], at)
    calls = objects.bare(found[0], tools)
    if tools.given or source.blank(source.settled, at):
        return calls, found[1]
    return [], found[1]


def listed(source: Source, opening: re.Match[str], tools: Tools) -> Found:
    """`[f(a=1), g()]`. A list that a `(` follows is a link."""
    found = pythonic.literal(source, opening.start(), tools)
    if found is None or source.text.startswith("(", found[1]):
        return [], opening.start()
    calls = [call for call in found[0] if tools.admits(call["name"])]
    if tools.given or _alone(source, opening.start(), found[1]):
        return calls, found[1]
    return [], opening.start()


def single(source: Source, opening: re.Match[str], tools: Tools) -> Found:
    """`f(a=1)` of a known tool, or `f.call(a=1)` of any, alone on its line."""
    start = _start(source, opening.start())
    name = source.text[start : opening.start()]
    if not (tools.known(name.removesuffix(".call")) or (name.endswith(".call") and not tools.given)):
        return [], opening.end()
    found = pythonic.literal(source, start, tools)
    if not found or not found[0] or not _LINE_END.match(source.text, found[1]):
        return [], opening.end()
    return [call for call in found[0] if tools.admits(call["name"])], found[1]


def only(source: Source, tools: Tools) -> list[Json]:
    """The calls of a text that holds nothing else; none where anything else is in it."""
    calls: list[Json] = []
    at = 0
    while not source.blank(at, len(source.text)):
        start = _BETWEEN.match(source.text, at)
        found = _next(source, start.end() if start else at, tools)
        if not found[0]:
            return []
        calls += found[0]
        at = found[1]
    return calls


def _next(source: Source, at: int, tools: Tools) -> Found:
    """The calls of the value or the list at `at`; none where one of them is not admitted."""
    if _DATA.match(source.text, at):
        found = decode(source, at)
        return (objects.bare(found[0], tools), found[1]) if found else ([], at)
    literal = pythonic.literal(source, at, tools)
    if literal is None or not all(tools.admits(call["name"]) for call in literal[0]):
        return [], at
    end = _BETWEEN.match(source.text, literal[1])
    return literal[0], end.end() if end else literal[1]


def _named(source: Source, at: int, tools: Tools) -> Found | None:
    """`name{json}` of a known tool at the start of a line: a call whose tokens were stripped."""
    start = _start(source, at) if tools.given else at
    name = _HEAD.fullmatch(source.text, start, at) if start < at else None
    if name is None or not tools.known(name["name"]):
        return None
    found = gemma.literal(source, at) if source.text.startswith("call:", start) else decode(source, at)
    if found is None or not isinstance(found[0], dict):
        return None
    return [{"name": tools.resolve(name["name"]), "arguments": found[0]}], found[1]


def _start(source: Source, at: int) -> int:
    """Where the word that stands right before `at` begins, if it begins its line; else `at`."""
    line = _line(source, at)
    word = _WORD.fullmatch(source.text, line, at) if at and not source.text[at - 1].isspace() else None
    return word.start("word") if word else at


def _alone(source: Source, start: int, end: int) -> bool:
    """Is there nothing else on the lines from `start` to `end`?"""
    return not source.text[_line(source, start) : start].strip() and bool(_LINE_END.match(source.text, end))


def _line(source: Source, at: int) -> int:
    """Where the line of `at` begins, or some text in it: a margin that long holds more than a name."""
    margin = max(0, at - _MARGIN)
    return max(source.text.rfind("\n", margin, at) + 1, margin)
