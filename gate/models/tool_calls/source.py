"""The text being read, with searches and bracket matching that take linear time in total."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gate.types import Json

Reading = tuple[list[Json], int]
"""The calls that a reader found, and the index to continue at."""

_CLOSING = {"[": "]", "{": "}", "(": ")"}
_TOKEN = re.compile(r"""[][(){}"'\\]""")
_STRING_END = {
    '"': re.compile(r'(?:[^"\\]++|\\.)*+"', re.DOTALL),
    "'": re.compile(r"(?:[^'\\]++|\\.)*+'", re.DOTALL),
}
_SOLID = re.compile(r"[^\s,;]")
FENCE = re.compile(r"\s*+`{3,}")
"""A closing fence; it is skipped, so that it opens no other."""
_TOKEN_START = re.compile(r"<[|｜/]|<(?:\w{1,20}[:_])?tool_?calls?>|\[/?[A-Z_]+\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Span:
    """The index after a bracket's end, None where it has none, and how deep the brackets nest from it on."""

    end: int | None
    height: int


@dataclass(slots=True)
class _Open:
    """An opening bracket whose end has not been reached."""

    start: int
    closing: str
    height: int = 1


class Source:
    """A text with the caches that keep reading it linear."""

    __slots__ = ("_fuel", "_searches", "_spans", "consumed", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.consumed = 0
        """Everything before this index is reasoning or part of a call."""
        self._fuel = 4 * len(text) + 4096
        self._searches: dict[re.Pattern[str], tuple[int, re.Match[str] | None]] = {}
        self._spans: dict[int, _Span] = {}

    def seek(self, pattern: re.Pattern[str], start: int) -> re.Match[str] | None:
        """The first match at or after `start`; the previous match of a pattern is reused where it still is that."""
        since, match = self._searches.get(pattern, (len(self.text) + 1, None))
        if since <= start and (match is None or match.start() >= start):
            return match
        match = pattern.search(self.text, start)
        self._searches[pattern] = (start, match)
        return match

    def afford(self, length: int) -> bool:
        """Charge for reading `length` characters again; False when the budget is spent, as by an adversarial text."""
        self._fuel -= length
        return self._fuel >= 0

    def close(self, start: int) -> int | None:
        """The index after the bracket that closes the one at `start`; None where there is none."""
        if start not in self._spans:
            self._pair(start)
        return self._spans[start].end

    def height(self, start: int) -> int:
        """How deep the brackets nest from the one at `start`, itself included."""
        self.close(start)
        return self._spans[start].height

    def blank(self, start: int, end: int) -> bool:
        """Is there nothing but white space and separators of calls between the two indices?"""
        solid = self.seek(_SOLID, start)
        return solid is None or solid.start() >= end

    def rest(self, start: int) -> str:
        """The text from `start` to the next special token or the end: the arguments of a truncated call.

        A reader must continue after it, or the scan is no longer linear.
        """
        token = self.seek(_TOKEN_START, start)
        return self.text[start : token.start() if token else len(self.text)].strip()

    def skip(self, pattern: re.Pattern[str], at: int) -> int:
        """The index after a match of the pattern at `at`; `at` where there is none."""
        match = pattern.match(self.text, at)
        return match.end() if match else at

    def _pair(self, start: int) -> None:
        """Match the bracket at `start` and those inside it; skip brackets that are matched already.

        Linear over all calls: two passes that differ in what is inside a string never come to agree, as each quote
        swaps the two states and a backslash outside a string ends the pass. So no index is visited more than three
        times.
        """
        opened: list[_Open] = []
        at = start
        while token := _TOKEN.search(self.text, at):
            after = self._step(token, opened)
            if after is None:
                break
            if not opened:
                return
            at = after
        for bracket in opened:
            self._spans[bracket.start] = _Span(None, bracket.height)

    def _step(self, token: re.Match[str], opened: list[_Open]) -> int | None:
        """Process one bracket or string; the index after it, or None where the brackets do not match."""
        mark = token.group()
        if mark in _STRING_END:
            string = _STRING_END[mark].match(self.text, token.end())
            return string.end() if string else None
        if mark == "\\":
            return None
        if mark not in _CLOSING:
            return self._pop(mark, token.end(), opened)
        span = self._spans.get(token.start())
        if span is None:
            opened.append(_Open(token.start(), _CLOSING[mark]))
            return token.end()
        opened[-1].height = max(opened[-1].height, span.height + 1)
        return span.end

    def _pop(self, mark: str, after: int, opened: list[_Open]) -> int | None:
        if opened[-1].closing != mark:
            return None
        bracket = opened.pop()
        self._spans[bracket.start] = _Span(after, bracket.height)
        if opened:
            opened[-1].height = max(opened[-1].height, bracket.height + 1)
        return after
