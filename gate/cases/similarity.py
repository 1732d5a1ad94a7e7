"""Which texts nearly say what others say, or hold most of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gate.cases.normalize import END, bare, long

LEAST = 0.7
"""From this Jaccard similarity of 5-grams on two texts ask nearly the same, as in gate.cases.near_duplicates."""
MOST = 0.8
"""A text that holds so much of another one asks it, whatever stands around it."""
GRAM = 5
SHARED = 8
"""Rare grams that two texts must share before they are compared whole: more of them would be less rare."""
CHUNK = 1_000
"""Texts that are compared at once."""
Ints = NDArray[np.int64]
_BITS = 40
"""Of a gram's hash; above them stands the number of its text."""
_SLACK = 1e-9


def asked(texts: Mapping[int, Sequence[str]], known: tuple[str, ...]) -> dict[int, str]:
    """Of numbered cases, each by what it asks (wording.ways): which nearly ask what is known, and which of that."""
    owners = [(number, text) for number, each in texts.items() for text in each]
    found: dict[int, str] = {}
    for one, other, similarity, share in _index(known).pairs([_bared(text) for _, text in owners]):
        number, (kind, _, _), (wanted, _, words) = (
            owners[one][0],
            owners[one][1].partition(END),
            known[other].partition(END),
        )
        if kind == wanted and nearly(words, similarity, share):
            found.setdefault(number, known[other])
    return found


def nearly(text: str, similarity: float, share: float) -> bool:
    """Does a text that has so much in common with one, and holds such a share of it, ask it nearly?"""
    return similarity >= LEAST - _SLACK or (share >= MOST - _SLACK and long(text))


class Index:
    """Plain texts to compare with, prepared: which others share most of their 5-grams, or hold most of them.

    As in gate.cases.near_duplicates, but also for a text inside of a longer one, and of arrays alone: a grading must
    not wait for scipy. Among the rarest grams of a text, which a text alike may miss, it has some.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        owners, grams = _grams(texts)
        self.sizes = np.bincount(owners, minlength=len(texts))
        self._starts = np.cumsum(self.sizes) - self.sizes
        self._vocabulary, self._columns, often = np.unique(grams, return_inverse=True, return_counts=True)
        missable = self.sizes - np.ceil(LEAST * self.sizes - _SLACK).astype(np.int64)
        self._shared = np.maximum(1, np.minimum(SHARED, self.sizes - missable))
        order = np.lexsort((grams, often[self._columns], owners))
        rank = np.arange(len(owners)) - self._starts[owners]
        looked = order[rank < (missable + self._shared)[owners]]
        looked = looked[np.argsort(grams[looked], kind="stable")]
        self._looked, self._holders = grams[looked], owners[looked]

    def pairs(self, texts: Sequence[str]) -> Iterator[tuple[int, int, float, float]]:
        """(number of the text, number of the known one, similarity, share of the known one that the text holds)."""
        for start in range(0, len(texts) if len(self.sizes) else 0, CHUNK):
            rows, grams = _grams(texts[start : start + CHUNK])
            sizes = np.bincount(rows)
            one, other = self._candidates(rows, grams)
            both = self._common(rows, grams, one, other)
            share, similarity = both / self.sizes[other], both / (sizes[one] + self.sizes[other] - both)
            near = share >= LEAST - _SLACK
            told = (start + one[near], other[near], similarity[near], share[near])
            yield from zip(*(each.tolist() for each in told), strict=True)

    def _candidates(self, rows: Ints, grams: Ints) -> tuple[Ints, Ints]:
        """Pairs of a text and a known one that share enough of its rarest grams."""
        first = np.searchsorted(self._looked, grams, "left")
        counts = np.searchsorted(self._looked, grams, "right") - first
        places = _ranges(first, counts)
        pairs, shared = np.unique(np.repeat(rows, counts) * len(self.sizes) + self._holders[places], return_counts=True)
        one, other = np.divmod(pairs, len(self.sizes))
        enough = shared >= self._shared[other]
        return one[enough], other[enough]

    def _common(self, rows: Ints, grams: Ints, one: Ints, other: Ints) -> Ints:
        """How many grams each pair has in common."""
        columns = np.minimum(np.searchsorted(self._vocabulary, grams), len(self._vocabulary) - 1)
        there = self._vocabulary[columns] == grams
        own = (rows * len(self._vocabulary) + columns)[there]
        both = np.zeros(len(one), np.int64)
        for start in range(0, len(one), 10 * CHUNK):
            part = slice(start, start + 10 * CHUNK)
            sizes = self.sizes[other[part]]
            pair = np.repeat(np.arange(len(sizes)), sizes)
            wanted = one[part][pair] * len(self._vocabulary) + self._columns[_ranges(self._starts[other[part]], sizes)]
            found = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
            both[part] = np.bincount(pair[own[found] == wanted], minlength=len(sizes))
        return both


def _grams(texts: Sequence[str]) -> tuple[Ints, Ints]:
    """Every run of GRAM characters of each text once: the text's number and the run's hash, sorted."""
    padded = [text.ljust(GRAM, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded], np.int64)
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes = np.zeros(max(0, len(points) - GRAM + 1), np.uint64)
    for offset in range(GRAM):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + points[offset : offset + len(hashes)]
    hashes = (hashes * np.uint64(0xFF51AFD7ED558CCD)) >> np.uint64(64 - _BITS)
    owners = np.repeat(np.arange(len(texts)), lengths)[: len(hashes)]
    whole = np.arange(len(hashes)) <= np.repeat(np.cumsum(lengths) - GRAM, lengths)[: len(hashes)]
    keys = np.unique((owners[whole] << _BITS) | hashes[whole].astype(np.int64))
    return keys >> _BITS, keys & ((1 << _BITS) - 1)


def _ranges(firsts: Ints, counts: Ints) -> Ints:
    """firsts[0], firsts[0] + 1, … so many as counts say, then those from firsts[1] on, and so on."""
    ends: Ints = np.cumsum(counts)
    places: Ints = np.arange(ends[-1] if len(ends) else 0) + np.repeat(firsts - (ends - counts), counts)
    return places


@lru_cache(maxsize=1)
def _index(known: tuple[str, ...]) -> Index:
    return Index([_bared(text) for text in known])


def _bared(text: str) -> str:
    """The words of what is asked, without their spaces."""
    return bare(text.partition(END)[2])
