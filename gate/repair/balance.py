"""Balance categories of rows: cap frequent ones, and keep enough rows of what already works."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from gate.repair.rows import Row


def capped(rows: Sequence[Row], most: int, *, seed: int) -> list[Row]:
    """At most so many rows of a category, each of its misses in turn, so that none is crowded out."""
    random = np.random.default_rng(seed)
    by_category: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_category[row.category].append(row)
    kept: list[Row] = []
    for name in sorted(by_category):
        part = [by_category[name][number] for number in random.permutation(len(by_category[name]))]
        kept += _in_turn(part)[:most]
    return kept


def shares(repaired: int, keep: float, categories: Sequence[str]) -> dict[str, int]:
    """Of each category that passed how many rows make up the share `keep` of all, evenly."""
    total = round(repaired * keep / (1 - keep))
    each, over = divmod(total, len(categories)) if categories else (0, 0)
    return {name: each + (number < over) for number, name in enumerate(sorted(categories))}


def _in_turn(rows: Sequence[Row]) -> list[Row]:
    """The first of each miss, then the second of each, and so on."""
    counts: Counter[str] = Counter()
    places: list[int] = []
    for row in rows:
        places.append(counts[row.case])
        counts[row.case] += 1
    return [rows[number] for number in sorted(range(len(rows)), key=lambda n: places[n])]
