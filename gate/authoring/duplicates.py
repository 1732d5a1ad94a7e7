"""Cases that ask the same, or nearly: by all that was said since the last request, without the system prompt.

Two cases that ask the same of one model prove one thing, whatever their ids. A duplicate of a held-out case outside of
it tells what is asked there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gate.cases.asked import since_request
from gate.cases.similarity import LEAST, Index, by_words
from gate.types import Case


@dataclass(frozen=True, slots=True)
class Alike:
    """A case and a known one that asks the same."""

    given: int
    known: int
    similarity: float
    """Jaccard similarity of 5-grams of characters; 1 for the same words."""
    same: bool
    """The very same: system prompt and tools, too."""


def alike(given: Sequence[Case], known: Sequence[Case]) -> Iterator[Alike]:
    """Each pair of LEAST or more; of several known cases with the same words the first of each split alone."""
    owners = _by_words(known)
    asked = owners if given is known else _by_words(given)
    texts, known_texts = list(asked), list(owners)
    found: dict[tuple[int, int], float] = {}
    for text, one, similarity in Index(known_texts).near(texts):
        for number in asked[texts[text]]:
            for other in _firsts(owners[known_texts[one]], known):
                found[number, other] = max(similarity, found.get((number, other), LEAST))
    for (number, other), similarity in found.items():
        mine, twin = given[number], known[other]
        yield Alike(number, other, similarity, (mine.messages, mine.tools) == (twin.messages, twin.tools))


def _firsts(numbers: Sequence[int], known: Sequence[Case]) -> list[int]:
    """Two of each split: one may be the case itself. All of them would be a square's number of pairs."""
    splits: defaultdict[str, list[int]] = defaultdict(list)
    for number in numbers:
        if len(splits[known[number].split]) < 2:
            splits[known[number].split].append(number)
    return [number for each in splits.values() for number in each]


def _by_words(cases: Sequence[Case]) -> dict[str, list[int]]:
    return by_words((since_request(case.messages), number) for number, case in enumerate(cases))
