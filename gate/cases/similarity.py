"""Near-duplicate search: exact Jaccard similarity and containment of character 5-gram sets.

Candidates come from a prefix filter (Bayardo, Ma, Srikant: Scaling up all pairs similarity search, 2007): a text that
has a fraction LEAST of the n grams of a known one can miss few of them, so among the rarest of the n it has some. Of
arrays alone, since a grading must not wait for scipy. MinHash would be three times slower here and miss pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gate.cases.asked import END, long
from gate.cases.normalize import unspaced, words

LEAST = 0.7
"""From this Jaccard similarity on two texts count as nearly the same. The cases of this project have at most 0.27 in
common with each other; one of them with "please" after it has 0.91 with itself, with a word left out 0.87 (medians)."""
MOST = 0.8
"""A text that holds so much of another one asks it, whatever stands around it."""
GRAM = 5
"""Characters of a gram: with 3, long texts of one language grow alike."""
SHARED = 8
"""Rare grams that two texts must share before they are compared whole: more of them would be less rare."""
CHUNK = 1_000
"""Texts that are compared at once."""
Ints = NDArray[np.int64]
T = TypeVar("T")
_BITS = 40
"""Of a gram's hash; above them stands the number of its text."""
_SLACK = 1e-9


class Index:
    """Folded texts to compare with, prepared."""

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
        self._longest = 1.5 * max(map(len, texts), default=0) / LEAST

    def pairs(self, texts: Sequence[str]) -> Iterator[tuple[int, int, float, float]]:
        """(number of the text, number of the known one, similarity, share of the known one that the text holds).

        Every pair with a share of LEAST or more, and so every one that is nearly the same.
        """
        yield from self._pairs(range(len(texts)), texts, alike=False)

    def near(self, texts: Sequence[str]) -> Iterator[tuple[int, int, float]]:
        """(number of the text, number of the known one, similarity) of every pair that is nearly the same.

        A text much longer than all known ones is passed over: it could be alike only by saying a third of it twice.
        """
        numbers = [number for number, text in enumerate(texts) if len(text) <= self._longest]
        for one, other, similarity, _ in self._pairs(numbers, texts, alike=True):
            if similarity >= LEAST - _SLACK:
                yield one, other, similarity

    def _pairs(
        self, numbers: Sequence[int], texts: Sequence[str], *, alike: bool
    ) -> Iterator[tuple[int, int, float, float]]:
        for start in range(0, len(numbers) if len(self.sizes) else 0, CHUNK):
            chunk = numbers[start : start + CHUNK]
            rows, grams = _grams([texts[number] for number in chunk])
            sizes = np.bincount(rows)
            one, other = self._candidates(rows, grams)
            if alike:  # a text of another size holds much of a known one, and is not nearly the same
                sized = self.sizes[other] >= LEAST * sizes[one] - _SLACK
                one, other = one[sized], other[sized]
            both = self._common(rows, grams, one, other)
            share, similarity = both / self.sizes[other], both / (sizes[one] + self.sizes[other] - both)
            near = share >= LEAST - _SLACK
            found = (np.array(chunk)[one[near]], other[near], similarity[near], share[near])
            yield from zip(*(each.tolist() for each in found), strict=True)

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


def by_words(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """The second of each pair by the first's words; by the text itself where it has none."""
    found: defaultdict[str, list[T]] = defaultdict(list)
    for text, one in pairs:
        found[words(text) or text].append(one)
    return found


def shingles(text: str) -> set[str]:
    """Every run of GRAM characters; a shorter text as a whole."""
    return {text[start : start + GRAM] for start in range(max(1, len(text) - GRAM + 1))}


def nearly_asked(texts: Mapping[int, Sequence[str]], known: tuple[str, ...]) -> dict[int, str]:
    """Of numbered cases, each by what it asks (asked.ways): which nearly ask what is known, and which of that."""
    owners = [(number, text) for number, each in texts.items() for text in each]
    found: dict[int, str] = {}
    for one, other, similarity, share in _index(known).pairs([_unspaced(text) for _, text in owners]):
        number, (kind, _, _) = owners[one][0], owners[one][1].partition(END)
        known_kind, _, said = known[other].partition(END)
        if kind == known_kind and nearly(said, similarity, share):
            found.setdefault(number, known[other])
    return found


def nearly(text: str, similarity: float, share: float) -> bool:
    """Does a text that has so much in common with one, and holds such a share of it, ask it nearly?"""
    return similarity >= LEAST - _SLACK or (share >= MOST - _SLACK and long(text))


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
    return Index([_unspaced(text) for text in known])


def _unspaced(text: str) -> str:
    """The words of what is asked, without their spaces."""
    return unspaced(text.partition(END)[2])
