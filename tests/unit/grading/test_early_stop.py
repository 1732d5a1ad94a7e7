"""A run may stop when a demand cannot be met any more, and not one case before."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gate.grading.early_stop import below
from gate.grading.verdict import decide
from gate.types import Break, Contract, Outcome, Reply, Report, Result
from tests.reports import asked, made

IDS = tuple(f"c{n}" for n in range(12))
CONTRACT = Contract("t", "f", "0" * 64, IDS, 0.5)
REPLY = Reply("x", "", [], [], "stop", "", {}, 0.0, 200, None, "{}")


def results(hits: dict[str, bool]) -> tuple[Result, ...]:
    return tuple(Result("t", case, "dev", hit, hit, (), "", {}, (REPLY,)) for case, hit in hits.items())


@settings(deadline=None)
@given(
    missed=st.sets(st.sampled_from(IDS)),
    floor=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    bound=st.sampled_from([None, 0.3, 0.7]),
    must=st.booleans(),
    contaminated=st.sets(st.sampled_from(IDS[:4]), max_size=4),
)
def test_it_is_certain_exactly_when_the_best_that_can_come_would_fail(
    missed: set[str], floor: float, bound: float | None, must: bool, contaminated: set[str]
) -> None:
    floors = {"hard": 0.5}
    contract = replace(CONTRACT, floor=floor, bound=bound, must=must, contaminated=tuple(contaminated), floors=floors)
    contract = replace(contract, tagged={"hard": IDS[4:7]})
    best = asked(contract, results=results({case: case not in missed for case in IDS}))
    assert bool(below(contract, missed)) is (decide(best).outcome is Outcome.BELOW_FLOOR)


def stopped(number: int, *, stop: str = "t: …") -> Report:
    return made(asked(CONTRACT, results=results(dict.fromkeys(IDS[:number], False))), stopped=stop)


def test_a_run_that_was_stopped_for_it_is_below_the_floor_and_lists_what_was_not_asked() -> None:
    verdict = decide(stopped(7))
    assert verdict.outcome is Outcome.BELOW_FLOOR
    assert "5/12 at most" in verdict.findings[0].why
    assert any("not asked: t: c7" in gap for gap in verdict.gaps)


def test_a_run_that_was_stopped_too_early_or_by_something_else_is_incomplete() -> None:
    assert decide(stopped(6)).outcome is Outcome.INCOMPLETE
    assert decide(stopped(7, stop="")).outcome is Outcome.INCOMPLETE


def test_what_broke_stays_incomplete() -> None:
    assert decide(replace(stopped(7), breaks=(Break("server", "died"),))).outcome is Outcome.INCOMPLETE
