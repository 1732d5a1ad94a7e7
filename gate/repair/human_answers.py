"""What a person gives beside a report: the right words of a case, its right calls, or another wording of it.

One JSON object a line: {"id": "none-01", "answer": "…"}; "calls" in place of "answer" where a case expects a pattern
and names no value; "asked" where the line is another way to ask the case. An id that two case files have needs
"cases": FILE.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.errors import CaseError
from gate.repair.misses import Miss
from gate.repair.rows import UnknownError, calls, faults, spoken
from gate.system import jsonl
from gate.system.text import show
from gate.types import Json

KEYS = {"id", "cases", "asked", "answer", "calls"}


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
        _check(value, where)
        for miss in misses:
            if value["id"] != miss.case.id or value.get("cases", miss.cases) != miss.cases:
                continue
            message = _message(value, miss, right, where)
            if "asked" in value:
                wordings[miss.mark].append((value["asked"], message))
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


def _check(value: Any, where: str) -> None:
    if not isinstance(value, dict) or not value.keys() <= KEYS or not isinstance(value.get("id"), str):
        raise CaseError(
            f'{where}: expected {{"id": "…", "answer": "…"}}, keys {", ".join(sorted(KEYS))}; {show(value)}'
        )
    texts = [value[key] for key in ("answer", "asked", "cases") if key in value]
    if not all(isinstance(text, str) and text.strip() for text in texts) or not isinstance(
        value.get("calls", []), list
    ):
        raise CaseError(f"{where}: answer, asked and cases are texts that are not empty, calls a list")
    if not value.keys() & {"answer", "calls", "asked"}:
        raise CaseError(f"{where}: gives neither an answer nor calls")


def _message(value: Json, miss: Miss, right: dict[str, Json], where: str) -> Json:
    """The message that a line gives, or the one that is right for its case. Raises CaseError."""
    if not value.keys() & {"answer", "calls"}:
        found = right_message(miss, Answers(right))
        if found is None:
            raise CaseError(f"{where}: no right answer of {miss.case.id} is known: give it, too")
        return found
    content, called = value.get("answer", ""), value.get("calls", [])
    if reasons := faults(miss.case, content, called):
        raise CaseError(f"{where}: {miss.case.id} would call this answer a miss: {reasons[0]}")
    return spoken(content, called)
