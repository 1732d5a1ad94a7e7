"""Is a row apart from what is known? The split itself is gate.repair.split's."""

from __future__ import annotations

from collections.abc import Sequence

from gate.cases.normalize import words
from gate.cases.similarity import Index


def apart(texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    """Of each text: does it say nothing that a known one nearly says?"""
    plain = [words(text) or text for text in texts]
    near = {number for number, _, _ in Index([words(text) or text for text in known]).near(plain)}
    return [number not in near for number in range(len(plain))]
