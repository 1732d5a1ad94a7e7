"""Calls as `call:name{key:value}`.

FunctionGemma (mlx_lm.tool_parsers.function_gemma: strings between `<escape>`), Gemma 4 (mlx_lm.tool_parsers.gemma4:
strings between `<|"|>`). Keys carry no quotes, and neither does a string that lost its delimiters.
"""

from __future__ import annotations

import re
from typing import Any

from gate.models.tool_calls.literals import Literals
from gate.models.tool_calls.objects import elided
from gate.models.tool_calls.source import Found, Source
from gate.models.tool_calls.tools import Tools
from gate.types import Json

_HEAD = re.compile(r"[\s,;]*+call\s?:\s?(?P<name>[\w.-]{1,128})\s*(?=\{)", re.IGNORECASE)
_END = re.compile(r"<end_function_call>|<tool_call\|>|<start_function_call>|<\|tool_call>", re.IGNORECASE)
_KEY = re.compile(r"\s*+(?P<key>[^\s:,{}\[\]<>\"']{1,128})\s*(?=:)")
_BARE = re.compile(r"[^,{}\[\]<>\n]{1,4096}")
_QUOTE = '<|"|>'


class LooseLiterals(Literals):
    """Literals of the Gemma family: keys and strings may go without quotes."""

    def key(self) -> str:
        """A key, as a rule without quotes."""
        key = _KEY.match(self.text, self.at)
        if key is None:
            return super().key()
        self.at = key.end()
        return key["key"]

    def bare(self) -> Any:
        """A number or a word, else the text up to the next delimiter."""
        start = self.at
        try:
            value = super().bare()
            if self.peek() in (",", "}", "]", ""):
                return value
        except ValueError:
            pass
        text = _BARE.match(self.text, start)
        if text is None:
            raise ValueError("no literal")
        self.at = text.end()
        return text.group().strip()


def calls(source: Source, marker: re.Match[str], tools: Tools) -> Found:
    """The calls after the begin of a call, one after another as Gemma 4 writes them."""
    found: list[Json] = []
    at = marker.end()
    while head := _HEAD.match(source.text, at):
        written, at = _arguments(source, head.end())
        if not elided(written):
            found.append({"name": tools.resolve(head["name"]), "arguments": written})
    return found, at


def literal(source: Source, at: int) -> tuple[Any, int] | None:
    """The object at `at`, and the index after it; None where it is none."""
    literals = LooseLiterals(source.text, at)
    try:
        return literals.value(), literals.at
    except ValueError:
        return None


def _arguments(source: Source, at: int) -> tuple[Any, int]:
    """The object at `at`, mended where the last string lost its end, else the text up to the end of the call."""
    found = literal(source, at)
    if found is not None:
        return found
    end = source.seek(_END, at)
    stop = end.start() if end else len(source.text)
    written = source.text[at:stop].strip()
    try:
        return LooseLiterals(written.removesuffix("}") + _QUOTE + "}").value(), stop
    except ValueError:
        return written, stop
