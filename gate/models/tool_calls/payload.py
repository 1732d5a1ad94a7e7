"""Calls after a marker that does not determine their syntax.

A model that combines a marker with the syntax of another one still calls. So every marker may be followed by any of the
syntaxes; one that is followed by none of them is only mentioned.
"""

from __future__ import annotations

import re

from gate.models.tool_calls import keyed, objects, pythonic
from gate.models.tool_calls.literals import decode
from gate.models.tool_calls.source import FENCE, Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_SPACE = re.compile(r"(?:\s|\\n)*+(?P<fence>`{3,}\w{0,20}\s*+)?(?:json(?=\s*[\[{]))?\s*+")
_LIST = re.compile(r"\[\s*+[^\W\d][\w.-]{0,127}\(")
_VALUE = re.compile(r"[\[{]")
_CALL = re.compile(r"(?:print\()?[^\W\d][\w.-]{0,127}\(")
_NAMED = re.compile(
    r"[\s,;]*+(?P<name>[^\W\d][\w.:/-]{0,127})\s*+(?:\[CALL_ID\]\w{1,64})?(?P<mark>\[ARGS\])?\s*+(?=\{)", re.I
)


def calls(source: Source, marker: re.Match[str], tools: Tools) -> Reading:
    """Read the calls after a marker, in any syntax, also in a fence."""
    space = _SPACE.match(source.text, marker.end())
    calls, end = _calls(source, space.end() if space else marker.end(), tools)
    if calls and space and space["fence"]:
        end = source.skip(FENCE, end)
    return calls, end


def _calls(source: Source, start: int, tools: Tools) -> Reading:
    if _LIST.match(source.text, start):
        return pythonic.sequence(source, start, tools)
    if _VALUE.match(source.text, start):
        return objects.sequence(source, start, tools)
    if _CALL.match(source.text, start):
        return pythonic.sequence(source, start, tools)
    named = _named(source, start, tools)
    return named if named[0] else keyed.call(source, start, tools)


def _named(source: Source, at: int, tools: Tools) -> Reading:
    """Read `name{json}` or `name[ARGS]{json}`: Mistral from version 11 on (mlx_lm.tool_parsers.mistral)."""
    calls: list[Json] = []
    while head := _NAMED.match(source.text, at):
        name = tools.resolve(head["name"])
        if not (head["mark"] or tools.has(name) or decode(source, head.end())):
            break
        arguments, at = objects.arguments(source, head.end())
        if not objects.elided(arguments):
            calls.append({"name": name, "arguments": arguments})
    return calls, at
