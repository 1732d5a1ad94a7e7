"""Tool calls that a model wrote as text, in the syntaxes that models use.

A call that arrives in the content instead of in `tool_calls` is a leak. The readers must find every call, and must not
take prose, an answer in JSON, quoted code or a mention of a syntax for one.

One scan searches for everything that may open a call. Each kind of opening has one reader: a function of the text, the
opening and the tools that returns the calls and the index to continue at. A reader advances or takes a bounded number
of steps, and searches far ahead only through Source, so the scan takes linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from gate.models.tool_calls import bare, code, delimited, gemma, payload, reasoning, tags
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

__all__ = ["find"]

Reader = Callable[[Source, re.Match[str], Tools], Reading]

_PATTERNS = {
    "code": r"`+|~{3,}",
    "thought": reasoning.OPENING,
    "thought_end": reasoning.CLOSING,
    "gemma": r"<start_function_call>|<\|tool_call>",
    "token": r"<[|｜][\w▁ ]{1,40}[|｜]>",
    "tag": tags.OPENING,
    "element": r"<\s?(?:\w{1,20}[:_])?(?:tool[\\_ -]{0,2}(?:calls?|use)|function[\\_ -]{0,2}calls?)(?:\s[^<>]{0,80})?>",
    "mistral": r"\[TOOL_CALLS\]",
    "recipient": r"(?<=\bto)=functions\.",
    "listed": r"\[\s*+(?=[^\W\d][\w.-]{0,127}\()",
    "value": r"\{{1,2}+\s*+(?=[\"'“\w\\])|\[\s*+(?=\{)",
    "single": r"\(",
}
_OPENINGS = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items()), re.IGNORECASE)


def find(text: str, tools: list[Json] | None = None) -> list[Json]:
    """Find the tool calls written in a text, as `{"name", "arguments"}` in order of appearance.

    Arguments are an object where they parse, else the text as written. Never raises, and takes linear time.
    With `tools`, a call without a marker counts only if it names one of them, and arguments in a syntax without types
    are converted by the tool's schema.
    """
    return _scan(Source(_unquoted(text)), Tools(tools), _READERS)


def _scan(source: Source, tools: Tools, readers: dict[str, Reader]) -> list[Json]:
    calls: list[Json] = []
    at = 0
    while opening := _OPENINGS.search(source.text, at):
        kind = opening.lastgroup or ""
        if kind == "thought":
            at = source.consumed = reasoning.after(source, opening)
        elif kind == "thought_end":
            at = opening.end()
            if not source.blank(at, len(source.text)):  # An answer follows, so all before it was reasoning.
                calls.clear()
                source.consumed = at
        else:
            reader = readers.get(kind)
            new, end = reader(source, opening, tools) if reader else ([], opening.end())
            at = max(end, opening.start() + 1)
            if new:
                calls += new
                source.consumed = at
    return calls


def _token(source: Source, opening: re.Match[str], tools: Tools) -> Reading:
    """Dispatch a special token, written with either kind of bars and spaces."""
    name = re.sub("[▁ ]", "_", opening.group()[2:-2].lower())
    reader = _TOKENS.get(name)
    return reader(source, opening, tools) if reader else ([], opening.end())


def _code(source: Source, opening: re.Match[str], tools: Tools) -> Reading:
    return code.calls(source, opening, tools, _marked)


def _marked(source: Source, tools: Tools) -> list[Json]:
    """The calls of a text that have a marker. Backticks have no meaning there."""
    return _scan(source, tools, _MARKED)


def _unquoted(text: str) -> str:
    """The decoded text where the whole text is one JSON string, else the text."""
    if not text.lstrip().startswith(('"{', '"[', '"<')):
        return text
    try:
        inside = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return text
    return inside if isinstance(inside, str) else text


_TOKENS: dict[str, Reader] = {
    "action_start": payload.calls,
    "channel": delimited.channel,
    "function_call": payload.calls,
    "plugin": payload.calls,
    "python_start": payload.calls,
    "python_tag": payload.calls,
    "role_sep": delimited.role,
    "start": delimited.channel,
    "start_action": payload.calls,
    "tool_call": payload.calls,
    "tool_call_begin": delimited.call,
    "tool_call_start": payload.calls,
    "tool_calls": payload.calls,
}
_MARKED: dict[str, Reader] = {
    "element": payload.calls,
    "gemma": gemma.calls,
    "mistral": payload.calls,
    "recipient": delimited.recipient,
    "tag": tags.call,
    "token": _token,
}
_READERS: dict[str, Reader] = _MARKED | {
    "code": _code,
    "listed": bare.listed,
    "single": bare.single,
    "value": bare.value,
}
