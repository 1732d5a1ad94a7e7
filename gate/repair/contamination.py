"""The contamination guard: no row repeats a case, or uses the values of a held-out case.

What a case says, and when two texts say nearly the same, is settled as in P19 (gate.preflight.checks.leakage): rows
that pass here pass there. Beyond that a row may not hold a case's words with others around them, nor say them in
letters that only look other (gate.cases.normalize.appearance). Held-out cases are read to compare with, and nothing of
them is told.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import regex

from gate.cases import loader
from gate.cases import training_rows as training
from gate.cases.asked import case_texts, long, row_texts
from gate.cases.matchers.matcher import literals
from gate.cases.normalize import appearance, unspaced, words
from gate.cases.similarity import MOST, Index, nearly
from gate.errors import CaseError
from gate.preflight.checks import leakage
from gate.repair.rows import Row
from gate.system.memoize import memoized
from gate.types import HELD_OUT, Case, Json

SAME, WORDED, NEAR = "asks what a case asks", "asks it in the same words", "asks nearly what a case asks"
HOLDS = "holds what a case asks, among other words"
VALUES = "calls with the values of a held-out case"
PART = "calls with a part of what a held-out case expects"
SHORTEST, LEAST_SAID = 4, 6
"""Characters of a path, id or word of a held-out case that no row may call with: expected ones, and such as stand in
its text alone."""
_APART = regex.compile(r"[\s=,;|&<>()\[\]{}\"'`]+")
_WORD = regex.compile(r"\p{L}+|\d+")
"""What a phrase may offer openly; a path or an id that it shares with a held-out case is that case's."""
_NAMED = regex.compile(r"\d|\w[/._-]\w")
"""What tells a path or an id from a word."""
_plain = lru_cache(maxsize=100_000)(appearance)
"""Values come again and again."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What a held-out case is about."""

    text: str
    """What is said in it, made plain, a space at either end."""
    values: frozenset[tuple[str, str]]


