"""A bar that was lowered is found, whichever way it was lowered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.grading.paired import lowered, machine
from gate.types import Contract, Report
from tests.reports import HARDWARE, asked, made

OLD = Contract(
    "t",
    "t.jsonl",
    "0" * 64,
    ("a", "b", "c"),
    0.9,
    bound=0.3,
    must=True,
    repeats=3,
    digests=("1", "2", "3"),
    held_out=("x",),
)


def report(*contracts: Contract) -> Report:
    return asked(*contracts)


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (replace(OLD, ids=("a", "b")), "1 cases are gone, the first c"),
        (replace(OLD, floor=0.8), "floor 0.8, was 0.9"),
        (replace(OLD, bound=None), "bound 0, was 0.3"),
        (replace(OLD, drop=2), "2 regressions allowed, were 0"),
        (replace(OLD, must=False), "no longer a must"),
        (replace(OLD, smoke=True), "now a smoke test"),
        (replace(OLD, test="u"), "t is gone"),
        (replace(OLD, repeats=2), "each case is asked 2 times, was 3"),
        (replace(OLD, held_out=()), "0 held-out cases, were 1"),
        (replace(OLD, digests=("1", "2", "4")), "1 cases were changed, the first c"),
    ],
)
def test_a_lower_bar_is_found(new: Contract, why: str) -> None:
    assert any(why in fault for fault in lowered(report(new), report(OLD)))


def test_the_same_bar_and_a_higher_one_are_fine() -> None:
    higher = replace(OLD, ids=("a", "b", "c", "d"), digests=("1", "2", "3", "4"), floor=1.0, bound=0.5)
    assert lowered(report(OLD), report(OLD)) == ()
    assert lowered(report(higher, replace(OLD, test="u")), report(OLD)) == ()


def test_a_kernel_update_makes_no_other_machine() -> None:
    assert machine(HARDWARE) == machine(replace(HARDWARE, platform="Linux 6.2", memory=2))
    assert machine(HARDWARE) != machine(replace(HARDWARE, processor="q"))


def test_a_suite_that_was_changed_is_a_lower_bar_and_one_more_is_none() -> None:
    old = made(report(OLD), suites={"test_a.py": "1"})
    assert lowered(made(old, suites={"test_a.py": "2"}), old) == ("suites/test_a.py was changed",)
    assert lowered(made(old, suites={"test_a.py": "1", "test_b.py": "1"}), old) == ()


def test_the_usual_share_of_more_cases_is_no_lower_bar() -> None:
    few = Contract("t", "t.jsonl", "0" * 64, tuple(f"c{n}" for n in range(40)), 0.9)
    many = replace(few, ids=tuple(f"c{n}" for n in range(60)))
    assert (few.allowed, many.allowed) == (0, 1)
    assert lowered(report(many), report(few)) == ()
    assert lowered(report(replace(few, drop=1)), report(few)) == ("t: 1 regressions allowed, were 0",)
