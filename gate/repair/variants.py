"""Variants of a miss: phrases with slots that request the same call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gate.authoring.importers.openai_chat import literal
from gate.cases import expected
from gate.cases.matchers.matcher import is_optional
from gate.cases.normalize import words
from gate.repair import phrases
from gate.repair.misses import FINAL, NO_TOOL, Miss, category
from gate.repair.phrases import Phrase, Phrases
from gate.repair.rows import KEPT, SLOTS, Row, head, turns
from gate.types import Case, Json

TRIES = 12
"""Drawings for each row that is wanted: a phrase may have few different fillings left."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows from phrases, and how many could not be had."""

    rows: list[Row]
    short: int
    """Conversations that were wanted and for which no further phrase was left."""


def read(places: Sequence[Path], fixtures: Path) -> list[Phrases]:
    """The phrases of files. Raises TemplateError, CaseError."""
    return [phrases.read(path, fixtures) for path in places]


def of_miss(miss: Miss, books: Sequence[Phrases], number: int, *, seed: int, seen: set[str]) -> Drawn:
    """Rows that want what a missed case wants, said otherwise; `seen` grows by what they ask."""
    random = np.random.default_rng([seed, int(miss.mark, 16)])
    return _drawn(miss.case, books, number, random, seen, SLOTS, miss.mark)


def of_passed(case: Case, books: Sequence[Phrases], number: int, *, seed: int, seen: set[str]) -> Drawn:
    """Rows of a category that passed, with the instructions and tools of one of its cases: what works shall go on."""
    names = category(case.expect, case.messages).encode()
    return _drawn(case, books, number, np.random.default_rng([seed, *names]), seen, KEPT, "")


def _drawn(
    case: Case,
    books: Sequence[Phrases],
    number: int,
    random: np.random.Generator,
    seen: set[str],
    origin: str,
    mark: str,
) -> Drawn:
    fit = _fitting(case, books)
    ways = [fit[way] for way in random.permutation(len(fit))]
    found: list[Row] = []
    made = 0
    for attempt in range(TRIES * number if ways else 0):
        if made == number:
            break
        book, phrase = ways[attempt % len(ways)]
        talk = phrases.drawn(book, phrase, random)
        asked = words(str(talk[0]["content"]))
        if asked in seen or not _sound(talk, case.tools):
            continue
        seen.add(asked)
        made += 1
        found += turns(Row(head(case.messages) + talk, case.tools, "", origin, mark))
    return Drawn(found, number - made)


def _fitting(case: Case, books: Sequence[Phrases]) -> list[tuple[Phrases, Phrase]]:
    """The phrases that want the same of the same tools; those with the very arguments where there are any."""
    kind, wanted = category(case.expect, case.messages), case.expect.get("calls") or []
    names, offered = sorted(call["name"] for call in wanted), _names(case.tools)
    fit = [(book, phrase) for book in books for phrase in book.phrases if _of(phrase, book, kind, names, offered)]
    alike = [(book, phrase) for book, phrase in fit if kind not in (NO_TOOL, FINAL) and _shape(phrase) == _keys(wanted)]
    return alike or fit


def _of(phrase: Phrase, book: Phrases, kind: str, names: list[str], offered: set[str]) -> bool:
    if kind == NO_TOOL:
        return bool(phrase.pairs) and _names(book.tools) == offered
    if kind == FINAL:
        return bool(phrase.result) and _names(book.tools) == offered
    return not phrase.result and phrase.names == names


def _shape(phrase: Phrase) -> list[tuple[str, ...]]:
    return sorted((call.name, *sorted(call.arguments)) for call in phrase.calls)


def _keys(wanted: Sequence[Json]) -> list[tuple[str, ...]]:
    """Of each call its tool and the arguments that it must have."""
    must = [[k for k, v in call["arguments"].items() if not is_optional(v)] for call in wanted]
    return sorted((call["name"], *sorted(keys)) for call, keys in zip(wanted, must, strict=True))


def _names(tools: Sequence[Json]) -> set[str]:
    return {tool["function"]["name"] for tool in tools}


def _sound(talk: Sequence[Json], tools: list[Json]) -> bool:
    """Would the phrase's own calls be right, were they expected with these tools?"""
    made = [call["function"] for message in talk for call in message.get("tool_calls", [])]
    wanted = {"calls": [{"name": call["name"], "arguments": literal(call["arguments"])} for call in made]}
    used = [tool for tool in tools if tool["function"]["name"] in {call["name"] for call in made}]
    return not expected.compare(wanted, made, used)
