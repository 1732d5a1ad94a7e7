"""Agreement of a judge with human scores, and how its error affects a mean.

Scores are whole numbers on one scale; the two sequences are paired, judge first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gate.stats import RESAMPLES, SEED
from gate.types import Interval

Floats = NDArray[np.float64]
ALPHA = 0.05


def kappa(judge: Sequence[int], person: Sequence[int]) -> Interval:
    """Quadratic-weighted kappa: 1 is full agreement, 0 what chance gives.

    1 - mean((j - p)²) / (var(j) + var(p) + (mean(j) - mean(p))²): with quadratic weights the chance of Cohen's formula
    ("Weighted kappa", Psychological Bulletin 70, 1968) sums up to this denominator. Where neither varies it is 0:
    nothing can be shown. The bounds resample the pairs.
    """
    given, true = _paired(judge, person)
    drawn = np.random.default_rng(SEED).integers(len(given), size=(RESAMPLES, len(given)))
    return _interval(float(_kappa(given, true)), _kappa(given[drawn], true[drawn]))


def line(judge: Sequence[int], person: Sequence[int]) -> tuple[float, float]:
    """Intercept and slope of the judge's score over the person's, by least squares; 0 where that is constant."""
    given, true = _paired(judge, person)
    a, b = _line(given, true)
    return float(a), float(b)


def corrected(
    scores: Sequence[float], judge: Sequence[int], person: Sequence[int], *, scale: tuple[int, int]
) -> Interval | None:
    """The mean that the person would have given, by the line (m - a) / b; None where the judge follows no line upwards.

    On a scale of two steps this is Rogan and Gladen's estimator (American Journal of Epidemiology 107, 1978;
    arXiv 2511.21140), (p + q0 - 1) / (q0 + q1 - 1). The bounds resample answers and anchors, each on their own.
    """
    given, true = _paired(judge, person)
    asked = np.asarray(scores, dtype=float)
    random = np.random.default_rng(SEED)
    of_anchors = random.integers(len(given), size=(RESAMPLES, len(given)))
    of_scores = random.integers(len(asked), size=(RESAMPLES, len(asked)))
    a, b = _line(given, true)
    drawn_a, drawn_b = _line(given[of_anchors], true[of_anchors])
    if b <= 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(drawn_b > 0, (asked[of_scores].mean(axis=1) - drawn_a) / drawn_b, np.nan)
    if np.isnan(means).any():
        means = np.concatenate([means[~np.isnan(means)], np.repeat([scale], np.isnan(means).sum(), axis=0).ravel()])
    return _interval(float(np.clip((asked.mean() - a) / b, *scale)), np.clip(means, *scale))


def follows(values: Sequence[float], others: Sequence[float]) -> float:
    """Pearson's correlation; 0 where one of them does not vary."""
    one, other = np.asarray(values, dtype=float), np.asarray(others, dtype=float)
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _kappa(given: Floats, true: Floats) -> Floats:
    apart = ((given - true) ** 2).mean(axis=-1)
    chance = given.var(axis=-1) + true.var(axis=-1) + (given.mean(axis=-1) - true.mean(axis=-1)) ** 2
    return np.where(chance > 0, 1 - apart / np.where(chance > 0, chance, 1), 0.0)


def _line(given: Floats, true: Floats) -> tuple[Floats, Floats]:
    middle, other = true.mean(axis=-1), given.mean(axis=-1)
    spread = true.var(axis=-1)
    shared = (given * true).mean(axis=-1) - middle * other
    slope = np.where(spread > 0, shared / np.where(spread > 0, spread, 1), 0.0)
    return other - slope * middle, slope


def _interval(value: float, drawn: Floats) -> Interval:
    lower, upper = np.quantile(drawn, (ALPHA, 1 - ALPHA))
    return Interval(*(round(float(each), 10) + 0.0 for each in (value, lower, upper)))


def _paired(judge: Sequence[int], person: Sequence[int]) -> tuple[Floats, Floats]:
    if not judge or len(judge) != len(person):
        raise ValueError(f"scores come in pairs, and there are {len(judge)} and {len(person)}")
    return np.asarray(judge, dtype=float), np.asarray(person, dtype=float)
