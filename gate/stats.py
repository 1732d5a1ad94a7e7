"""Statistics of small suites: exact where a formula is, else with a fixed seed, so that the same data say the same.

A count that cannot be, a rate outside 0..1 or a value that is not a number is a ValueError that says what was found.
Rates, levels (alpha) and p values are shares, 0..1. No normal approximation below a few hundred cases but `wilson`,
which is for comparing with other tools: Bowyer, Aitchison and Ivanova, arXiv 2503.01747.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

SEED = 20240614
"""Of every drawn number here. It is not for tuning."""
RESAMPLES = 9999
DRAWS = 10_000
ENUMERABLE = 16
"""Up to so many clusters every flip of signs is tried, 65,536 at most; above it, DRAWS of them."""
BLOCKS = 1000
"""More clusters than these are dealt into so many blocks: independent as they are, and the work stays bounded."""

Floats = NDArray[np.float64]


def lower_bound(hits: int, total: int, *, alpha: float = 0.05) -> float:
    """One-sided Clopper-Pearson lower bound of a rate: the rate that gives `hits` or more with probability alpha.

    It is the alpha quantile of Beta(hits, total - hits + 1); all of n right gives alpha**(1/n), no hit gives 0.
    Source: Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934).
    """
    from scipy.special import betaincinv  # a fifth of a second, here and below, that collecting cases need not wait

    _counted("hits", hits, total)
    _level(alpha)
    return float(betaincinv(hits, total - hits + 1, alpha)) if hits else 0.0


def upper_bound(hits: int, total: int, *, alpha: float = 0.05) -> float:
    """One-sided Clopper-Pearson upper bound of a rate: the rate that gives `hits` or fewer with probability alpha.

    It is the 1 - alpha quantile of Beta(hits + 1, total - hits); only hits, or nothing asked, gives 1.
    Source: Clopper and Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betainccinv

    _counted("hits", hits, total)
    _level(alpha)
    return float(betainccinv(hits + 1, total - hits, alpha)) if hits < total else 1.0


def regression_bound(total: int, *, alpha: float = 0.05) -> float:
    """Highest rate of regressions that `total` cases without one leave possible: 1 - alpha**(1/total); 1 of none.

    Source: Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249 (1983).
    """
    return upper_bound(0, total, alpha=alpha)


