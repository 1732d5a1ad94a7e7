"""What a test's report carries from one process to another is one JSON string, and nothing is left of it on arrival."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.plugin import state
from gate.plugin.state import Carried, Plan, Scored
from gate.types import Break, Contract, Question, Reply, Result

REPLY = Reply(
    "half a character: \ud800",
    "",
    [{"name": "x", "arguments": {"n": 10**30}}],
    [],
    "stop",
    "",
    {},
    0.1,
    200,
    None,
    "{}",
)
RESULT = Result("t", "c", "dev", False, False, ("why",), "asked", {"calls": []}, (REPLY, replace(REPLY, margin=0.5)))
QUESTION = Question([{"role": "user", "content": "x"}], [], 9)
CONTRACT = Contract(
    "t", "calls.jsonl", "0" * 64, ("c",), 0.5, digests=("d",), floors={"tag": 0.5}, tagged={"tag": ("c",)}
)
PLAN = Plan((CONTRACT,), ("suites/conftest.py",), {"../helper.py": "0" * 64})


def a_report(when: str = "call") -> pytest.TestReport:
    return pytest.TestReport("t[c]", ("t", 1, "t"), {}, "passed", None, when)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scored": Scored(RESULT, QUESTION, "lost")},
        {"scored": Scored(RESULT)},
        {"broke": Break("t", "how")},
        {"plan": PLAN},
    ],
)
def test_what_is_carried_arrives_and_leaves_nothing(changes: dict[str, object]) -> None:
    report = a_report()
    before = set(report.__dict__)
    state.carry(report, **changes)
    state.pack(report)
    assert isinstance(report.__dict__[state.FIELD], str)
    assert state.unpack(report) == Carried(**changes)  # type: ignore[arg-type]
    assert set(report.__dict__) == before


def test_a_report_of_another_test_carries_nothing() -> None:
    report = a_report()
    state.pack(report)
    assert state.FIELD not in report.__dict__
    assert state.unpack(report) == Carried()


def test_the_status_is_that_of_the_call_alone() -> None:
    for when, status in (("call", "miss"), ("teardown", "")):
        report = a_report(when)
        report.user_properties = [("other", "x"), (state.FIELD, "miss")]
        assert state.status(report) == status
