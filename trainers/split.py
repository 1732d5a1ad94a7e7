"""Finds near duplicates between rows and cases. The split itself is gate.repair.split's."""

from __future__ import annotations

from collections.abc import Sequence

from gate.cases.normalize import words
from gate.cases.similarity import Index


def is_distinct(texts: Sequence[str], others: Sequence[str]) -> list[bool]:
    """For each text: is it no near duplicate of one of the others?"""
    normalized = [words(text) or text for text in texts]
    near = {number for number, _, _ in Index([words(text) or text for text in others]).near(normalized)}
    return [number not in near for number in range(len(texts))]
