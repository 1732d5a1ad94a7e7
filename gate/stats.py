"""Exact statistics of small suites."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.special import betaincinv


def lower_bound(hits: int, total: int, *, alpha: float = 0.05) -> float:
    """One-sided Clopper-Pearson lower bound of a rate: the rate that gives `hits` or more with probability alpha.

    It is the alpha quantile of Beta(hits, total - hits + 1); all of n right gives alpha**(1/n).
    Source: Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934).
    """
    if not 0 <= hits <= total:
        raise ValueError(f"hits must lie in 0..{total}, not {hits}")
    if hits == 0:
        return 0.0
    return float(betaincinv(hits, total - hits + 1, alpha))


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest-rank quantile: the smallest value that at least `share` of all values do not exceed; 0.0 of none."""
    if not values:
        return 0.0
    ranked = sorted(values)
    rank = max(1, -int(-share * len(ranked) // 1))
    return ranked[min(rank, len(ranked)) - 1]
