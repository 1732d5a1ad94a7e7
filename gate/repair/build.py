"""Build rows from misses: reword, exclude what resembles a case, measure, balance and split. Writes nothing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gate.repair import balance, human_answers, variants
from gate.repair import dpo_pairs as pairs
from gate.repair.contamination import Guard
from gate.repair.human_answers import Answers
from gate.repair.misses import Found, Miss
from gate.repair.phrases import Phrases
from gate.repair.row_length import Ruler
from gate.repair.rows import ANSWERS, TEACHER, Row, faults, request_texts, spoken, turns
from gate.repair.split import SPLITS, split
from gate.types import Json

if TYPE_CHECKING:  # its client takes a second to import, and few repairs have a teacher
    from gate.repair.teacher import Said, Teacher

TWICE, OVER = "asks what another row asks", "is over --most"
WRONG = "the teacher's answer is not what the case expects"
WORDLESS = 'needs an answer in words: give a line of --answers with "asked" and "answer", or --teacher URL'
PHRASELESS = "no phrase of the slots wants the same of the same tool: add some, or give --teacher URL"
TWIN = (
    "a held-out case asks the same, or nearly: rows of it would teach that one; write a case that asks something else"
)
SPARE = 3
"""Times that phrases are drawn to fill the share of rows that are kept, since some are refused."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much of what a repair builds."""

    variants: int = 8
    most: int = 200
    keep: float = 0.3
    length: int = 2048
    seed: int = 0
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """What rows are made from and held against."""

    books: Sequence[Phrases]
    answers: Answers
    guard: Guard
    ruler: Ruler
    teacher: Teacher | None = None


@dataclass(slots=True)
class Built:
    """What was built, and what became of everything else: rows drawn = rows in the splits + rows dropped."""

    parts: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in SPLITS})
    pairs: list[Json] = field(default_factory=list)
    paired: set[str] = field(default_factory=set)
    """Marks of the cases that the pairs are of."""
    drawn: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rows by category and origin, before any was refused."""
    dropped: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Rows by category, origin and reason."""
    short: Counter[str] = field(default_factory=Counter)
    """By category: conversations that were wanted, and for which there was no further phrase or paraphrase."""
    unbuilt: list[tuple[str, str]] = field(default_factory=list)
    """Misses that no row was built of: the case's file and id, and why."""
    unpaired: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> list[Row]:
        return [row for part in self.parts.values() for row in part]

    @property
    def used(self) -> set[str]:
        """Marks of the cases that rows or pairs are built of."""
        return {row.case for row in self.rows if row.case} | self.paired


def build(found: Found, source: Source, options: Options, *, say: Callable[[str], None]) -> Built:
    """Rows of every miss, and of what passed. Raises GateError."""
    built, seen = Built(), set[str]()
    asked: set[bytes] = set()
    drawn: list[Row] = []
    misses = _apart(found.misses, source.guard, built)
    for number, miss in enumerate(misses, start=1):
        say(f"building … {number} of {len(misses)}")
        rows = _of_miss(miss, source, options, built, seen)
        if not rows:
            why = PHRASELESS if miss.case.expect.get("calls") else WORDLESS
            built.unbuilt.append((f"{miss.cases} {miss.case.id}", why))
        drawn += rows
    say("comparing with every case …")
    sound = _sound(drawn, source, options, built, asked)
    repaired = _capped(sound, options, built)
    kept = _kept(found, source, options, built, len(repaired), seen, asked)
    say("splitting …")
    built.parts = split([*repaired, *kept], said=request_texts, category=lambda row: row.category, seed=options.seed)
    if options.pairs:
        _pair(misses, source, built)
    return built


def _apart(misses: Sequence[Miss], guard: Guard, built: Built) -> list[Miss]:
    """The misses that no held-out case asks like; the others are listed."""
    twins = {miss.mark for miss in misses if guard.held_out(miss.case.messages)}
    built.unbuilt += [(f"{miss.cases} {miss.case.id}", TWIN) for miss in misses if miss.mark in twins]
    return [miss for miss in misses if miss.mark not in twins]


def _of_miss(miss: Miss, source: Source, options: Options, built: Built, seen: set[str]) -> list[Row]:
    phrased = variants.of_miss(miss, source.books, options.variants, seed=options.seed, seen=seen)
    rows = list(phrased.rows)
    for words, message in source.answers.wordings.get(miss.mark, []):
        rows += turns(_reworded(miss, words, message, ANSWERS))
    if source.teacher is not None:
        rows += _taught(miss, source, source.teacher, options, built)
    if rows:
        built.short[miss.category] += phrased.short
    return rows


