"""Exact bounds against scipy's own and against the figures of the literature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from gate.stats import lower_bound, quantile


@pytest.mark.parametrize(("hits", "bound"), [(5, 0.549), (10, 0.741), (28, 0.899), (43, 0.933), (59, 0.950)])
def test_a_clean_pass_proves_no_more_than_the_nth_root_of_alpha(hits: int, bound: float) -> None:
    assert lower_bound(hits, hits) == pytest.approx(0.05 ** (1 / hits))
    assert lower_bound(hits, hits) == pytest.approx(bound, abs=0.001)


@given(st.integers(1, 300), st.data())
def test_it_is_scipys_exact_one_sided_interval(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    interval = binomtest(hits, total, alternative="greater").proportion_ci(0.95, method="exact")
    assert lower_bound(hits, total) == pytest.approx(interval.low, abs=1e-9)


@given(st.integers(1, 60), st.data())
def test_at_the_bound_as_many_hits_or_more_come_with_probability_alpha(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(1, total))
    assert binom.sf(hits - 1, total, lower_bound(hits, total)) == pytest.approx(0.05, abs=1e-6)


def test_no_hit_proves_nothing_and_impossible_counts_are_refused() -> None:
    assert lower_bound(0, 10) == 0.0
    assert lower_bound(0, 0) == 0.0
    with pytest.raises(ValueError):
        lower_bound(3, 2)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_smallest_value_that_enough_values_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert sum(v < found for v in values) < share * len(values) + 1e-9


def test_a_quantile_of_nothing_is_zero() -> None:
    assert quantile([], 0.5) == 0.0
