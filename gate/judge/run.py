"""Score the answers in a report with a judge, without asking the candidate again.

One model is in memory at a time: the candidate has answered and is gone when the judge is served. The scores and the
judge's check-up are written into the report; a later judging replaces them, and the report remembers that there was
one before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gate.cases import loader
from gate.checkpoints import checkpoint
from gate.errors import ReportError
from gate.grading.judge_scores import mean
from gate.judge import agreement, rubric, scoring
from gate.judge.rubric import Rubric
from gate.judge.scoring import Item
from gate.models.client import Client
from gate.models.serving.start import served
from gate.types import (
    Checkpoint,
    Checkup,
    Contract,
    Earlier,
    Json,
    Judged,
    Judging,
    Means,
    Report,
    Result,
    Say,
    Server,
)

CONTEXT = 16384
"""Tokens of a judge's longest prompt, with room: a rubric and one answer of gate.judge.injection.LONGEST characters."""
ANSWER_SECONDS = 600.0
KEY = "GATE_JUDGE_API_KEY"


@dataclass(frozen=True, slots=True)
class Judge:
    """Who scores, ready to be served."""

    checkpoint: Checkpoint
    digest: str

    @classmethod
    def named(cls, text: str, served_name: str = "") -> Judge:
        """The judge of a path or URL, its bytes hashed. Raises CheckpointError."""
        found = checkpoint.identify(text, served_name=served_name)
        return cls(found, checkpoint.digest(found) if found.kind.verified else "")


def scored(report: Report, who: Judge, fixtures: Path, *, say: Say) -> Report:
    """The report with scores and the judge's check-up. Raises GateError; the report is then as it was."""
    wanted = [contract for contract in report.contracts if contract.rubric]
    if not wanted:
        raise ReportError("no suite of this report names a rubric: there is nothing to judge")
    rubrics = {contract.rubric: _rubric(contract, fixtures) for contract in wanted}
    items = {name: list(_items(report, wanted, name, fixtures)) for name in rubrics}
    begun = time.monotonic()
    found: dict[int, Judged] = {}
    checks: dict[str, Checkup] = {}
    with served(who.checkpoint, say, context=CONTEXT, key=KEY) as server, Client(server, timeout=ANSWER_SECONDS) as ask:
        judging = _identity(who, server)
        for name, each in rubrics.items():
            told, checks[name] = scoring.scored(each, items[name], ask, say=say)
            found |= {int(key): one for key, one in told.items()}
    lowest = {contract.test: rubrics[contract.rubric].lowest for contract in wanted}
    found |= {
        number: Judged(lowest[each.test], (), fault, ruled=True) for number, each, fault in _faulty(report, lowest)
    }
    if who.digest and checkpoint.digest(who.checkpoint) != who.digest:
        raise ReportError("the judge's files changed while it judged: judge again")
    results = tuple(_with(result, found.get(number)) for number, result in enumerate(report.results))
    for contract in wanted:
        check = checks[contract.rubric]
        means = _means([each for each in results if each.test == contract.test], check)
        checks[contract.rubric] = replace(check, tests=check.tests | {contract.test: means})
    seconds = round(time.monotonic() - begun, 3)
    judging = replace(judging, rubrics=checks, seconds=seconds, earlier=_earlier(report))
    judging = replace(judging, warnings=tuple(_warnings(report, judging)))
    return replace(report, results=results, made=replace(report.made, judge=judging))


def _rubric(contract: Contract, fixtures: Path) -> Rubric:
    found = rubric.load(contract.rubric, fixtures)
    if found.digest != contract.rubric_digest:
        raise ReportError(f"the rubric {contract.rubric!r} was changed since these answers were asked: grade again")
    return found


def _items(report: Report, contracts: Sequence[Contract], name: str, fixtures: Path) -> list[Item]:
    """The answers to be scored, by the number of their result."""
    asked: dict[tuple[str, str], str] = {}
    for contract in contracts:
        file = loader.load(contract.cases, fixtures)
        if file.digest != contract.digest:
            raise ReportError(f"the cases of {contract.cases} were changed since they were asked: grade again")
        if contract.rubric == name:
            asked |= {(contract.test, case.id): _question(case.messages) for case in file.cases}
    return [
        Item(str(number), asked[result.test, result.case], answered(result))
        for number, result in enumerate(report.results)
        if (result.test, result.case) in asked and not result.replies[-1].fault
    ]


def _faulty(report: Report, tests: Container[str]) -> Iterator[tuple[int, Result, str]]:
    """Answers that no judge is shown, for they have a fault: cut at max_tokens, say."""
    for number, result in enumerate(report.results):
        if result.test in tests and result.replies[-1].fault:
            yield number, result, result.replies[-1].fault


def answered(result: Result) -> str:
    """The text that the user would read, without what was only thought."""
    return result.replies[-1].content.rpartition("</think>")[2]


def _question(messages: list[Json]) -> str:
    return next((str(each["content"] or "") for each in reversed(messages) if each["role"] == "user"), "")


def _with(result: Result, judged: Judged | None) -> Result:
    return result if judged is None else replace(result, judged=judged)


def _identity(who: Judge, server: Server) -> Judging:
    """Who judged, by what prompt and parameters; `pinned` is a hash over all of it."""
    described = checkpoint.described(who.checkpoint, server, digest=who.digest)
    parts: Json = {"digest": described.digest, "prompt": scoring.digest(), "sampling": server.sampling}
    parts["runtime"] = server.runtime
    return Judging(
        name=described.name,
        where=described.where,
        verified=described.verified,
        family=described.family,
        **parts,
        pinned=hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
    )


def _means(own: Sequence[Result], check: Checkup) -> Means:
    """A test's mean, and what it would be without the judge's error."""
    found = mean(own)
    if found is None or check.silent:
        return Means(found, None)
    given, true = ([pair[at] for pair in check.scores] for at in (0, 1))
    scores = [float(result.score or 0) for result in own]
    return Means(found, agreement.corrected(scores, given, true, scale=(check.scale[0], check.scale[1])))


def _earlier(report: Report) -> tuple[Earlier, ...]:
    """Which judges have scored this report before: a better score by another judge must not pass unseen."""
    before = report.made.judge
    if before is None:
        return ()
    means = {test: each.mean for check in before.rubrics.values() for test, each in check.tests.items()}
    return (*before.earlier, Earlier(before.name, before.pinned, means))


def _warnings(report: Report, judging: Judging) -> list[str]:
    found = []
    family = report.checkpoint.family
    if family and family == judging.family:
        found.append(f"judge and candidate are of one family, {family}: models favour their own kin (arXiv 2404.13076)")
    if judging.digest == report.checkpoint.digest:
        found.append("the judge is the candidate itself")
    if not judging.verified:
        found.append("the judge is behind a URL: what is served there cannot be verified")
    others = {each.pinned for each in judging.earlier} - {judging.pinned}
    if others:
        found.append(f"{len(others)} other judges have scored these answers before")
    return found