class Within:
    """Plain texts, to find the longer ones that say them word for word."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._begun: defaultdict[str, list[str]] = defaultdict(list)
        for text in texts:
            self._begun[text.partition(" ")[0]].append(f" {text} ")

    def search(self, text: str) -> list[str]:
        """Those that a plain text says, from a word's beginning to a word's end."""
        begun = [each for word in text.split() if word in self._begun for each in self._begun[word]]
        return [each.strip() for each in begun if each in f" {text} "]


class _Open:
    """What anyone may read, made plain: does it say some words?"""

    def __init__(self, texts: Iterable[str]) -> None:
        self._text = "  ".join(f" {appearance(text)} " for text in texts)
        self._words = set(self._text.split())

    def says(self, said: str) -> bool:
        return self._words.issuperset(said.split()) and f" {said} " in self._text


class Guard:
    """Every case of every case file, to compare rows with."""

    def __init__(self, fixtures: Path, offered: Iterable[str] = ()) -> None:
        """`offered`: what phrases say and fill in. Raises CaseError for a case file that cannot be read."""
        names = loader.files(fixtures)
        if not names:
            raise CaseError(
                f"{fixtures}/cases: holds no case file to keep the rows apart from: name it with --fixtures"
            )
        every = [case for name in names for case in loader.load(name, fixtures).cases]
        self._exact: set[str] = set()
        self._owners: defaultdict[str, set[str]] = defaultdict(set)
        for case in every:
            texts = list(case_texts(case.messages))
            self._exact.update(texts)
            for text in filter(None, map(appearance, texts)):
                self._owners[text].add("" if case.split == HELD_OUT else loader.marks(case)[1])
        self._known = Index(list(dict.fromkeys(words(text) or text for text in self._exact)))
        self._texts = list(self._owners)
        self._bare = set(map(unspaced, self._texts))
        self._index = Index([unspaced(text) for text in self._texts])
        self._short = Within(text for text, whose in self._owners.items() if not long(text) and _apart(text, whose))
        held = [case for case in every if case.split == HELD_OUT]
        self._held = [_about(case) for case in held]
        parts = Within(_parts(held, [case for case in every if case.split != HELD_OUT], offered))
        self._part = cache(parts.search)
        self._holders = cache(self._find_holders)
        self._telling = cache(_telling)

    def refusals(self, rows: Sequence[Row]) -> list[str]:
        """Why each row may not be trained on; empty where it may."""
        near, holding = self._near(rows), self._holding(rows)
        return [
            self._asked(row, near) or (HOLDS if number in holding else "") or self._called(row.messages, row.tools)
            for number, row in enumerate(rows)
        ]

    def held_out(self, messages: Sequence[Json]) -> bool:
        """Does a held-out case ask what a conversation asks, or nearly?"""
        return "" in self._askers(messages)

    def others(self, messages: Sequence[Json], mark: str) -> bool:
        """Does a conversation say what another case than this one says?"""
        row = Row([*messages, {"role": "assistant", "content": ""}], [], "", "")
        short = {asker for text in self._short.search(appearance(_said(row)[0])) for asker in self._owners[text]}
        return bool((self._askers(messages) | short) - {mark})

    def _askers(self, messages: Sequence[Json]) -> set[str]:
        """The marks of the dev cases that ask the same or nearly; an empty one for all that are held out."""
        texts = [unspaced(appearance(text)) for text in case_texts(messages)]
        near = [self._texts[known] for _, known, *much in self._index.pairs(texts) if nearly(self._texts[known], *much)]
        return {mark for text in near for mark in self._owners[text]}

    def _near(self, rows: Iterable[Row]) -> dict[str, float]:
        """The plain texts that are near to one of a case, with their similarity."""
        texts = list({words(text) or text: None for row in rows for text in row_texts(row.messages) if text})
        found: dict[str, float] = {}
        for number, _, similarity in self._known.near(texts):
            found[texts[number]] = max(similarity, found.get(texts[number], 0))
        return found

    def _asked(self, row: Row, near: dict[str, float]) -> str:
        if not near:
            return ""
        texts = [text for text in row_texts(row.messages) if text]
        if any(text in self._exact for text in texts):
            return SAME
        alike = max((near.get(words(text) or text, 0) for text in texts), default=0)
        return "" if not alike else WORDED if alike == 1 else NEAR

    def _holding(self, rows: Sequence[Row]) -> set[int]:
        """The numbers of the rows that say a case somewhere."""
        found: set[int] = set()
        everything: list[str] = []
        for number, row in enumerate(rows):
            asked, *users = map(appearance, _said(row))
            if self._short.search(asked) or any(unspaced(text) in self._bare for text in (asked, *users)):
                found.add(number)
            everything.append(unspaced(" ".join((asked, appearance(_answer(row))))))
        for number, known, _, share in self._index.pairs(everything):
            if share >= MOST and long(self._texts[known]):
                found.add(number)
        return found

    def _called(self, messages: Sequence[Json], tools: Sequence[Json]) -> str:
        """Does it call with a part of what is held out, or is there a case that every telling value belongs to?"""
        found: frozenset[int] | None = None
        for name, value in sorted(_values(messages)):
            if self._part(value):
                return PART
            if self._telling(name, value, _schema(name, tools)):
                holders = self._holders(name, value)
                found = holders if found is None else found & holders
        return VALUES if found else ""

    def _find_holders(self, name: str, value: str) -> frozenset[int]:
        """The held-out cases that say a value, or expect it of this tool."""
        held = enumerate(self._held)
        return frozenset(n for n, each in held if (name, value) in each.values or f" {value} " in each.text)


def _apart(text: str, whose: set[str]) -> bool:
    """Is a short text told in a longer one? A word of a dev case is not: "thanks" ends many a request."""
    return " " in text or "" in whose


def _said(row: Row) -> list[str]:
    """The whole prompt of a row's last turn, then each of the user's texts, where that is another."""
    *users, whole = row_texts(row.messages)
    return [whole, *(text for text in users if text and text != whole)]


def _answer(row: Row) -> str:
    return str(row.messages[-1].get("content") or "")


def _about(case: Case) -> _Held:
    *_, whole = case_texts(case.messages)
    return _Held(
        f" {appearance(whole)} ", frozenset((name, appearance(value)) for name, value in leakage.case_values(case))
    )


def _parts(held: Sequence[Case], open_: Iterable[Case], offered: Iterable[str]) -> Iterator[str]:
    """Paths, ids and words that held-out cases alone tell; of words, none that a phrase or a tool offers openly."""
    known, phrases = _Open(text for case in open_ for text in _public_texts(case)), _Open(offered)
    schemas = {id(case.tools): case.tools for case in held}
    tools = {key: _Open(json.dumps(tool, ensure_ascii=False) for tool in each) for key, each in schemas.items()}
    for case in held:
        for part, shortest in _tokens(case):
            looks = appearance(part)
            shown = known.says(looks) or tools[id(case.tools)].says(looks)
            if len(unspaced(looks)) >= shortest and not (shown or (_WORD.fullmatch(part) and phrases.says(looks))):
                yield looks


def _tokens(case: Case) -> Iterator[tuple[str, int]]:
    """What its expected values are made of, flags aside, and paths and ids of its text; how long each must be."""
    for value in _literals(case):
        yield from ((part, SHORTEST) for part in _APART.split(value) if not part.startswith("-"))
    for text in case_texts(case.messages):
        parts = (part.strip("-.:!?/") for part in _APART.split(text))
        yield from ((part, LEAST_SAID) for part in parts if _NAMED.search(part))


def _public_texts(case: Case) -> Iterator[str]:
    yield from case_texts(case.messages)
    yield from _literals(case)


def _literals(case: Case) -> Iterator[str]:
    yield from (str(value) for call in case.expect.get("calls", []) for value in literals(call["arguments"]))


def _values(messages: Sequence[Json]) -> set[tuple[str, str]]:
    """(tool, plain value) of every text and number that is called with."""
    made = [call for message in messages for call in training.calls(message)]
    return {(str(name), _plain(value)) for name, arguments in made for value in leakage.leaves(arguments)}


def _telling(_name: str, value: str, schema: str) -> bool:
    """Is it a value that two calls do not share by chance, and none of the schema's own words?"""
    return leakage.distinctive(value) and f" {value} " not in schema


def _schema(name: str, tools: Sequence[Json]) -> str:
    return _looks(next((tool for tool in tools if tool["function"]["name"] == name), {}))


@memoized(4_096)
def _looks(tool: Json) -> str:
    """A tool's words by their appearance, a space at either end."""
    return f" {appearance(json.dumps(tool, ensure_ascii=False))} "
