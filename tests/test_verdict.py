"""decide() is pure, and shut in doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.types import Break, Contract, Outcome, Reply, Report, Result
from gate.verdict import decide

REPLY = Reply("x", "", [], [], "stop", "", {}, 0.25, 200, None, "{}")


def contract(count: int, *, floor: float = 1.0, test: str = "t") -> Contract:
    return Contract(test, f"{test}.jsonl", "0" * 64, tuple(f"c{i}" for i in range(count)), floor)


def results(hits: int, misses: int, *, test: str = "t") -> tuple[Result, ...]:
    flags = [True] * hits + [False] * misses
    return tuple(
        Result(test, f"c{i}", "dev", hit, hit, () if hit else ("wrong",), "?", {}, (REPLY,))
        for i, hit in enumerate(flags)
    )


def report(*contracts: Contract, scored: tuple[Result, ...], **more: tuple[Break, ...]) -> Report:
    return Report(1, {}, {}, contracts, scored, more.get("breaks", ()), more.get("skips", ()))


def test_all_right_passes() -> None:
    verdict = decide(report(contract(28), scored=results(28, 0)))
    assert verdict.outcome is Outcome.PASS
    assert verdict.findings[0].lower == pytest.approx(0.899, abs=0.0005)
    assert (verdict.findings[0].median, verdict.findings[0].p95) == (0.25, 0.25)


@pytest.mark.parametrize(("floor", "count"), [(0.07, 100), (0.1, 10), (0.29, 100), (0.57, 100), (0.95, 20), (1.0, 7)])
def test_a_rate_equal_to_the_floor_passes_and_one_hit_less_does_not(floor: float, count: int) -> None:
    """floor * n in binary floating point is a hair above the whole number for some of these."""
    hits = round(floor * count)
    exact = report(contract(count, floor=floor), scored=results(hits, count - hits))
    less = report(contract(count, floor=floor), scored=results(hits - 1, count - hits + 1))
    assert decide(exact).outcome is Outcome.PASS
    assert decide(less).outcome is Outcome.BELOW_FLOOR


def test_one_suite_below_its_floor_blocks_all() -> None:
    scored = results(5, 0) + results(3, 1, test="u")
    assert decide(report(contract(5), contract(4, test="u"), scored=scored)).outcome is Outcome.BELOW_FLOOR


def test_nothing_asked_is_incomplete() -> None:
    assert decide(report(scored=())).outcome is Outcome.INCOMPLETE
    assert decide(report(contract(0, floor=0), scored=())).outcome is Outcome.INCOMPLETE
    assert decide(report(contract(3, floor=0), scored=())).outcome is Outcome.INCOMPLETE


def test_one_case_not_asked_is_incomplete_whatever_the_floor() -> None:
    verdict = decide(report(contract(5, floor=0), scored=results(4, 0)))
    assert verdict.outcome is Outcome.INCOMPLETE
    assert verdict.gaps == ("not asked: t: c4 (1 of 5)",)
    assert verdict.findings[0].outcome is Outcome.INCOMPLETE


def test_a_case_asked_twice_is_incomplete() -> None:
    assert decide(report(contract(2), scored=results(2, 0) + results(1, 0))).outcome is Outcome.INCOMPLETE


def test_a_result_that_no_contract_asked_for_is_incomplete() -> None:
    assert decide(report(contract(2), scored=results(3, 0))).outcome is Outcome.INCOMPLETE


@pytest.mark.parametrize("kind", ["breaks", "skips"])
def test_a_break_or_a_skip_is_incomplete_though_every_case_is_right(kind: str) -> None:
    given_report = report(contract(2), scored=results(2, 0), **{kind: (Break("t", "x"),)})
    assert decide(given_report).outcome is Outcome.INCOMPLETE


def test_a_case_that_the_champion_had_is_missed() -> None:
    candidate = report(contract(2), scored=results(2, 0))
    champion = report(contract(3), scored=results(3, 0))
    assert decide(candidate, champion).gaps == ("the champion was asked t: c2",)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 100), st.integers(0, 3))
def test_pass_means_complete_and_at_the_floor(hits: int, misses: int, percent: int, missing: int) -> None:
    total = hits + misses
    asked = report(contract(total + missing, floor=percent / 100), scored=results(hits, misses))
    passed = decide(asked).outcome is Outcome.PASS
    assert passed == (missing == 0 and total > 0 and 100 * hits >= percent * total)


def test_deciding_changes_nothing_and_repeats() -> None:
    asked = report(contract(3), scored=results(2, 1))
    assert decide(asked) == decide(replace(asked))
