"""A rubric: whom answers are compared with, a scale with a description and an example for each score, and anchors.

    fixtures/rubrics/direct.toml     about, bar, votes, [[score]], and [style] for gate.judge.style_rules
    fixtures/rubrics/direct.jsonl    anchors: {"id": …, "asked": …, "answer": …, "score": 0}

Anchors are answers with the score that a careful person gave; a judge must agree with them before it is believed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gate.errors import CaseError
from gate.judge.style_rules import StyleRules
from gate.system import jsonl, typed

ANCHORS = 40
"""Fewer show too little: 30 of 30 bad ones caught still leave one in ten possible (95 %)."""
MIDDLING = 30
"""Anchors that must lie below the highest score: a judge that likes everything must not pass."""
Text = Annotated[str, Meta(pattern=r"\S")]


class Score(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of the scale."""

    value: int
    """Each one above the last."""
    means: Text
    """What answers with this score have in common."""
    example: Text
    """An answer that has exactly this score."""


class Anchor(Struct, frozen=True, forbid_unknown_fields=True):
    """An answer and the score that a person gave it."""

    id: Text
    asked: Text
    answer: Text
    score: int


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """A rubric as it is written."""

    about: Text
    """Who speaks, to whom and how: all that the judge knows of this person."""
    bar: Annotated[float, Meta(gt=0, le=1)]
    """Lowest accepted one-sided 95 % lower bound of the quadratic-weighted kappa with the anchors."""
    score: Annotated[tuple[Score, ...], Meta(min_length=2)]
    """The scale, from the lowest score to the highest."""
    votes: Literal[1, 3, 5, 7, 9] = 3
    """Times that each answer is judged; the median counts."""
    style: StyleRules | None = None
    """What is counted without a judge (gate.judge.style_rules)."""

    def __post_init__(self) -> None:
        values = [step.value for step in self.score]
        if values != list(range(values[0], values[0] + len(values))):
            raise ValueError(f"score: expected two or more values, each one above the last, found {values}")


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
    except OSError as error:
        raise CaseError(f"rubric {name!r}: {path} or its anchors beside it cannot be read: {error}") from error
    file = typed.parsed(texts[0], File, where=path, error=CaseError)
    scale = tuple(Score(step.value, step.means.strip(), step.example.strip()) for step in file.score)
    return Rubric(
        name=name,
        about=file.about.strip(),
        bar=file.bar,
        votes=file.votes,
        scale=scale,
        anchors=_anchors(anchors, scale),
        digest=hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest(),
    )


def _anchors(path: Path, scale: tuple[Score, ...]) -> tuple[Anchor, ...]:
    values = [step.value for step in scale]
    found: dict[str, Anchor] = {}
    for number, row in jsonl.read(path):
        anchor = typed.converted(row, Anchor, where=f"{path}:{number}", error=CaseError)
        if anchor.score not in values:
            raise CaseError(f"{path}:{number}: score {anchor.score} is not on the scale {values[0]} to {values[-1]}")
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
