"""Code between backticks or in a fence. It contains no call, with two exceptions.

Gemma 3 writes its calls into ```json, ```tool_code and ```tool_call fences, and Command-R after `Action:` (their prompt
formats; no parser of mlx-lm reads either). And a message that consists of one fence is not an example for a reader: an
offered tool in it is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gate.models.tool_calls import bare
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

Scan = Callable[[Source, Tools], list[Json]]
"""Finds the calls of a text that have a marker."""

_BLOCK = re.compile(r"[ \t]*(?P<language>[\w+.-]{0,32})(?:[ \t][^`~\n]{0,200})?(?=\n)")
_INLINE = re.compile(r"[ \t]*(?:(?P<language>[\w+.-]{1,32})(?=\s))?")
_CALLING = {"json", "tool_code", "tool_call", "tool_calls", "function_call"}
_PYTHON = {"python", "py", "python3"}
_LINE = re.compile(r"\n")
_BLOCK_END = {"`": re.compile(r"\n[ \t]*`{3,}"), "~": re.compile(r"\n[ \t]*~{3,}")}
_FENCE_END = {"`": re.compile(r"`{3,}"), "~": re.compile(r"~{3,}")}
_SPAN_END = {1: re.compile(r"(?<!`)`(?!`)"), 2: re.compile(r"(?<!`)``(?!`)")}
_ACTION = re.compile(r"\bAction:\s*\Z", re.IGNORECASE)
_MARGIN = 32


def calls(source: Source, opening: re.Match[str], tools: Tools, scan: Scan) -> Reading:
    """Skip code, or read the calls of a fence that contains calls."""
    if len(opening.group()) < 3:
        return _span(source, opening, tools, scan)
    mark = opening.group()[0]
    block = _BLOCK.match(source.text, opening.end())
    head = block or _INLINE.match(source.text, opening.end())
    start = head.end() if head else opening.end()
    end = (source.seek(_BLOCK_END[mark], start) if block else None) or source.seek(_FENCE_END[mark], start)
    if end is None:
        return [], opening.end()
    language = ((head["language"] if head else None) or "").lower()
    inside = source.text[start : end.start()]
    if language in _CALLING:
        return _fenced(source, opening, end, inside, tools, scan), end.end()
    if not _sole(source, opening, end, tools):
        return [], end.end()
    listed = inside.lstrip().startswith("[")
    return _hidden(inside, tools, scan) if language not in _PYTHON or listed else [], end.end()


def _span(source: Source, opening: re.Match[str], tools: Tools, scan: Scan) -> Reading:
    """Read code between backticks on one line."""
    end = source.seek(_SPAN_END[len(opening.group())], opening.end())
    line = source.seek(_LINE, opening.end())
    if end is None or (line is not None and line.start() < end.start()):
        return [], opening.end()
    if not _sole(source, opening, end, tools):
        return [], end.end()
    return _hidden(source.text[opening.end() : end.start()], tools, scan), end.end()


def _fenced(
    source: Source, opening: re.Match[str], end: re.Match[str], inside: str, tools: Tools, scan: Scan
) -> list[Json]:
    """The calls in a fence of a language that is used for calls."""
    before = source.text[max(0, opening.start() - _MARGIN) : opening.start()].rstrip()
    if _ACTION.search(before):
        return bare.only(Source(inside), Tools(None))
    if tools.offered:
        return _hidden(inside, tools, scan)
    # Without names of tools: a call ends the turn, and a fence after a colon is an example.
    if before.endswith(":") or not source.blank(end.end(), len(source.text)):
        return []
    return bare.only(Source(inside), tools) or scan(Source(inside), tools)


def _sole(source: Source, opening: re.Match[str], end: re.Match[str], tools: Tools) -> bool:
    """Is this the whole message, and are tools offered that it could call?"""
    whole = source.blank(source.consumed, opening.start()) and source.blank(end.end(), len(source.text))
    return tools.offered and whole


def _hidden(inside: str, tools: Tools, scan: Scan) -> list[Json]:
    """The calls of a text, with or without markers; none where one is not of an offered tool."""
    calls = bare.only(Source(inside), tools) or scan(Source(inside), tools)
    return calls if all(tools.has(call["name"]) for call in calls) else []
