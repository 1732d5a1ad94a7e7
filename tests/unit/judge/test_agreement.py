"""Agreement of a judge with a person, against the formula, statsmodels and worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from gate.judge.agreement import corrected, follows, kappa, line


def by_definition(judge: list[int], person: list[int], size: int) -> float:
    """1 - sum(w O) / sum(w E) over the table of both, w = (i - j)² (Cohen 1968)."""
    table = np.zeros((size, size))
    for a, b in zip(judge, person, strict=True):
        table[a, b] += 1
    weights = np.subtract.outer(np.arange(size), np.arange(size)) ** 2
    chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(1 - (weights * table).sum() / (weights * chance).sum())


@pytest.mark.parametrize("seed", range(20))
def test_kappa_is_cohens_with_quadratic_weights(seed: int) -> None:
    random = np.random.default_rng(seed)
    person = random.integers(0, 4, 44).tolist()
    judge = [min(3, max(0, score + int(random.integers(-1, 2)))) for score in person]
    found = kappa(judge, person)
    assert found.value == pytest.approx(by_definition(judge, person, 4))
    assert found.lower <= found.value <= found.upper


def test_kappa_is_that_of_statsmodels() -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    judge, person = [0, 1, 2, 3, 3, 2, 1, 0, 0, 1] * 4, [0, 1, 2, 3, 2, 2, 1, 1, 0, 0] * 4
    table = np.zeros((4, 4))
    for a, b in zip(judge, person, strict=True):
        table[a, b] += 1
    theirs = inter_rater.cohens_kappa(table, wt="quadratic", return_results=False)
    assert kappa(judge, person).value == pytest.approx(theirs)


def test_full_agreement_is_one_and_a_constant_judge_shows_nothing() -> None:
    person = [0, 1, 2, 3] * 10
    assert kappa(person, person).value == pytest.approx(1.0)
    assert kappa(person, person).lower == pytest.approx(1.0)
    assert kappa([2] * 40, person).value == pytest.approx(0.0)
    assert kappa([2] * 40, [2] * 40).value == 0.0


def test_a_judge_that_turns_the_scale_over_is_below_zero() -> None:
    person = [0, 1, 2, 3] * 10
    assert kappa([3 - score for score in person], person).value == pytest.approx(-1.0)


def test_on_two_steps_the_corrected_mean_is_rogan_and_gladens() -> None:
    """q0 = .85 of 20 bad ones told, q1 = .95 of 20 good ones; p = .93: (p + q0 - 1) / (q0 + q1 - 1) = .975."""
    person = [0] * 20 + [1] * 20
    judge = [0] * 17 + [1] * 3 + [1] * 19 + [0]
    found = corrected([1.0] * 93 + [0.0] * 7, judge, person, scale=(0, 1))
    assert found is not None
    assert found.value == pytest.approx((0.93 + 0.85 - 1) / (0.85 + 0.95 - 1))
    assert found.lower < found.value <= found.upper <= 1


def test_a_generous_judge_is_corrected_downwards() -> None:
    person = [0, 1, 2, 3] * 10
    judge = [min(3, score + 1) for score in person]
    a, b = line(judge, person)
    found = corrected([2.0] * 10, judge, person, scale=(0, 3))
    assert found is not None
    assert found.value == pytest.approx((2 - a) / b)
    assert found.value < 2


def test_a_judge_that_follows_nothing_cannot_be_corrected() -> None:
    assert corrected([2.0], [1] * 40, [0, 1, 2, 3] * 10, scale=(0, 3)) is None


def test_the_same_scores_give_the_same_bounds() -> None:
    judge, person = [0, 1, 2, 3, 3] * 8, [0, 1, 2, 2, 3] * 8
    assert kappa(judge, person) == kappa(judge, person)


def test_correlation_of_a_constant_is_nothing() -> None:
    assert follows([1, 1, 1], [1, 2, 3]) == 0.0
    assert follows([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)


@pytest.mark.parametrize(("judge", "person"), [([], []), ([1], [1, 2])])
def test_scores_come_in_pairs(judge: list[int], person: list[int]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        kappa(judge, person)
