"""Which texts are nearly the same as one of some known ones: every pair from a least Jaccard similarity on, exactly.

The similarity of two texts is that of their sets of character 5-grams. Candidates come from a prefix filter (Bayardo,
Ma, Srikant: Scaling up all pairs similarity search, 2007): a set that shares a fraction `least` of a known set of n can
miss few of it, so among the rarest of the n it shares some. MinHash would be three times slower here and miss pairs.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import regex

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LEAST = 0.7
"""From here on two texts count as nearly the same. The cases of this project have at most 0.27 in common with each
other; one of them with "please" after it has 0.91 with itself, with a word left out 0.87 (medians)."""
GRAM = 5
"""Characters of a shingle: with 3, long texts of one language grow alike."""
CHUNK = 5_000
_SILENT = regex.compile(r"[^\p{L}\p{N}\p{S}\p{M}#%&/@]+")
_SLACK = 1e-9


class Known:
    """The texts to compare with, prepared."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.sets = [shingles(text) for text in texts]
        self.longest = 1.5 * max(map(len, texts), default=0) / LEAST
        """Characters beyond which a text is not looked at: it could only be alike by saying a third of it twice."""
        self.sizes = np.array([len(each) for each in self.sets])
        often = Counter(chain.from_iterable(self.sets))
        rarest = [sorted(each, key=lambda gram: (often[gram], gram)) for each in self.sets]
        missable = [len(each) - math.ceil(LEAST * len(each) - _SLACK) for each in self.sets]
        self.shared = np.array([max(1, min(n, len(s) - n)) for n, s in zip(missable, self.sets, strict=True)])
        looked = [each[: n + k] for each, n, k in zip(rarest, missable, self.shared, strict=True)]
        self.columns = {gram: column for column, gram in enumerate(dict.fromkeys(chain.from_iterable(looked)))}
        self.matrix = self._matrix([set(each) for each in looked]).T.tocsr()

    def pairs(self, texts: Sequence[str]) -> Iterator[tuple[int, int, float]]:
        """(number of the text, number of the known text, similarity) of all that are nearly the same."""
        for start in range(0, len(texts), CHUNK):
            sets = [shingles(text) if len(text) <= self.longest else set() for text in texts[start : start + CHUNK]]
            for row, known in self._candidates(sets):
                both = len(sets[row] & self.sets[known])
                similarity = both / (len(sets[row]) + len(self.sets[known]) - both)
                if similarity >= LEAST - _SLACK:
                    yield start + row, known, similarity

    def _candidates(self, sets: Sequence[set[str]]) -> list[tuple[int, int]]:
        counts = (self._matrix(sets) @ self.matrix).tocoo()
        own, other = np.array([len(each) for each in sets])[counts.row], self.sizes[counts.col]
        sized = (own >= LEAST * other - _SLACK) & (other >= LEAST * own - _SLACK)
        hits = sized & (counts.data >= self.shared[counts.col])
        return list(zip(counts.row[hits].tolist(), counts.col[hits].tolist(), strict=True))

    def _matrix(self, sets: Sequence[set[str]]) -> csr_matrix:
        from scipy.sparse import csr_matrix  # a second to import, and needed with --train alone

        grams = self.columns.keys()
        found = [[self.columns[gram] for gram in each & grams] for each in sets]
        ends = np.cumsum([0, *map(len, found)])
        indices = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(ends[-1]))
        return csr_matrix((np.ones(len(indices), np.int32), indices, ends), shape=(len(sets), len(self.columns)))


def shingles(text: str) -> set[str]:
    """Every run of GRAM characters; a shorter text as a whole."""
    return {text[start : start + GRAM] for start in range(max(1, len(text) - GRAM + 1))}


def normal(text: str) -> str:
    """A text in NFKC without its case, with one space for all white space and punctuation.

    Symbols stay, and so do # % & / @: "3 + 4" is not "3 - 4", C# is not C.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return str(_SILENT.sub(" ", folded)).strip()
