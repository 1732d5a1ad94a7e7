"""Statistics against scipy's and statsmodels' own, against enumeration, and against the figures of the literature."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, bootstrap, norm, permutation_test

from gate import stats
from gate.stats import (
    cases_needed,
    difference_bound,
    holm,
    lower_bound,
    mcnemar,
    pass_hat_k,
    quantile,
    regression_bound,
    sign_flip,
    upper_bound,
    wilson,
)

COUNTS = st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
SHARES = st.lists(st.floats(0, 1), max_size=12)
SCORES = st.lists(st.sampled_from([-1.0, -0.5, -0.1, 0.0, 0.1, 0.3, 1.0]), min_size=1, max_size=8)
EIGHTHS = st.lists(st.integers(-8, 8).map(lambda n: n / 8), min_size=2, max_size=12)  # sums without rounding
CLEAN = [
    (5, 0.549, 0.478, 0.566),
    (10, 0.741, 0.692, 0.722),
    (20, 0.861, 0.832, 0.839),
    (28, 0.899, 0.877, 0.879),
    (43, 0.933, 0.918, 0.918),
    (59, 0.950, 0.939, 0.939),
    (81, 0.964, 0.955, 0.955),
    (100, 0.970, 0.964, 0.963),
    (200, 0.985, 0.982, 0.981),
    (299, 0.990, 0.988, 0.987),
]
NEEDED = {0.80: (14, 22, 30, 37), 0.90: (29, 46, 61, 76), 0.95: (59, 93, 124, 153), 0.99: (299, 473, 628, 773)}
FLIPS = [(4, 0, 0.063), (5, 0, 0.031), (7, 0, 0.0078), (8, 0, 0.0039), (7, 1, 0.035), (8, 2, 0.055)]


def printed(figure: float) -> object:
    return pytest.approx(figure, abs=0.00051 if figure > 0.01 else 0.00005)


def every(*strategies: st.SearchStrategy[Any], examples: int = 100) -> Callable[[Any], Any]:
    """Hypothesis without a deadline: a busy machine is not a bug."""
    return lambda test: settings(max_examples=examples, deadline=None)(given(*strategies)(test))


@pytest.fixture(scope="module")
def statsmodels() -> Any:
    return pytest.importorskip("statsmodels.stats.api")


@pytest.mark.parametrize(("hits", "one_sided", "two_sided", "score"), CLEAN)
def test_a_clean_pass_proves_no_more_than_the_nth_root_of_alpha(
    hits: int, one_sided: float, two_sided: float, score: float
) -> None:
    assert lower_bound(hits, hits) == pytest.approx(0.05 ** (1 / hits))
    assert lower_bound(hits, hits) == printed(one_sided)
    assert lower_bound(hits, hits, alpha=0.025) == printed(two_sided)
    assert wilson(hits, hits) == (printed(score), 1.0)


@every(COUNTS, st.sampled_from([0.05, 0.01, 0.2]))
def test_both_bounds_are_scipys_exact_one_sided_intervals(counts: tuple[int, int], alpha: float) -> None:
    greater = binomtest(*counts, alternative="greater").proportion_ci(1 - alpha, method="exact")
    less = binomtest(*counts, alternative="less").proportion_ci(1 - alpha, method="exact")
    assert lower_bound(*counts, alpha=alpha) == pytest.approx(greater.low, abs=1e-9)
    assert upper_bound(*counts, alpha=alpha) == pytest.approx(less.high, abs=1e-9)


@every(COUNTS)
def test_two_sided_intervals_are_those_of_scipy_and_statsmodels(statsmodels: Any, counts: tuple[int, int]) -> None:
    scipys = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert wilson(*counts) == pytest.approx((scipys.low, scipys.high), abs=1e-9)
    assert wilson(*counts) == pytest.approx(statsmodels.proportion_confint(*counts, method="wilson"), abs=1e-9)
    exact = lower_bound(*counts, alpha=0.025), upper_bound(*counts, alpha=0.025)
    assert exact == pytest.approx(statsmodels.proportion_confint(*counts, method="beta"), abs=1e-9)


@every(COUNTS)
def test_at_the_bound_as_many_hits_or_more_come_with_probability_alpha(counts: tuple[int, int]) -> None:
    hits, total = counts
    if hits:
        assert binom.sf(hits - 1, total, lower_bound(hits, total)) == pytest.approx(0.05, abs=1e-6)
    if hits < total:
        assert binom.cdf(hits, total, upper_bound(hits, total)) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("total", range(1, 31))
def test_the_bounds_hold_at_least_95_times_of_100_whatever_the_true_rate(total: int) -> None:
    rates = np.linspace(0, 1, 201)[:, None]
    chances = binom.pmf(np.arange(total + 1), total, rates)
    lows = np.array([lower_bound(hits, total) for hits in range(total + 1)])
    highs = np.array([upper_bound(hits, total) for hits in range(total + 1)])
    assert ((lows <= rates) * chances).sum(axis=1).min() >= 0.95 - 1e-9
    assert ((highs >= rates) * chances).sum(axis=1).min() >= 0.95 - 1e-9


def test_no_hit_and_no_case_prove_nothing() -> None:
    assert (lower_bound(0, 10), upper_bound(10, 10), regression_bound(0)) == (0.0, 1.0, 1.0)
    assert (lower_bound(0, 0), upper_bound(0, 0), wilson(0, 0)) == (0.0, 1.0, (0.0, 1.0))


@pytest.mark.parametrize(("total", "possible"), [(10, 0.259), (28, 0.101), (43, 0.067)])
def test_no_regression_seen_leaves_some_possible(total: int, possible: float) -> None:
    assert regression_bound(total) == pytest.approx(1 - 0.05 ** (1 / total))
    assert regression_bound(total) == printed(possible)


@pytest.mark.parametrize("bound", NEEDED)
def test_the_cases_needed_are_those_of_the_table(bound: float) -> None:
    assert tuple(cases_needed(bound, misses=misses) for misses in range(4)) == NEEDED[bound]


@every(st.floats(0, 0.99), st.integers(0, 5), st.sampled_from([0.05, 0.01]))
def test_one_case_less_than_needed_does_not_show_the_bound(bound: float, misses: int, alpha: float) -> None:
    needed = cases_needed(bound, alpha=alpha, misses=misses)
    assert lower_bound(needed - misses, needed, alpha=alpha) >= bound
    assert needed == misses or lower_bound(needed - 1 - misses, needed - 1, alpha=alpha) < bound


@pytest.mark.parametrize(("total", "passes"), [(10, 0.60), (28, 0.24), (43, 0.11)])
def test_a_model_right_95_times_of_100_passes_small_suites_whole(total: int, passes: float) -> None:
    """Which is why a floor of 1 on ten cases is a smoke test: the bound says .741, though the true rate is .95."""
    assert binom.pmf(total, total, 0.95) == pytest.approx(passes, abs=0.005)
    assert lower_bound(total, total) < 0.95


@pytest.mark.parametrize(("lost", "won", "p"), FLIPS)
def test_mcnemar_gives_the_ps_of_the_table(lost: int, won: int, p: float) -> None:
    assert mcnemar(lost, won) == printed(p)


@pytest.mark.parametrize(("total", "fires", "seen"), [(28, 0.14, 0.95), (43, 0.43, 0.99), (81, 0.92, 1.0)])
def test_mcnemar_misses_most_breaks_that_small_suites_show(total: int, fires: float, seen: float) -> None:
    chances = binom.pmf(np.arange(total + 1), total, 0.1)
    significant = [mcnemar(lost, 0) < 0.05 for lost in range(total + 1)]
    assert chances[significant].sum() == pytest.approx(fires, abs=0.005)
    assert 1 - chances[0] == pytest.approx(seen, abs=0.005)


@pytest.mark.parametrize("flips", range(11))
def test_mcnemar_is_the_share_of_all_ways_to_flip_that_lose_as_much(flips: int) -> None:
    losses = [sum(way) for way in product((0, 1), repeat=flips)]
    for lost in range(flips + 1):
        assert mcnemar(lost, flips - lost) == pytest.approx(sum(n >= lost for n in losses) / 2**flips)


@every(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_half_of_the_two_sided_test_of_statsmodels(statsmodels: Any, lost: int, won: int) -> None:
    both = statsmodels.mcnemar([[0, lost], [won, 0]], exact=True).pvalue
    assert min(1, 2 * min(mcnemar(lost, won), mcnemar(won, lost))) == pytest.approx(both, rel=1e-6, abs=1e-12)


@every(SHARES, examples=20)
def test_holm_is_that_of_statsmodels_in_the_given_order(statsmodels: Any, p_values: list[float]) -> None:
    expected = statsmodels.multipletests(p_values, method="holm")[1] if p_values else []
    assert holm(p_values) == pytest.approx(tuple(expected))


@every(SHARES)
def test_holm_keeps_the_ranks_and_makes_no_p_smaller(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert all(one[1] <= two[1] for one, two in pairwise(sorted(zip(p_values, adjusted, strict=True))))


def test_after_holm_over_seven_suites_eight_losses_are_needed() -> None:
    assert holm([mcnemar(7, 0), *[1.0] * 6])[0] > 0.05
    assert holm([mcnemar(8, 0), *[1.0] * 6])[0] < 0.05


@pytest.mark.parametrize("runs", range(1, 8))
def test_pass_hat_k_is_the_share_of_subsets_of_runs_that_all_hit(runs: int) -> None:
    for hits in range(runs + 1):
        for k in range(1, runs + 1):
            subsets = [all(chosen) for chosen in combinations([True] * hits + [False] * (runs - hits), k)]
            assert pass_hat_k(hits, runs, k=k) == pytest.approx(sum(subsets) / len(subsets))
    assert pass_hat_k(4, 5, k=3) == pytest.approx(0.4), "the table's figure"


@every(SCORES, st.data())
def test_sign_flip_is_the_share_of_all_flips_of_clusters_that_reach_the_total(
    scores: list[float], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from("abcd"), min_size=len(scores), max_size=len(scores)))
    margin = data.draw(st.sampled_from([0.0, 0.1, 0.25]))
    sums = [sum(s + margin for s, name in zip(scores, names, strict=True) if name == one) for one in sorted(set(names))]
    flipped = [sum(np.multiply(signs, sums)) for signs in product((1, -1), repeat=len(sums))]
    reached = sum(total >= sum(sums) - 1e-9 for total in flipped) / len(flipped)
    assert sign_flip(scores, clusters=names, margin=margin) == pytest.approx(reached)


@every(EIGHTHS, examples=30)
def test_sign_flip_without_clusters_is_scipys_permutation_test(scores: list[float]) -> None:
    scipys = permutation_test((scores,), np.sum, permutation_type="samples", alternative="greater")
    assert sign_flip(scores) == pytest.approx(scipys.pvalue)


def test_drawn_flips_come_near_the_exact_p_and_count_the_observed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [0.3, -0.1, 0.4, 0.2, -0.2, 0.1, 0.5, -0.3, 0.25, 0.05, 0.6, -0.15]
    exact = sign_flip(scores)
    monkeypatch.setattr(stats, "ENUMERABLE", 0)
    assert sign_flip(scores) == pytest.approx(exact, abs=4 * (exact * (1 - exact) / stats.DRAWS) ** 0.5)
    assert sign_flip([1.0] * 40) == 1 / (1 + stats.DRAWS)
    assert sign_flip([-1.0] * 40) == 1.0


def test_a_cluster_that_cancels_but_for_rounding_shows_nothing() -> None:
    assert sign_flip([0.1, 0.1, -0.5], clusters=list("aaa"), margin=0.1) == 1.0


def test_four_clusters_show_nothing_however_many_cases_they_hold() -> None:
    assert sign_flip([0.0] * 400, clusters=list("abcd") * 100, margin=0.5) == 1 / 16


@every(EIGHTHS.filter(lambda scores: np.ptp(scores) > 0), examples=15)
def test_without_clusters_the_bound_is_scipys_bca_of_the_mean(scores: list[float]) -> None:
    generator = np.random.default_rng(stats.SEED)
    scipys = bootstrap((scores,), np.mean, confidence_level=0.9, rng=generator).confidence_interval.low
    assert difference_bound(scores) == pytest.approx(scipys, abs=1e-9)
    assert difference_bound(scores) <= np.mean(scores)


def test_copies_in_a_cluster_add_nothing_and_copies_alone_pretend_to() -> None:
    scores = [0.3, -0.1, 0.4, 0.2, -0.2, 0.1, 0.5]
    names = [str(at) for at in range(7)]
    once = difference_bound(scores)
    assert difference_bound(scores * 3, clusters=names * 3) == pytest.approx(once)
    assert difference_bound(scores * 3) > once + 0.05
    assert sign_flip(scores * 3, clusters=names * 3) == sign_flip(scores)


def test_a_case_weighs_the_same_in_a_large_cluster() -> None:
    assert difference_bound([0.0] * 100 + [1.0] * 4, clusters=["large"] * 100 + list("abcd")) <= 4 / 104


def test_in_thousands_of_clusters_the_bound_is_that_of_the_normal_distribution() -> None:
    scores = np.random.default_rng(1).normal(0.1, 1, 5000).tolist()
    error = np.std(scores) / 5000**0.5
    assert difference_bound(scores) == pytest.approx(np.mean(scores) - norm.ppf(0.95) * error, abs=0.1 * error)
    assert sign_flip(scores, margin=-0.1) == pytest.approx(norm.sf((np.mean(scores) - 0.1) / error), abs=0.02)


def test_differences_all_alike_give_their_own_mean_and_leave_the_doubt_to_sign_flip() -> None:
    assert difference_bound([0.1] * 3) == pytest.approx(0.1)
    assert sign_flip([0.0, 0.0], margin=0.1) == 0.25


@every(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_smallest_value_that_enough_values_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert sum(v < found for v in values) < share * len(values) + 1e-9


def test_a_quantile_counts_in_decimals_and_is_zero_of_nothing() -> None:
    assert quantile(range(1, 101), 0.07) == 7
    assert quantile([], 0.5) == 0.0


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:The BCa")
@pytest.mark.parametrize(
    ("refused", "found"),
    [
        (lambda: lower_bound(3, 2), "hits must be a whole number in 0..2, not 3"),
        (lambda: upper_bound(1.5, 2), "not 1.5"),  # type: ignore[arg-type]
        (lambda: wilson(0, -1), "the total must be .* not -1"),
        (lambda: lower_bound(1, 2, alpha=1.0), "alpha .* not 1.0"),
        (lambda: cases_needed(1.0), "no number of cases shows 1.* not 1.0"),
        (lambda: mcnemar(-1, 0), "lost .* not -1"),
        (lambda: holm([0.5, 1.5, float("nan")]), "not 1.5"),
        (lambda: holm([0.5, float("nan"), -1]), "not nan"),
        (lambda: pass_hat_k(3, 5, k=6), r"in 1\.\.5, .* not 6"),
        (lambda: pass_hat_k(3, 5, k=0), "not 0"),
        (lambda: difference_bound([]), r"not \[\]"),
        (lambda: difference_bound([0.0, 1e-200, 0.0]), "too small to resample, up to 1e-200"),
        (lambda: difference_bound([0.1]), "at least 2 clusters, not 1"),
        (lambda: difference_bound([0.1, 0.2], clusters=["a"]), "2 differences need .* not 1"),
        (lambda: sign_flip([float("inf")]), "inf"),
        (lambda: sign_flip([0.1], clusters=[]), "1 differences need .* not 0"),
        (lambda: sign_flip([0.1], margin=float("nan")), "margin .* not nan"),
        (lambda: quantile([1.0], 1.5), "not 1.5"),
        (lambda: quantile([float("nan")], 0.5), "not nan"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_found(refused: Callable[[], object], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        refused()
