"""Calls as `call:name{key:value}`.

FunctionGemma (mlx_lm.tool_parsers.function_gemma: strings between `<escape>`), Gemma 4 (mlx_lm.tool_parsers.gemma4:
strings between `<|"|>`). Keys have no quotes, and neither has a string that lost its delimiters.
"""

from __future__ import annotations

import re
from typing import Any

from gate.models.tool_calls.literals import Literals
from gate.models.tool_calls.objects import elided
from gate.models.tool_calls.source import Reading, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_HEAD = re.compile(r"[\s,;]*+call\s?:\s?(?P<name>[\w.-]{1,128})\s*(?=\{)", re.IGNORECASE)
_END = re.compile(r"<end_function_call>|<tool_call\|>|<start_function_call>|<\|tool_call>", re.IGNORECASE)
_KEY = re.compile(r"\s*+(?P<key>[^\s:,{}\[\]<>\"']{1,128})\s*(?=:)")
_BARE = re.compile(r"[^,{}\[\]<>\n]{1,4096}")
_QUOTE = '<|"|>'


class LooseLiterals(Literals):
    """A parser of literals in which keys and strings may be without quotes."""

    def key(self) -> str:
        """Read a key, usually without quotes."""
        key = _KEY.match(self.text, self.at)
        if key is None:
            return super().key()
        self.at = key.end()
        return key["key"]

    def bare(self) -> Any:
        """Read a number or a word for a constant, else the text up to the next delimiter."""
        start = self.at
        try:
            value = super().bare()
            if self.peek() in (",", "}", "]", ""):
                return value
        except ValueError:
            pass
        text = _BARE.match(self.text, start)
        if text is None:
            raise ValueError("not a literal")
        self.at = text.end()
        return text.group().strip()


def calls(source: Source, marker: re.Match[str], tools: Tools) -> Reading:
    """Read the calls after a marker; Gemma 4 writes several one after another."""
    calls: list[Json] = []
    at = marker.end()
    while head := _HEAD.match(source.text, at):
        written, at = _arguments(source, head.end())
        if not elided(written):
            calls.append({"name": tools.resolve(head["name"]), "arguments": written})
    return calls, at


def literal(source: Source, at: int) -> tuple[Any, int] | None:
    """The object at `at`, and the index after it; None where it does not parse."""
    literals = LooseLiterals(source.text, at)
    try:
        return literals.value(), literals.at
    except ValueError:
        return None


def _arguments(source: Source, at: int) -> tuple[Any, int]:
    """Read the object at `at`, also if its last string has no end; else the text up to the end of the call."""
    value = literal(source, at)
    if value is not None:
        return value
    end = source.seek(_END, at)
    stop = end.start() if end else len(source.text)
    written = source.text[at:stop].strip()
    try:
        return LooseLiterals(written.removesuffix("}") + _QUOTE + "}").value(), stop
    except ValueError:
        return written, stop
