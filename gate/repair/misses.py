"""Collect the misses of reports: those that rows can repair, those that need another fix, and held-out ones, which
are counted only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gate.cases import loader as cases
from gate.cases.loader import CaseFile
from gate.errors import CaseError, ReportError
from gate.system.text import one_line
from gate.types import HELD_OUT, Attribution, Case, Contract, Json, Reply, Report, Result

NO_TOOL, FINAL = "no-tool", "finalisation"
MODEL = "model"
ADVICE = {
    "template": "fix the chat template: it left out an offered tool or a tool's result",
    "parser": "fix the template, tool_parser_type or the server: the right call was written, and lost",
    "stop": "fix the stop token, or rows that end without one: the answer was right and ran on",
    "length": "give the case more max_tokens, or the model fewer words: it was cut before the right thing came",
    "server": "fix the server: what the model wrote is right",
}
"""What to fix instead, by the stage of a miss (gate.grading.attribution): rows for it would retrain a healthy
model."""
CHANGED = "was changed since it was asked: grade again"
OFF, UNTOLD = "grade without --gate-attribution=off", "grade again; the report does not say why it was not told"
DIFFERENT = "its misses have different stages ({}): fix what is no `model` first, then grade again"


@dataclass(frozen=True, slots=True)
class Miss:
    """A case of split `dev` that the model itself got wrong."""

    case: Case
    cases: str
    """Its case file."""
    mark: str
    """What it asks (gate.cases.loader.marks)."""
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
    made: Attribution | None
    """What its report says of stages: whose were asked, and why some have none."""
    at: datetime
    """When its report was begun."""

    @property
    def name(self) -> str:
        return f"{self.cases} {self.result.case}"


def collect(read: Sequence[Report], fixtures: Path) -> Found:
    """The misses of reports of one checkpoint, by the newest result of each case, each case once.

    Raises CaseError for a case file that cannot be read, ReportError for reports of several checkpoints.
    """
    _of_one(read)
    asked, sealed = _asked(read, fixtures)
    collected = Found(held_out=len(sealed))
    by_case: defaultdict[str, list[_Asked]] = defaultdict(list)
    for each in asked:
        by_case[each.name].append(each)
    newest = {name: _newest(every) for name, every in by_case.items()}
    missed = {_kind(each.case) for each in newest.values() if each.case and not each.result.hit}
    marks = set()
    for name, each in newest.items():
        stages = {one.result.stage for one in by_case[name] if one.case and not one.result.hit}
        if each.result.hit:
            if each.case and _kind(each.case) not in missed:
                collected.passed.setdefault(_kind(each.case), each.case)
        elif each.case is None or stages != {MODEL}:
            collected.elsewhere.append(Elsewhere(name, each.result.stage, _advice(each, stages)))
        elif (mark := cases.marks(each.case)[1]) not in marks:
            marks.add(mark)
            collected.misses.append(Miss(each.case, each.cases, mark, _kind(each.case), each.result.replies[-1]))
    return collected


def category(expect: Json, messages: Sequence[Json]) -> str:
    """What a case is of: the tool it wants called first, an answer after a tool's result, or words alone."""
    calls = expect.get("calls")
    if calls:
        return str(calls[0]["name"])
    return FINAL if messages and messages[-1]["role"] == "tool" else NO_TOOL


def _of_one(read: Sequence[Report]) -> None:
    """A row for what one checkpoint got wrong may be none for another. Raises ReportError."""
    told = {report.checkpoint.digest: report for report in read}
    if len(told) > 1:
        names = ", ".join(f"{one_line(each.checkpoint.name, 40)} ({key[:12]})" for key, each in told.items())
        raise ReportError(f"these are reports of {len(told)} different checkpoints, {names}: give those of one")


def _newest(every: Sequence[_Asked]) -> _Asked:
    """The newest result of a case; of a report in which several tests ask it a miss, if there is one."""
    last = max(each.at for each in every)
    return min((each for each in every if each.at == last), key=lambda each: each.result.hit)


def _asked(read: Sequence[Report], fixtures: Path) -> tuple[list[_Asked], set[tuple[str, str]]]:
    """What was asked of dev cases, and the held-out cases that were missed, which are counted and no more."""
    files: dict[str, CaseFile] = {}
    asked: list[_Asked] = []
    sealed: set[tuple[str, str]] = set()
    for report in read:
        contracts = {contract.test: contract for contract in report.contracts}
        blame, at = report.made.attribution, _begun(report)
        for result in report.results:
            contract = contracts.get(result.test)
            if contract is None:
                raise CaseError(f"a report's result of {result.test} has no contract in it: grade again")
            case = None if result.split == HELD_OUT else _case(_file(contract.cases, fixtures, files), contract, result)
            if HELD_OUT not in (result.split, case.split if case else ""):
                asked.append(_Asked(contract.cases, case, result, blame, at))
            elif not result.hit:
                sealed.add((contract.cases, result.case))
    return asked, sealed


def _begun(report: Report) -> datetime:
    try:
        return datetime.fromisoformat(report.made.started).astimezone(UTC)
    except ValueError as error:
        raise ReportError(f"a report says it was made at {report.made.started!r}, which is not a time") from error


def _file(name: str, fixtures: Path, files: dict[str, CaseFile]) -> CaseFile:
    if name not in files:
        files[name] = cases.load(name, fixtures)
    return files[name]


def _kind(case: Case) -> str:
    return category(case.expect, case.messages)


def _advice(each: _Asked, stages: set[str]) -> str:
    if each.case is None:
        return CHANGED
    if len(stages) > 1:
        return DIFFERENT.format(", ".join(sorted(stage or "not told" for stage in stages)))
    if not each.result.stage:
        return f"not told: {_untold(each.made)}"
    return ADVICE.get(each.result.stage, f"stage {each.result.stage}: no rows are built for it")


def _untold(made: Attribution | None) -> str:
    """Why a miss has no stage: attribution was off, or could not be asked."""
    if made is not None and made.asked == "off":
        return OFF
    problems = list(made.problems) if made is not None else []
    return f"attribution could not be asked ({'; '.join(problems)}): fix that and grade again" if problems else UNTOLD


def _case(file: CaseFile, contract: Contract, result: Result) -> Case | None:
    """The case that a result is of, if it still asks and expects what it did."""
    case = next((each for each in file.cases if each.id == result.case), None)
    if case is None:
        return None
    if contract.digests:
        asked = dict(zip(contract.ids, contract.digests, strict=False)).get(case.id)
        return case if asked == cases.marks(case)[0] else None
    return case if file.digest == contract.digest else None
