"""Rows into training, validation and test, so that no two splits share a prompt or nearly one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from gate.preflight.near import Known, normal

SPLITS = ("train", "valid", "test")
T = TypeVar("T")


def split(
    rows: Sequence[T],
    *,
    said: Callable[[T], str],
    category: Callable[[T], str],
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> dict[str, list[T]]:
    """Each category divided by the shares; rows that say nearly the same (5-grams, 0.7) stay together.

    `said`: what a row asks; `category`: what it is of. A category's groups go, largest first, to the split that is
    furthest below its share, so small categories reach every split that has room.
    """
    random = np.random.default_rng(seed)
    parts: dict[str, list[T]] = {name: [] for name in SPLITS}
    groups: defaultdict[str, list[list[T]]] = defaultdict(list)
    for group in grouped([said(row) for row in rows]):
        members = [rows[number] for number in group]
        groups[category(members[0])].append(members)
    for name in sorted(groups):
        found = [groups[name][number] for number in random.permutation(len(groups[name]))]
        total = sum(len(group) for group in found)
        counts = dict.fromkeys(SPLITS, 0)
        for members in sorted(found, key=len, reverse=True):
            wanted = {each: share * total - counts[each] for each, share in zip(SPLITS, shares, strict=True)}
            place = max(wanted, key=lambda each: wanted[each])
            counts[place] += len(members)
            parts[place].extend(members)
    return {name: [part[number] for number in random.permutation(len(part))] for name, part in parts.items()}


def grouped(texts: Sequence[str]) -> list[list[int]]:
    """Numbers of texts that say the same or nearly the same, directly or through others, together."""
    plain = [normal(text) or text for text in texts]
    names = list(dict.fromkeys(plain))
    root = {name: name for name in names}

    def top(name: str) -> str:
        while root[name] != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for one, other, _ in Known(names).pairs(names):
        root[top(names[one])] = top(names[other])
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(plain):
        groups[top(name)].append(number)
    return list(groups.values())


def apart(texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    """Of each text: does it say nothing that a known one nearly says?"""
    plain = [normal(text) or text for text in texts]
    near = {number for number, _, _ in Known([normal(text) or text for text in known]).pairs(plain)}
    return [number not in near for number in range(len(plain))]
