"""decide() is pure, and shut in doubt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.grading.verdict import decide
from gate.types import Break, Check, Contract, Outcome, Reply, Report, Result
from tests.reports import HARDWARE, asked, made

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
    return replace(asked(*contracts, results=scored), **more)


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


def preflight(report: Report, severity: str, status: str = "found") -> Report:
    check = Check("P04", "the_delta_survived", status, severity, "It did.", ("0.1 is left",), "Fuse it again.")
    return made(report, preflight=(check,))


@pytest.mark.parametrize("severity", ["fail", "refuse"])
def test_a_fault_of_the_files_cannot_pass_whatever_the_rates(severity: str) -> None:
    passing = report(contract(5), scored=results(5, 0))
    verdict = decide(preflight(passing, severity))
    assert verdict.outcome is Outcome.FAULTY
    assert verdict.faults == ("P04 the_delta_survived: 0.1 is left",)
    below = report(contract(5), scored=results(1, 4))
    assert decide(preflight(below, severity)).outcome is Outcome.FAULTY
    missing = report(contract(5), scored=results(4, 0))
    assert decide(preflight(missing, severity)).outcome is Outcome.INCOMPLETE


def test_a_warning_and_a_check_that_was_not_made_do_not_block() -> None:
    passing = report(contract(5), scored=results(5, 0))
    assert decide(preflight(passing, "warn")).outcome is Outcome.PASS
    assert decide(preflight(passing, "fail", "not possible")).outcome is Outcome.PASS


def test_a_bound_is_on_what_was_shown_not_on_the_rate() -> None:
    demanding = replace(contract(30, floor=0.9), bound=0.9)
    assert decide(report(demanding, scored=results(30, 0))).outcome is Outcome.PASS
    less = decide(report(demanding, scored=results(29, 1)))
    assert less.outcome is Outcome.BELOW_FLOOR
    assert "below the bound 0.9" in less.findings[0].why


def test_a_must_allows_no_miss() -> None:
    must = replace(contract(10, floor=1.0), must=True)
    assert decide(report(must, scored=results(10, 0))).outcome is Outcome.PASS
    assert "must be right" in decide(report(must, scored=results(9, 1))).findings[0].why


def test_smoke_tests_alone_are_inconclusive() -> None:
    smoke = replace(contract(3), smoke=True)
    assert decide(report(smoke, scored=results(3, 0))).outcome is Outcome.INCONCLUSIVE
    both = report(smoke, contract(4, test="u"), scored=results(3, 0) + results(4, 0, test="u"))
    assert decide(both).outcome is Outcome.PASS
    assert decide(report(smoke, scored=results(2, 1))).outcome is Outcome.BELOW_FLOOR


def flipped(lost: int, won: int, same: int, *, drop: int | None = None) -> tuple[Report, Report]:
    """A candidate and its champion: cases lost, won, and right in both."""
    total = lost + won + same
    demand = replace(contract(total, floor=0), drop=drop)
    new = [False] * lost + [True] * won + [True] * same
    old = [True] * lost + [False] * won + [True] * same
    rows = [
        tuple(replace(results(1, 0)[0], case=f"c{i}", hit=hit) for i, hit in enumerate(hits)) for hits in (new, old)
    ]
    return report(demand, scored=rows[0]), report(demand, scored=rows[1])


@pytest.mark.parametrize(
    ("lost", "won", "same", "drop", "outcome"),
    [
        (0, 0, 100, None, Outcome.PASS),
        (2, 0, 98, None, Outcome.PASS),
        (3, 0, 97, None, Outcome.REGRESSED),
        (1, 40, 8, None, Outcome.REGRESSED),
        (0, 49, 0, None, Outcome.PASS),
        (4, 0, 96, 10, Outcome.PASS),
        (5, 0, 95, 10, Outcome.REGRESSED),
        (7, 1, 92, 10, Outcome.REGRESSED),
        (8, 2, 90, 10, Outcome.PASS),
    ],
)
def test_regressions_are_counted_and_then_weighed(
    lost: int, won: int, same: int, drop: int | None, outcome: Outcome
) -> None:
    """2 % of the cases may be lost unless the marker says otherwise; five lost and none won is no accident."""
    verdict = decide(*flipped(lost, won, same, drop=drop))
    assert verdict.outcome is outcome
    assert (len(verdict.findings[0].regressions), len(verdict.findings[0].fixes)) == (lost, won)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sampling": {"temperature": 1}}, "sampling"),
        ({"runtime": "llama.cpp"}, "runtime"),
        ({"hardware": replace(HARDWARE, platform="macOS 26", machine="arm64")}, "graded on"),
    ],
)
def test_a_champion_under_other_conditions_is_not_compared(changes: dict[str, object], why: str) -> None:
    candidate, champion = flipped(0, 0, 10)
    verdict = decide(candidate, made(champion, **changes))
    assert verdict.outcome is Outcome.INCOMPLETE
    assert why in verdict.gaps[0]
    assert "grade it again" in verdict.gaps[0]


def test_a_champion_with_other_cases_is_not_compared() -> None:
    candidate, champion = flipped(0, 0, 10)
    other = replace(champion, contracts=(replace(champion.contracts[0], digest="1" * 64),))
    assert "had other cases" in decide(candidate, other).gaps[0]


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
    given_report = report(contract(total + missing, floor=percent / 100), scored=results(hits, misses))
    passed = decide(given_report).outcome is Outcome.PASS
    assert passed == (missing == 0 and total > 0 and 100 * hits >= percent * total)


def test_deciding_changes_nothing_and_repeats() -> None:
    once = report(contract(3), scored=results(2, 1))
    assert decide(once) == decide(replace(once))


def test_a_repeated_case_is_right_when_every_answer_is() -> None:
    wanted = replace(contract(2, floor=0.5), repeats=2)
    right, wrong = results(1, 1)
    verdict = decide(report(wanted, scored=(right, right, replace(wrong, hit=True), wrong)))
    assert (verdict.outcome, verdict.findings[0].hits, verdict.findings[0].total) == (Outcome.PASS, 1, 2)


@pytest.mark.parametrize("times", [1, 3])
def test_a_case_that_was_asked_another_number_of_times_is_a_gap(times: int) -> None:
    verdict = decide(report(replace(contract(1), repeats=2), scored=results(1, 0) * times))
    assert verdict.outcome is Outcome.INCOMPLETE
    assert f"asked {times} times, not 2: t: c0" in verdict.gaps


def test_a_held_out_bound_is_shown_at_alpha_over_the_attempt() -> None:
    """22 of 22 show 0.8727 at alpha .05 and 0.8456 at alpha .025 (1 - alpha)^(1/22)."""
    wanted = replace(contract(22, floor=0.0), bound=0.85, held_out=tuple(f"{n}" for n in range(22)))
    outcomes = [decide(report(replace(wanted, attempt=n), scored=results(22, 0))) for n in (1, 2)]
    assert [verdict.outcome for verdict in outcomes] == [Outcome.PASS, Outcome.BELOW_FLOOR]
    assert [verdict.findings[0].lower for verdict in outcomes] == [
        pytest.approx(0.05 ** (1 / 22)),
        pytest.approx(0.025 ** (1 / 22)),
    ]


def test_held_out_cases_without_a_counted_attempt_are_a_gap() -> None:
    verdict = decide(report(replace(contract(1), held_out=("x",)), scored=results(1, 0)))
    assert verdict.gaps == ("not counted: t: which attempt this is at its held-out cases is not known",)


def tagged(floors: dict[str, float], tags: dict[str, tuple[str, ...]], *, floor: float = 0.0) -> Contract:
    return replace(contract(10, floor=floor), floors=floors, tagged=tags)


@pytest.mark.parametrize(("hits", "outcome"), [(10, Outcome.PASS), (9, Outcome.PASS), (8, Outcome.BELOW_FLOOR)])
def test_a_tag_has_a_floor_of_its_own(hits: int, outcome: Outcome) -> None:
    """The last two cases bear the tag; with 9 hits one of them is right, with 8 none."""
    wanted = tagged({"hard": 0.5}, {"hard": ("c8", "c9")})
    verdict = decide(report(wanted, scored=results(hits, 10 - hits)))
    assert verdict.outcome is outcome
    assert [(part.tag, part.total) for part in verdict.findings[0].parts] == [("hard", 2)]


def test_a_tag_whose_cases_were_not_asked_is_incomplete() -> None:
    wanted = tagged({"hard": 0.5}, {"hard": ("c8", "c9")})
    assert decide(report(wanted, scored=results(8, 0))).outcome is Outcome.INCOMPLETE


def test_a_tag_of_burned_cases_alone_meets_no_floor() -> None:
    wanted = replace(tagged({"hard": 0.5}, {"hard": ("c8", "c9")}), contaminated=("c8", "c9"))
    verdict = decide(report(wanted, scored=results(10, 0)))
    assert verdict.outcome is Outcome.BELOW_FLOOR
    assert "hard 0/0" in verdict.findings[0].why
