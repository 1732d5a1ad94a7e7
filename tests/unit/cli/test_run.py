"""`gate run`: an exit status for each way to end."""

from __future__ import annotations

import sys

import pytest

from gate.cli.run import STATUS, status
from gate.types import Outcome, Verdict
from tests.project import Project, a_case


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_status(outcome: Outcome) -> None:
    assert status(Verdict(outcome, ()), 0 if outcome is Outcome.PASS else 1) == STATUS[outcome]
    assert (STATUS[outcome] == 0) == (outcome is Outcome.PASS)


def test_a_pass_beside_a_failing_test_is_none() -> None:
    assert status(Verdict(Outcome.PASS, ()), 1) == 3


@pytest.mark.parametrize(("code", "expected"), [(4, 2), (2, 2), (3, 3), (1, 3), (0, 3)])
def test_no_verdict_is_never_0(code: int, expected: int) -> None:
    assert status(None, code) == expected


SMOKE = """
import pytest

@pytest.mark.gate("calls.jsonl", smoke=True)
def test_calls(model, case):
    assert model.ask(case).calls == case.calls
"""


def run(project: Project, *arguments: str, model: str = "scripted:answers.jsonl") -> int:
    command = (sys.executable, "-m", "gate", "run", model, "-p", "no:hypothesispytest", *arguments)
    return int(project.pytester.run(*command, timeout=120).ret)


def test_each_way_to_end(project: Project, how: tuple[str, ...]) -> None:
    assert run(project, *how) == 0
    assert run(project, *how, "-k", "pwd") == 3
    assert run(project, *how, model="scripted:missing.jsonl") == 2
    project.suite(SMOKE)
    assert run(project, *how) == 4
    project.cases(a_case("other"))
    assert run(project, *how) == 1
