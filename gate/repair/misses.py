"""The misses of reports: which of them rows can repair, which are another part's to mend, which are nobody's to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gate import cases
from gate.cases import CaseFile
from gate.errors import CaseError
from gate.types import Case, Contract, Json, Reply, Report, Result

HELD = "held-out"
NO_TOOL, FINAL = "no-tool", "finalisation"
MODEL = "model"
ADVICE = {
    "template": "mend the chat template: it left out an offered tool or a tool's result",
    "parser": "mend the template, tool_parser_type or the server: the right call was written, and lost",
    "stop": "mend the stop token, or rows that end without one: the answer was right and ran on",
    "length": "give the case more max_tokens, or the model fewer words: it was cut before the right thing came",
    "server": "mend the server: what the model wrote is right",
    "": "not told: grade without --gate-blame=off",
}
"""What to mend instead, by the stage of a miss (gate.blame): rows for it would retrain a healthy model."""
CHANGED = "was changed since it was asked: grade again"


@dataclass(frozen=True, slots=True)
class Miss:
    """A case of split `dev` that the model itself got wrong."""

    case: Case
    cases: str
    """Its case file."""
    mark: str
    """What it asks (gate.cases.marks)."""
    category: str
    reply: Reply
    """What the model said."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A miss that rows cannot or must not repair."""

    case: str
    """Its file and id."""
    stage: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What reports hold for a repair."""

    misses: list[Miss] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)
    passed: dict[str, Case] = field(default_factory=dict)
    """Categories of which no case was missed, each with one of its cases."""
    held_out: int = 0
    """Misses of held-out cases: refused, unseen."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One result with its case; None where that is no longer what was asked."""

    cases: str
    case: Case | None
    result: Result

    @property
    def name(self) -> str:
        return f"{self.cases} {self.result.case}"


def found(read: Sequence[Report], fixtures: Path) -> Found:
    """The misses of reports, each case once. Raises CaseError for a case file that cannot be read."""
    asked, sealed = _asked(read, fixtures)
    told = Found(held_out=len(sealed))
    missed = {_kind(each.case) for each in asked if each.case and not each.result.hit}
    own = {each.name: each for each in reversed(asked) if each.case and each.result.stage == MODEL}
    wrong = {each.name: each for each in reversed(asked) if not each.result.hit}
    marks = set()
    for name, each in reversed(wrong.items()):
        mine = own.get(name, each)
        if mine.case is None or mine.result.hit or mine.result.stage != MODEL:
            told.elsewhere.append(Elsewhere(name, each.result.stage, _advice(each)))
        elif (mark := cases.marks(mine.case)[1]) not in marks:
            marks.add(mark)
            told.misses.append(Miss(mine.case, mine.cases, mark, _kind(mine.case), mine.result.replies[-1]))
    for each in asked:
        if each.case and each.result.hit and _kind(each.case) not in missed:
            told.passed.setdefault(_kind(each.case), each.case)
    return told


def category(expect: Json, messages: Sequence[Json]) -> str:
    """What a case is of: the tool it wants called first, an answer after a tool's result, or words alone."""
    calls = expect.get("calls")
    if calls:
        return str(calls[0]["name"])
    return FINAL if messages and messages[-1]["role"] == "tool" else NO_TOOL


def _asked(read: Sequence[Report], fixtures: Path) -> tuple[list[_Asked], set[tuple[str, str]]]:
    """What was asked of dev cases, and the held-out cases that were missed, which are counted and no more."""
    files: dict[str, CaseFile] = {}
    asked: list[_Asked] = []
    sealed: set[tuple[str, str]] = set()
    for report in read:
        contracts = {contract.test: contract for contract in report.contracts}
        for result in report.results:
            contract = contracts.get(result.test)
            if contract is None:
                raise CaseError(f"a report's result of {result.test} has no contract in it: grade again")
            case = None if result.split == HELD else _case(_file(contract.cases, fixtures, files), contract, result)
            if HELD not in (result.split, case.split if case else ""):
                asked.append(_Asked(contract.cases, case, result))
            elif not result.hit:
                sealed.add((contract.cases, result.case))
    return asked, sealed


def _file(name: str, fixtures: Path, files: dict[str, CaseFile]) -> CaseFile:
    if name not in files:
        files[name] = cases.load(name, fixtures)
    return files[name]


def _kind(case: Case) -> str:
    return category(case.expect, case.messages)


def _advice(each: _Asked) -> str:
    if each.case is None:
        return CHANGED
    return ADVICE.get(each.result.stage, f"stage {each.result.stage}: no rows are built for it")


def _case(file: CaseFile, contract: Contract, result: Result) -> Case | None:
    """The case that a result is of, if it still asks and expects what it did."""
    case = next((each for each in file.cases if each.id == result.case), None)
    if case is None:
        return None
    if contract.digests:
        asked = dict(zip(contract.ids, contract.digests, strict=False)).get(case.id)
        return case if asked == cases.marks(case)[0] else None
    return case if file.digest == contract.digest else None
