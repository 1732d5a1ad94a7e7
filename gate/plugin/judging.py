"""After the tests: a judge scores the answers, where one was named and a contract has a rubric."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.errors import GateError
from gate.judge import run
from gate.plugin.progress import progress
from gate.types import Break, Report


def judge(config: pytest.Config) -> run.Judge | None:
    """Who judges, found before anything is asked."""
    named = config.getoption("gate_judge")
    if named is None:
        return None
    try:
        return run.Judge.named(named, config.getoption("gate_judge_name"))
    except GateError as error:
        raise pytest.UsageError(f"--judge: {error}") from error


def judged(config: pytest.Config, report: Report, judge: run.Judge) -> Report:
    """The report with a judge's scores; the same one where nothing is to be judged."""
    if not any(contract.rubric for contract in report.contracts):
        return report
    fixtures = config.rootpath / config.getini("gate_fixtures")
    try:
        return run.scored(report, judge, fixtures, say=progress(config))
    except (GateError, OSError) as error:
        return replace(report, breaks=(*report.breaks, Break("judge", str(error))))