def wilson(hits: int, total: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Two-sided Wilson score interval of a rate, without continuity correction; (0, 1) when nothing was asked.

    It covers 1 - alpha on average, not for each rate: the gate decides by `lower_bound`.
    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    from scipy.special import ndtri

    _counted("hits", hits, total)
    _level(alpha)
    if not total:
        return 0.0, 1.0
    z, rate = -float(ndtri(alpha / 2)), hits / total
    middle = rate + z * z / (2 * total)
    half = z * math.sqrt(rate * (1 - rate) / total + (z / (2 * total)) ** 2)
    scale = 1 + z * z / total
    return (middle - half) / scale if hits else 0.0, (middle + half) / scale if hits < total else 1.0


def cases_needed(bound: float, *, alpha: float = 0.05, misses: int = 0) -> int:
    """The least number of cases of which all but `misses` right give a `lower_bound` of `bound` or more.

    59 for .95, 29 for .90, 299 for .99. A bound of 1 or more is a ValueError: no number of cases shows it.
    Source: Clopper and Pearson, Biometrika 26 (1934), solved for n.
    """
    if not 0 <= bound < 1:
        raise ValueError(f"the bound must be at least 0 and below 1 (no number of cases shows 1), not {bound}")
    _whole("misses", misses)
    most = misses + 1
    while lower_bound(most - misses, most, alpha=alpha) < bound:
        most *= 2
    shown = range(misses, most)
    return misses + bisect_left(shown, True, key=lambda n: lower_bound(n - misses, n, alpha=alpha) >= bound)


def mcnemar(lost: int, won: int) -> float:
    """Exact one-sided p of paired flips: the chance of `lost` or more among them, were each way as likely.

    `lost`: cases that the champion hit and the candidate missed; `won`: the reverse. 1 when nothing was lost. It needs
    5 losses to fall below .05, so it words a report; it must never be what forgives a regression.
    Source: McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12
    (1947), in its exact form.
    """
    from scipy.special import betainc

    _whole("lost", lost)
    _whole("won", won)
    return float(betainc(lost, won + 1, 0.5)) if lost else 1.0


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p values, in the given order: each at most alpha exactly when Holm rejects it at alpha.

    For "is any suite significantly worse"; a promotion that asks for every suite needs no correction.
    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).
    """
    values = np.asarray(p_values, dtype=np.float64)
    wrong = values[~((values >= 0) & (values <= 1))]
    if wrong.size:
        raise ValueError(f"a p value must lie in 0..1, not {wrong[0]}")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return tuple(adjusted.tolist())


def pass_hat_k(hits: int, runs: int, *, k: int) -> float:
    """pass^k of one case: the chance that k of its runs, taken without replacement, all hit: C(hits, k) / C(runs, k).

    The mean over the cases is the suite's pass^k. A k that is not in 1..runs is a ValueError.
    Source: Yao et al., "tau-bench", arXiv 2406.12045.
    """
    _counted("hits", hits, runs)
    if not 1 <= k <= runs or k % 1:
        raise ValueError(f"k must be a whole number in 1..{runs}, the runs of the case, not {k}")
    return math.comb(hits, k) / math.comb(runs, k)


def difference_bound(
    differences: Sequence[float], *, clusters: Sequence[str] | None = None, alpha: float = 0.05
) -> float:
    """One-sided lower bound of the mean paired difference: BCa bootstrap that resamples whole clusters.

    `differences`: candidate minus champion, one a case; `clusters`: a name a case, the same for cases that hang
    together (paraphrases of one scenario), None where each stands alone. Cases weigh the same, whatever their cluster.
    RESAMPLES resamples from SEED. Fewer than two clusters are a ValueError. It knows only the differences it was given:
    clusters all alike give their own mean, and few give a bound that is too high (measured on normal differences at
    alpha .05: in 12 % of samples of 4, 9 % of 10, 6 % of 40). So ask `sign_flip` with the margin too, and print
    `regression_bound`: no resampling sees a rare loss that did not occur.
    Sources: Efron, "Better bootstrap confidence intervals", JASA 82 (1987); Miller, arXiv 2411.00640, for clusters.
    """
    from scipy.stats import bootstrap  # half a second that a run without scores need not wait

    _level(alpha)
    sums, sizes = _clustered(differences, clusters)
    if len(sums) < 2:
        raise ValueError(f"a bootstrap needs at least 2 clusters, not {len(sums)}")
    if np.ptp(sums / sizes) <= 1e-12 * np.max(np.abs(differences)):
        return float(sums.sum() / sizes.sum())
    low = bootstrap(
        (sums, sizes),
        _ratio,
        n_resamples=RESAMPLES,
        batch=BLOCKS,
        paired=True,
        confidence_level=1 - alpha,
        alternative="greater",
        method="BCa",
        rng=np.random.default_rng(SEED),
    ).confidence_interval.low
    if not math.isfinite(low):
        raise ValueError(f"differences too large or too small to resample, up to {np.max(np.abs(differences))}")
    return float(low)


def sign_flip(differences: Sequence[float], *, clusters: Sequence[str] | None = None, margin: float = 0.0) -> float:
    """One-sided p of "the mean paired difference is -margin or less", by flipping the signs of whole clusters.

    At most alpha: the candidate is shown to be no worse than the champion by `margin`. Negated differences ask whether
    it is shown to be worse. Exact up to ENUMERABLE clusters, never below 2**-clusters, so four show nothing at .05;
    above, DRAWS flips from SEED, the observed one counted with them. Exact for differences symmetric about their mean.
    Sources: Fisher, "The design of experiments" (1935), section 21; Phipson and Smyth, "Permutation p-values should
    never be zero", Stat. Appl. Genet. Mol. Biol. 9 (2010).
    """
    if not math.isfinite(margin):
        raise ValueError(f"the margin must be a number, not {margin}")
    sums, sizes = _clustered(differences, clusters)
    sums = sums + margin * sizes
    rounding = 1e-9 * (np.abs(differences).sum() + abs(margin) * sizes.sum())
    least = sums.sum() - rounding
    if len(sums) <= ENUMERABLE:
        return float(np.mean(_every_flip(sums) >= least))
    return float((1 + np.sum(_drawn_flips(sums) >= least)) / (1 + DRAWS))


def spread(found: float, count: int, *, alpha: float) -> float:
    """One-sided upper bound of a standard deviation about zero, whose estimate from `count` normal values is `found`.

    found * sqrt(count / q), q the alpha quantile of the chi-squared distribution with `count` degrees of freedom.
    Source: NIST/SEMATECH e-Handbook of Statistical Methods, 7.2.3.1.
    """
    from scipy.special import gammaincinv

    if count < 1:
        raise ValueError("a spread needs a value at least")
    _level(alpha)
    return found * math.sqrt(count / (2 * float(gammaincinv(count / 2, alpha))))


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest-rank quantile: the smallest value that at least `share` of all values do not exceed; 0.0 of none.

    Source: Hyndman and Fan, "Sample quantiles in statistical packages", Am. Statist. 50 (1996), definition 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share must lie in 0..1, not {share}")
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    if np.isnan(ranked).any():
        raise ValueError("a quantile needs numbers, not nan")
    rank = math.ceil(Fraction(str(share)) * len(ranked))  # 0.07 * 100 in binary is a hair above 7
    return float(ranked[max(1, rank) - 1]) if len(ranked) else 0.0


def _counted(name: str, part: int, total: int) -> None:
    _whole("the total", total)
    _whole(name, part, total)


def _whole(name: str, value: int, most: float = math.inf) -> None:
    if not 0 <= value <= most or value % 1:
        raise ValueError(f"{name} must be a whole number in 0..{most}, not {value}")


def _level(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")


def _clustered(differences: Sequence[float], clusters: Sequence[str] | None) -> tuple[Floats, Floats]:
    """Sum and size of each cluster in the order of appearance, dealt into BLOCKS where there are more."""
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"the differences must be one or more numbers, not {differences!r:.60}")
    if clusters is not None and len(clusters) != len(values):
        raise ValueError(f"{len(values)} differences need as many cluster names, not {len(clusters)}")
    names = range(len(values)) if clusters is None else clusters
    place = {name: at % BLOCKS for at, name in enumerate(dict.fromkeys(names))}
    block = np.array([place[name] for name in names])
    sums = np.bincount(block, weights=values).astype(np.float64)
    return sums, np.bincount(block).astype(np.float64)


def _ratio(sums: Floats, sizes: Floats, axis: int = -1) -> Floats:
    mean: Floats = sums.sum(axis=axis) / sizes.sum(axis=axis)
    return mean


def _every_flip(sums: Floats) -> Floats:
    """The total under each of the 2**n choices of signs."""
    totals = np.zeros(1)
    for value in sums:
        totals = np.concatenate((totals + value, totals - value))
    return totals


def _drawn_flips(sums: Floats) -> Floats:
    kept = np.random.default_rng(SEED).integers(0, 2, size=(DRAWS, len(sums)), dtype=np.int8)
    totals: Floats = 2 * (kept @ sums) - sums.sum()
    return totals