def _taught(miss: Miss, source: Source, teacher: Teacher, options: Options, built: Built) -> list[Row]:
    """The request in a teacher's words, with its answer to them where the case would take it."""
    rows: list[Row] = []
    request = request_texts(_reworded(miss, None, {}, TEACHER))
    texts = teacher.paraphrases(request[-1], options.variants) if request else []
    built.short[miss.category] += options.variants - len(texts)
    right = source.answers.right.get(miss.mark)
    for text in texts:
        asked = _reworded(miss, text, {}, TEACHER).messages[:-1]
        message = right or _accepted(miss, teacher.answer(asked, miss.case.tools, miss.case.max_tokens))
        made = list(turns(_reworded(miss, text, message or spoken("?"), TEACHER)))
        if message is None:
            _count(built.drawn, [made[-1]])
            built.dropped[miss.category, TEACHER, WRONG] += 1
        else:
            rows += made
    return rows


def _accepted(miss: Miss, answer: Said) -> Json | None:
    """A teacher's answer as a message, if the case would take it."""
    if answer.fault or faults(miss.case, answer.content, answer.calls):
        return None
    return spoken("" if answer.calls else answer.content, answer.calls)


def _reworded(miss: Miss, words: str | None, message: Json, origin: str) -> Row:
    """The case's conversation with its last request in other words, and a message behind it."""
    messages = list(miss.case.messages)
    last = max((n for n, each in enumerate(messages) if each["role"] == "user"), default=None)
    if words is not None and last is not None:
        messages[last] = messages[last] | {"content": words}
    return Row([*messages, message or {"role": ""}], miss.case.tools, miss.category, origin, miss.mark)


def _sound(rows: list[Row], source: Source, options: Options, built: Built, asked: set[bytes]) -> list[Row]:
    """The rows that ask what no other row and no case asks, and are short enough; the others are counted."""
    _count(built.drawn, rows)
    first = _kept_where(rows, [TWICE if _known(row, asked) else "" for row in rows], built)
    apart = _kept_where(first, source.guard.refusals(first), built)
    return _kept_where(apart, source.ruler.refusals(apart, options.length), built)


def _capped(rows: list[Row], options: Options, built: Built) -> list[Row]:
    kept = balance.capped(rows, options.most, seed=options.seed)
    chosen = {id(row) for row in kept}
    _kept_where(rows, ["" if id(row) in chosen else OVER for row in rows], built)
    return kept


def _kept(
    found: Found, source: Source, options: Options, built: Built, repaired: int, seen: set[str], asked: set[bytes]
) -> list[Row]:
    """Rows of the categories that passed, so many that they are the wanted share of all."""
    rows: list[Row] = []
    for name, number in balance.shares(repaired, options.keep, list(found.passed)).items():
        number, mine = min(number, options.most), list[Row]()
        for again in range(SPARE):
            missing = number - len(mine)
            drawn = variants.of_passed(found.passed[name], source.books, missing, seed=options.seed + again, seen=seen)
            mine += _sound([row for row in drawn.rows if row.category == name], source, options, built, asked)
            if len(mine) == number or drawn.short == missing:
                break
        built.short[name] += number - len(mine)
        rows += mine
    return rows


def _pair(misses: Iterable[Miss], source: Source, built: Built) -> None:
    for miss in misses:
        chosen = human_answers.right_message(miss, source.answers)
        if chosen is None and source.teacher is not None:
            chosen = _accepted(miss, source.teacher.answer(miss.case.messages, miss.case.tools, miss.case.max_tokens))
        found = pairs.pair(miss, chosen, source.guard)
        if isinstance(found, str):
            built.unpaired[found] += 1
        else:
            built.pairs.append(found)
            built.paired.add(miss.mark)


def _count(counter: Counter[tuple[str, str]], rows: Iterable[Row]) -> None:
    for row in rows:
        counter[row.category, row.origin] += 1


def _kept_where(rows: Sequence[Row], reasons: Sequence[str], built: Built) -> list[Row]:
    """The rows that have no reason against them; the others are counted by it."""
    for row, why in zip(rows, reasons, strict=True):
        if why:
            built.dropped[row.category, row.origin, why] += 1
    return [row for row, why in zip(rows, reasons, strict=True) if not why]


def _known(row: Row, asked: set[bytes]) -> bool:
    """Was this very prompt asked before? It is now."""
    prompt = [row.messages[:-1], sorted(tool["function"]["name"] for tool in row.tools)]
    key = hashlib.blake2b(json.dumps(prompt, sort_keys=True).encode(), digest_size=16).digest()
    twice = key in asked
    asked.add(key)
    return twice
