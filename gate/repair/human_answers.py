"""A person's answers to cases: the right words, the right calls, or another wording of the request.

One JSON object a line: {"id": "none-01", "answer": "…"}; "calls" in place of "answer" where a case expects a pattern
and names no value; "asked" where the line is another way to ask the case. An id that two case files have needs
"cases": FILE.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from gate.cases.matchers.matcher import UnknownError
from gate.errors import CaseError
from gate.repair.misses import Miss
from gate.repair.rows import calls, faults, spoken
from gate.system import jsonl, typed
from gate.types import Json

Text = Annotated[str, Meta(pattern=r"\S")]


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a file of answers."""

    id: str
    cases: Text | None = None
    asked: Text | None = None
    answer: Text | None = None
    calls: list[Any] | None = None

    def __post_init__(self) -> None:
        if self.asked is None and self.answer is None and self.calls is None:
            raise ValueError("answer: the line gives neither an answer nor calls")


@dataclass(frozen=True, slots=True)
class Answers:
    """By case: the assistant's message that is right, and other wordings, each with its own."""

    right: dict[str, Json] = field(default_factory=dict)
    wordings: dict[str, list[tuple[str, Json]]] = field(default_factory=dict)


def read(path: Path | None, misses: Sequence[Miss]) -> Answers:
    """The answers of a file to misses, by mark. Raises CaseError with file:line for what its case would call wrong."""
    if path is None:
        return Answers()
    right: dict[str, Json] = {}
    wordings: defaultdict[str, list[tuple[str, Json]]] = defaultdict(list)
    for number, value in jsonl.read(path):
        where = f"{path}:{number}"
        line = typed.converted(value, Line, where=where, error=CaseError)
        for miss in misses:
            if line.id != miss.case.id or line.cases not in (None, miss.cases):
                continue
            message = _message(line, miss, right, where)
            if line.asked is not None:
                wordings[miss.mark].append((line.asked, message))
            else:
                right[miss.mark] = message
    return Answers(right, dict(wordings))


def right_message(miss: Miss, answers: Answers) -> Json | None:
    """The right message of a case, by a person or by its own expectation; None where neither tells."""
    if miss.mark in answers.right:
        return answers.right[miss.mark]
    if not miss.case.expect.get("calls"):
        return None
    try:
        return spoken("", calls(miss.case))
    except UnknownError:
        return None


def _message(line: Line, miss: Miss, right: dict[str, Json], where: str) -> Json:
    """The message that a line gives, or the one that is right for its case. Raises CaseError."""
    if line.answer is None and line.calls is None:
        found = right_message(miss, Answers(right))
        if found is None:
            raise CaseError(f"{where}: no right answer of {miss.case.id} is known: give it, too")
        return found
    content, called = line.answer or "", line.calls or []
    if reasons := faults(miss.case, content, called):
        raise CaseError(f"{where}: {miss.case.id} would call this answer a miss: {reasons[0]}")
    return spoken(content, called)
