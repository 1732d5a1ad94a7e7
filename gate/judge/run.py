"""`gate judge REPORT --judge X`: score the answers that a report keeps, without asking the candidate anew.

One model is in memory at a time: the candidate has answered and is gone when the judge is served. The scores and the
judge's check-up are written into the report; a later judging replaces them, and the report remembers that there was
one before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gate.cases import loader
from gate.checkpoints import checkpoint
from gate.errors import ReportError
from gate.grading.judge_scores import mean
from gate.grading.verdict import decide
from gate.judge import agreement, rubric, scoring
from gate.judge.rubric import Rubric
from gate.judge.scoring import Item, Judged
from gate.models.client import Client
from gate.models.serving.start import served
from gate.report import io as reports
from gate.report import terminal
from gate.system.progress import Progress
from gate.types import Checkpoint, Contract, Json, Outcome, Report, Result, Say, Server

CONTEXT = 16384
"""Tokens of a judge's longest prompt, with room: a rubric and one answer of gate.judge.injection.LONGEST characters."""
ANSWER_SECONDS = 600.0
KEY = "GATE_JUDGE_API_KEY"
DESCRIPTION = f"""\
Score a report's answers by the rubrics that its suites name, and decide again. The candidate is not asked anew.

    gate judge runs/20260101-120000-adapter --judge path/to/a/larger/model
    gate judge runs/20260101-120000-adapter --judge http://127.0.0.1:8080/v1 --judge-name qwen3-32b

The judge first scores the rubric's anchors; one that does not agree with them proves nothing (INCONCLUSIVE). A URL's
key stands in {KEY}. What another judge has said before is replaced, and the report says so."""
EPILOG = "exit status: 0 PASS, 1 any other verdict, 4 bad input: nothing was written."


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


def add_parser(commands: Any) -> None:
    """Add `judge` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "judge",
        help="score a report's answers by a judge, without asking the candidate anew",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", metavar="REPORT", type=Path, help="report.json, or a run's folder")
    parser.add_argument("--judge", metavar="PATH|URL", required=True, help="what judges, as --model takes it")
    parser.add_argument("--judge-name", metavar="NAME", default="", help="the name of a URL's model")
    parser.add_argument(
        "--fixtures", metavar="DIR", type=Path, default=Path("fixtures"), help="has rubrics/ and cases/"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Judge a report and print the verdict."""
    path = reports.located(given.report)
    read = reports.read(path)
    who = Judge.named(given.judge, given.judge_name)
    with Progress() as progress:
        judged = scored(read, who, given.fixtures, say=progress)
    reports.write(path, judged)
    verdict = decide(judged)
    print(terminal.summary(judged, verdict), terminal.verdict_line(verdict, path), sep="\n\n")
    return 0 if verdict.outcome is Outcome.PASS else 1


def scored(report: Report, who: Judge, fixtures: Path, *, say: Say) -> Report:
    """The report with scores and the judge's check-up. Raises GateError; the report is then as it was."""
    wanted = [contract for contract in report.contracts if contract.rubric]
    if not wanted:
        raise ReportError("no suite of this report names a rubric: there is nothing to judge")
    rubrics = {contract.rubric: _rubric(contract, fixtures) for contract in wanted}
    items = {name: list(_items(report, wanted, name, fixtures)) for name in rubrics}
    begun = time.monotonic()
    found: dict[int, Judged] = {}
    checks: dict[str, Json] = {}
    with served(who.checkpoint, say, context=CONTEXT, key=KEY) as server, Client(server, timeout=ANSWER_SECONDS) as ask:
        made = _identity(who, server)
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
        checks[contract.rubric].setdefault("tests", {})[contract.test] = _means(contract, results, checks)
    made |= {"rubrics": checks, "seconds": round(time.monotonic() - begun, 3), "earlier": _earlier(report)}
    made["warnings"] = _warnings(report, made)
    return replace(report, results=results, made=report.made | {"judge": made})


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
    if judged is None:
        return result
    return replace(result, judged=asdict(judged) | {"votes": list(judged.votes)})


def _identity(who: Judge, server: Server) -> Json:
    """Who judged, by what prompt and parameters; `pinned` is a hash over all of it."""
    described = checkpoint.described(who.checkpoint, server, digest=who.digest)
    told = {"digest": described["digest"], "prompt": scoring.digest(), "sampling": server.sampling}
    pinned = hashlib.sha256(json.dumps(told | {"runtime": server.runtime}, sort_keys=True).encode()).hexdigest()
    kept = {key: described[key] for key in ("name", "where", "verified", "family")}
    return kept | told | {"runtime": server.runtime, "pinned": pinned}


def _means(contract: Contract, results: Sequence[Result], checks: dict[str, Json]) -> Json:
    """A test's mean, and what it would be without the judge's error."""
    own, check = [result for result in results if result.test == contract.test], checks[contract.rubric]
    found = mean(own)
    if found is None or check["silent"]:
        return {"mean": found, "corrected": None}
    given, true = ([pair[at] for pair in check["scores"]] for at in (0, 1))
    scores = [float(result.score or 0) for result in own]
    corrected = agreement.corrected(scores, given, true, scale=(check["scale"][0], check["scale"][1]))
    return {"mean": found, "corrected": asdict(corrected) if corrected else None}


def _earlier(report: Report) -> list[Json]:
    """Which judges have scored this report before: a better score by another judge must not pass unseen."""
    before = report.made.get("judge")
    if before is None:
        return []
    means = {test: each["mean"] for check in before["rubrics"].values() for test, each in check["tests"].items()}
    return [*before["earlier"], {"name": before["name"], "pinned": before["pinned"], "means": means}]


def _warnings(report: Report, made: Json) -> list[str]:
    found = []
    family = report.checkpoint.get("family")
    if family and family == made["family"]:
        found.append(f"judge and candidate are of one family, {family}: models favour their own kin (arXiv 2404.13076)")
    if made["digest"] == report.checkpoint["digest"]:
        found.append("the judge is the candidate itself")
    if not made["verified"]:
        found.append("the judge is behind a URL: what is served there cannot be verified")
    others = {each["pinned"] for each in made["earlier"]} - {made["pinned"]}
    if others:
        found.append(f"{len(others)} other judges have scored these answers before")
    return found
