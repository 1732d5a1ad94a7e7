"""Rows into training, validation and test, so that no two splits share a prompt or nearly one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from gate.cases.normalize import words
from gate.cases.similarity import LEAST, shingles

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SPLITS = ("train", "valid", "test")
SHARES = (0.8, 0.1, 0.1)
CHUNK = 500
"""Texts that are compared with all others at once."""
SHARED = 8
"""Rare grams that two texts must share before they are compared: with 4 there are four times the candidates."""
_SLACK = 1e-9
Ints = NDArray[np.int64]
T = TypeVar("T")


def split(
    rows: Sequence[T],
    *,
    said: Callable[[T], Sequence[str]],
    category: Callable[[T], str],
    shares: tuple[float, float, float] = SHARES,
    seed: int = 0,
) -> dict[str, list[T]]:
    """Each category divided by the shares; rows of which one text is nearly one of the other's stay together.

    `said`: what a row asks, each text apart. A category's groups go, largest first, to the split that is furthest below
    its share, so small categories reach every split that has room.
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


def grouped(said: Sequence[Sequence[str]]) -> list[list[int]]:
    """Numbers of rows that say the same or nearly the same, directly or through others, together."""
    plain = [[words(text) or text for text in texts] for texts in said]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(name for names in plain for name in names))}
    labels = np.arange(len(numbers))
    for names in plain:  # a conversation's texts belong together
        for name in names[1:]:
            _join(labels, numbers[names[0]], numbers[name])
    _join_alike(labels, list(numbers))
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for number, names in enumerate(plain):
        groups[int(labels[numbers[names[0]]]) if names else -1].append(number)
    return list(groups.values())


def _join_alike(labels: Ints, texts: Sequence[str]) -> None:
    """Give one label to all that are nearly the same, through whichever others."""
    sets = [shingles(text) for text in texts]
    for one, other in _candidates(labels, sets):
        if labels[one] != labels[other]:
            both = len(sets[one] & sets[other])
            if both >= LEAST * (len(sets[one]) + len(sets[other]) - both) - _SLACK:
                _join(labels, one, other)


def _candidates(labels: Ints, sets: Sequence[set[str]]) -> Iterator[tuple[int, int]]:
    """Pairs that may be alike and are not together yet, the likeliest of a chunk first.

    Every pair that is alike shares SHARED of the rarest grams that each may miss and so many more (the prefix filter of
    gate.cases.similarity, for all with all). Texts of one phrase are alike by the hundred thousand; those that are
    together already are passed over unlooked.
    """
    matrix, sizes = _rarest(sets), np.array([len(each) for each in sets])
    columns = matrix.T.tocsc()
    needed = np.minimum(SHARED, np.ceil(LEAST * sizes - _SLACK)).astype(np.int32)
    for start in range(0, len(sets), CHUNK):
        counts = (matrix[start : start + CHUNK] @ columns[:, : start + CHUNK]).tocoo()
        enough = counts.data >= needed[counts.col]
        row, column, shared = counts.row[enough] + start, counts.col[enough], counts.data[enough]
        own, other = sizes[row], sizes[column]
        hits = (column < row) & (labels[row] != labels[column])
        hits &= (own >= LEAST * other - _SLACK) & (other >= LEAST * own - _SLACK)
        order = np.argsort(-shared[hits], kind="stable")
        yield from zip(row[hits][order].tolist(), column[hits][order].tolist(), strict=True)


def _rarest(sets: Sequence[set[str]]) -> csr_matrix:
    """Of each set, a row of its rarest grams: those that a set alike may lack, and SHARED more."""
    from scipy.sparse import csr_matrix  # half a second to import

    often = Counter(chain.from_iterable(sets))
    looked = [sorted(each, key=lambda gram: (often[gram], gram))[: _room(len(each))] for each in sets]
    places = {gram: number for number, gram in enumerate(dict.fromkeys(chain.from_iterable(looked)))}
    found = np.array([places[gram] for each in looked for gram in each])
    ends = np.cumsum([0, *map(len, looked)])
    return csr_matrix((np.ones(len(found), np.int32), found, ends), shape=(len(sets), len(places)))


def _room(size: int) -> int:
    return size - math.ceil(LEAST * size - _SLACK) + SHARED


def _join(labels: Ints, one: int, other: int) -> None:
    """Give all that are with one of the two the lower of their labels."""
    low, high = sorted((int(labels[one]), int(labels[other])))
    if low != high:
        labels[labels == high] = low
