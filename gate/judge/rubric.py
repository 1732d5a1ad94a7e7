"""A rubric: whom answers are compared with, a scale with a description and an example for each score, and anchors.

    fixtures/rubrics/direct.toml     about, bar, votes, [[score]], and [voice] for gate.judge.style_rules
    fixtures/rubrics/direct.jsonl    anchors: {"id": …, "asked": …, "answer": …, "score": 0}

Anchors are answers with the score that a careful person gave; a judge must agree with them before it is believed.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.errors import CaseError
from gate.system import jsonl
from gate.types import Json

ANCHORS = 40
"""Fewer show too little: 30 of 30 bad ones caught still leave one in ten possible (95 %)."""
MIDDLING = 30
"""Anchors that must lie below the highest score: a judge that likes everything must not pass."""
MOST_VOTES = 9
KEYS = {"about", "bar", "votes", "score", "voice"}


@dataclass(frozen=True, slots=True)
class Score:
    """One step of the scale."""

    value: int
    means: str
    example: str
    """An answer that has exactly this score."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """An answer and the score that a person gave it."""

    id: str
    asked: str
    answer: str
    score: int


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a judge is given, and what it must agree with."""

    name: str
    about: str
    bar: float
    """Lowest accepted one-sided 95 % lower bound of the quadratic-weighted kappa with the anchors."""
    votes: int
    """Times that each answer is judged; the median counts."""
    scale: tuple[Score, ...]
    """From the lowest score to the highest."""
    anchors: tuple[Anchor, ...]
    digest: str
    """sha256 of both files."""

    @property
    def lowest(self) -> int:
        return self.scale[0].value

    @property
    def highest(self) -> int:
        return self.scale[-1].value


def load(name: str, fixtures: Path) -> Rubric:
    """The rubric of `fixtures/rubrics/<name>.toml` with its anchors. Raises CaseError that names file and key."""
    path = fixtures / "rubrics" / f"{name}.toml"
    anchors = path.with_suffix(".jsonl")
    try:
        texts = [each.read_bytes() for each in (path, anchors)]
        told = tomllib.loads(texts[0].decode("utf-8"))
    except (OSError, ValueError) as error:
        raise CaseError(f"rubric {name!r}: {path} or its anchors beside it cannot be read: {error}") from error
    scale = _scale(told, path)
    return Rubric(
        name=name,
        about=_text(told, "about", path),
        bar=_bar(told, path),
        votes=_votes(told, path),
        scale=scale,
        anchors=_anchors(anchors, scale),
        digest=hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest(),
    )


def _scale(told: Json, path: Path) -> tuple[Score, ...]:
    if unknown := set(told) - KEYS:
        raise CaseError(f"{path}: unknown key {', '.join(sorted(unknown))}; known: {', '.join(sorted(KEYS))}")
    rows = told.get("score")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CaseError(f"{path}: needs a [[score]] table for each step of its scale")
    for row in rows:
        if set(row) != {"value", "means", "example"} or not _whole(row["value"]):
            raise CaseError(f"{path}: a [[score]] has a whole `value`, `means` and `example`, found {sorted(row)}")
    scale = tuple(Score(row["value"], _text(row, "means", path), _text(row, "example", path)) for row in rows)
    values = [step.value for step in scale]
    if len(values) < 2 or values != list(range(values[0], values[0] + len(values))):
        raise CaseError(f"{path}: [[score]]: two or more values, each one above the last, found {values}")
    return scale


def _anchors(path: Path, scale: tuple[Score, ...]) -> tuple[Anchor, ...]:
    values = [step.value for step in scale]
    found: dict[str, Anchor] = {}
    for number, row in jsonl.read(path):
        anchor = _anchor(row, f"{path}:{number}", values)
        if anchor.id in found:
            raise CaseError(f"{path}:{number}: id {anchor.id!r} stands twice")
        found[anchor.id] = anchor
    below = sum(anchor.score < values[-1] for anchor in found.values())
    if len(found) < ANCHORS or below < MIDDLING:
        raise CaseError(
            f"{path}: {len(found)} anchors, {below} of them below the highest score: at least {ANCHORS} and {MIDDLING} "
            "are needed before a judge can be believed"
        )
    if missing := set(values) - {anchor.score for anchor in found.values()}:
        raise CaseError(f"{path}: no anchor has the score {min(missing)}")
    return tuple(found.values())


def _anchor(row: Any, where: str, values: list[int]) -> Anchor:
    if not isinstance(row, dict) or set(row) != {"id", "asked", "answer", "score"}:
        raise CaseError(f"{where}: an anchor has the keys id, asked, answer, score")
    if not all(isinstance(row[key], str) and row[key].strip() for key in ("id", "asked", "answer")):
        raise CaseError(f"{where}: id, asked and answer are texts, and not empty")
    if not _whole(row["score"]) or row["score"] not in values:
        raise CaseError(f"{where}: score {row['score']!r} is not on the scale {values[0]} to {values[-1]}")
    return Anchor(**row)


def _text(told: Json, key: str, path: Path) -> str:
    value = told.get(key)
    if not isinstance(value, str) or not value.strip():
        raise CaseError(f"{path}: {key}: needs a text")
    return value.strip()


def _bar(told: Json, path: Path) -> float:
    bar = told.get("bar")
    if isinstance(bar, bool) or not isinstance(bar, (int, float)) or not 0 < bar <= 1:
        raise CaseError(f"{path}: bar: the lowest accepted bound of kappa, above 0 and up to 1, found {bar!r}")
    return float(bar)


def _votes(told: Json, path: Path) -> int:
    votes = told.get("votes", 3)
    if not _whole(votes) or not (1 <= votes <= MOST_VOTES and votes % 2):
        raise CaseError(f"{path}: votes: an odd number up to {MOST_VOTES}, so that there is a median, found {votes!r}")
    return int(votes)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
