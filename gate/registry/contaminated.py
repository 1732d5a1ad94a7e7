"""Contaminated cases, which training rows were built from: `<registry>/contaminated.jsonl`, a ledger over all slots.

A case whose miss became training rows no longer shows what the model can do: it is asked on, and counts no more. A
fresh case that `replaces` it takes its place; until then a promotion would stand on fewer cases, and is refused.

A case is contaminated by its mark (gate.cases.loader.marks), and by its words: whatever asks what a contaminated case
asks, or a row that was built of it, or nearly that, is contaminated too, however it is written and whatever tools it
offers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gate.cases import loader
from gate.cases.loader import CaseFile
from gate.registry import ledger
from gate.registry.ledger import LedgerError
from gate.types import Case, Contract, Json

EVENT = "contaminated"


def record(
    registry: Path, marks: Mapping[str, str], facts: Json, asked: Mapping[str, Iterable[str]] | None = None
) -> int:
    """Record that rows were built from these cases: {what each asks (gate.cases.loader.marks)[1]: its id}; how many are
    new.

    `facts`: the repair's manifest, digest and report. `asked`: by mark, what the case and its rows ask, as
    normalize.asking has it. Raises LedgerError when it cannot be recorded.
    """
    seen = recorded(registry)
    new = {mark: id_ for mark, id_ in sorted(marks.items()) if mark not in seen}
    words = {mark: [text for text in dict.fromkeys(all_) if text not in seen] for mark, all_ in (asked or {}).items()}
    unseen = {mark: "\n".join(texts) for mark, texts in sorted(words.items()) if texts}
    if new or unseen:
        ledger.append(path(registry), EVENT, facts | {"cases": new} | ({"asked": unseen} if unseen else {}))
    return len(new)


def recorded(registry: Path) -> dict[str, str]:
    """The id of every contaminated case, by its mark and by what it asks (normalize.asking). Raises LedgerError."""
    found: dict[str, str] = {}
    for line in ledger.read(path(registry)):
        try:
            found |= {str(mark): str(id_) for mark, id_ in line.facts["cases"].items()}
            for mark, texts in line.facts.get("asked", {}).items():  # lines of before have none
                found |= dict.fromkeys(texts.split("\n"), found[mark])
        except (KeyError, AttributeError) as error:
            raise LedgerError(f"{path(registry)}: line {line.number} names no contaminated cases") from error
    return found


def check(registry: Path) -> None:
    """Can cases be recorded there? Asked before anything is built, and leaves nothing behind. Raises LedgerError."""
    recorded(registry)
    place = next(each for each in (registry, *registry.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        for each in (path(registry), path(registry).with_name(f"{path(registry).name}.lock")):
            if each.exists():
                os.close(os.open(each, os.O_WRONLY | os.O_APPEND))
    except OSError as error:
        raise LedgerError(f"{path(registry)}: no case can be recorded there: {error}: fix that, then repair") from error


def without(contract: Contract, file: CaseFile, marks: Mapping[str, str]) -> Contract:
    """The contract with the cases that training has learned from, and those of them that a fresh case replaces."""
    if not marks:  # as in most projects, and marks take time
        return replace(contract, contaminated=(), replaced=())
    caught = among(file.cases, marks)
    ids = {case.id: None for number, case in enumerate(file.cases) if number in caught}
    fresh = {case.replaces for case in file.cases if case.id not in ids}
    return replace(contract, contaminated=tuple(ids), replaced=tuple(id_ for id_ in ids if id_ in fresh))


def among(cases: Sequence[Case], known: Mapping[str, str]) -> dict[int, str]:
    """The numbers of the contaminated cases, each with the id of the recorded case that it is, or asks like."""
    if not known:
        return {}
    from gate.cases import asked, similarity  # numpy: most runs have no contaminated case, and need not wait for it

    marks = [question for _, question in loader.all_marks(cases)]
    found = {number: known[mark] for number, mark in enumerate(marks) if mark in known}
    texts = {number: asked.ways(case.messages) for number, case in enumerate(cases) if number not in found}
    worded = {number: next((text for text in each if text in known), "") for number, each in texts.items()}
    found |= {number: known[text] for number, text in worded.items() if text}
    left = {number: each for number, each in texts.items() if number not in found}
    near = similarity.nearly_asked(left, tuple(text for text in known if asked.END in text))
    return found | {number: known[text] for number, text in near.items()}


def path(registry: Path) -> Path:
    """The ledger of contaminated cases."""
    return registry / "contaminated.jsonl"
