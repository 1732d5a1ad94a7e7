"""No row says what a case says, or calls with what a held-out case is about.

What a case says, and when two texts say nearly the same, is settled as in P19 (gate.preflight.leakage): rows that pass
here pass there. Held-out cases are read to compare with, and nothing of them is told.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gate import cases
from gate import rows as training
from gate.errors import CaseError
from gate.preflight import leakage
from gate.preflight.near import Known, normal
from gate.repair.misses import HELD
from gate.repair.rows import Row
from gate.types import Json

SAME, WORDS, NEAR = "asks what a case asks", "asks it in the same words", "asks nearly what a case asks"
VALUES = "calls with the values of a held-out case"


@dataclass(frozen=True, slots=True)
class _Held:
    """What a held-out case is about."""

    text: str
    """What is said in it, made plain, a space at either end."""
    values: frozenset[tuple[str, str]]


class Guard:
    """Every case of every case file, to compare rows with."""

    def __init__(self, fixtures: Path) -> None:
        """Raises CaseError for a case file that cannot be read: what is not seen cannot be kept apart."""
        names = cases.files(fixtures)
        if not names:
            raise CaseError(
                f"{fixtures}/cases: holds no case file to keep the rows apart from: name it with --fixtures"
            )
        self._owners: defaultdict[str, set[str]] = defaultdict(set)
        self._exact: set[str] = set()
        self._held: list[_Held] = []
        for name in names:
            for case in cases.load(name, fixtures).cases:
                texts = list(leakage.case_texts(case.messages))
                for text in texts:
                    self._owners[normal(text) or text].add(cases.marks(case)[1])
                self._exact.update(texts)
                if case.split == HELD:
                    self._held.append(_Held(f" {normal(texts[-1])} ", leakage.case_values(case)))
        self._texts = list(self._owners)
        self._known = Known(self._texts)
        self._holders = cache(self._find_holders)
        self._telling = cache(_telling)

    def refusals(self, rows: Sequence[Row]) -> list[str]:
        """Why each row may not be trained on; empty where it may."""
        near = self._near(rows)
        return [self._asked(row, near) or self._called(row.messages, row.tools) for row in rows]

    def others(self, messages: Sequence[Json], mark: str) -> bool:
        """Does a conversation say what another case than this one says?"""
        texts = {text for text in leakage.row_texts([*messages, {"role": "assistant"}]) if text}
        plain = [normal(text) or text for text in sorted(texts)]
        return any(self._owners[self._texts[known]] - {mark} for _, known, _ in self._known.pairs(plain))

    def _near(self, rows: Iterable[Row]) -> dict[str, float]:
        """The plain texts that are near to one of a case, with their similarity."""
        texts = list({normal(text) or text: None for row in rows for text in leakage.row_texts(row.messages) if text})
        found: dict[str, float] = {}
        for number, _, similarity in self._known.pairs(texts):
            found[texts[number]] = max(similarity, found.get(texts[number], 0))
        return found

    def _asked(self, row: Row, near: dict[str, float]) -> str:
        if not near:
            return ""
        texts = [text for text in leakage.row_texts(row.messages) if text]
        if any(text in self._exact for text in texts):
            return SAME
        alike = max((near.get(normal(text) or text, 0) for text in texts), default=0)
        return "" if not alike else WORDS if alike == 1 else NEAR

    def _called(self, messages: Sequence[Json], tools: Sequence[Json]) -> str:
        """Is there a held-out case that every telling value of the row's calls belongs to?"""
        found: frozenset[int] | None = None
        for name, value in sorted(_values(messages)):
            if self._telling(name, value, _schema(name, tools)):
                holders = self._holders(name, value)
                found = holders if found is None else found & holders
        return VALUES if found else ""

    def _find_holders(self, name: str, value: str) -> frozenset[int]:
        """The held-out cases that say a value, or expect it of this tool."""
        held = enumerate(self._held)
        return frozenset(n for n, each in held if (name, value) in each.values or f" {value} " in each.text)


def _values(messages: Sequence[Json]) -> set[tuple[str, str]]:
    """(tool, plain value) of every text and number that is called with."""
    made = [call for message in messages for call in training.calls(message)]
    return {(str(name), value) for name, arguments in made for value in leakage.leaves(arguments)}


def _telling(_name: str, value: str, schema: str) -> bool:
    """Is it a value that two calls do not share by chance, and none of the schema's own words?"""
    return leakage.distinctive(value) and f" {value} " not in schema


_SCHEMAS: dict[tuple[int, str], tuple[Any, str]] = {}


def _schema(name: str, tools: Sequence[Json]) -> str:
    """A tool's words, made plain, a space at either end; remembered by the very list of tools."""
    key = (id(tools), name)
    if key not in _SCHEMAS:
        own = next((tool for tool in tools if tool["function"]["name"] == name), {})
        _SCHEMAS[key] = (tools, f" {normal(json.dumps(own, ensure_ascii=False))} ")
    return _SCHEMAS[key][1]
