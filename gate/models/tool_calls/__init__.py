"""Tool calls that a model wrote as text, in the syntaxes that models use.

A call that arrives in the content instead of in `tool_calls` is a leak. So a reader here must miss none, and must not
take prose, an answer in JSON, code that is shown or a syntax that is only mentioned for one.

One scan looks for everything that may open a call. Each opening has one reader: a function of the text, the opening and
the tools, that returns calls and where to read on. A reader moves on, or costs a bounded number of steps, and looks far
ahead only through Source: so the whole takes linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from gate.models.tool_calls import bare, code, delimited, gemma, payload, reasoning, tags
from gate.models.tool_calls.source import Found, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

__all__ = ["find"]

Reader = Callable[[Source, re.Match[str], Tools], Found]

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
    """The tool calls written in a text, as `{"name", "arguments"}` in order of appearance.

    Arguments are an object where they parse, else the text as written. Never raises, and takes linear time.
    With `tools`, a call without a marker around it counts only when it names one of them, and the values of syntaxes
    that carry no types get those of the tool's schema.
    """
    return _scan(Source(_unquoted(text)), Tools(tools), _READERS)


def _scan(source: Source, tools: Tools, readers: dict[str, Reader]) -> list[Json]:
    calls: list[Json] = []
    at = 0
    while opening := _OPENINGS.search(source.text, at):
        kind = opening.lastgroup or ""
        if kind == "thought":
            at = source.settled = reasoning.after(source, opening)
        elif kind == "thought_end":
            at = opening.end()
            if not source.blank(at, len(source.text)):  # An answer follows: all before it was reasoning.
                calls.clear()
                source.settled = at
        else:
            reader = readers.get(kind)
            found, end = reader(source, opening, tools) if reader else ([], opening.end())
            at = max(end, opening.start() + 1)
            if found:
                calls += found
                source.settled = at
    return calls


def _token(source: Source, opening: re.Match[str], tools: Tools) -> Found:
    """A special token, in whichever of the two kinds of bars and spaces."""
    name = re.sub("[▁ ]", "_", opening.group()[2:-2].lower())
    reader = _TOKENS.get(name)
    return reader(source, opening, tools) if reader else ([], opening.end())


def _code(source: Source, opening: re.Match[str], tools: Tools) -> Found:
    return code.shown(source, opening, tools, _marked)


def _marked(source: Source, tools: Tools) -> list[Json]:
    """The calls of a text that have a marker around them. Backticks are text there."""
    return _scan(source, tools, _MARKED)


def _unquoted(text: str) -> str:
    """The text inside, where the whole text is one JSON string."""
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
    "tool_call_begin": delimited.parted,
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
