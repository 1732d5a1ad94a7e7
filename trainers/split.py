"""Is a row apart from what is known? The split itself is gate.repair.split's."""

from __future__ import annotations

from collections.abc import Sequence

from gate.cases.near_duplicates import Known, normal


def apart(texts: Sequence[str], known: Sequence[str]) -> list[bool]:
    """Of each text: does it say nothing that a known one nearly says?"""
    plain = [normal(text) or text for text in texts]
    near = {number for number, _, _ in Known([normal(text) or text for text in known]).pairs(plain)}
    return [number not in near for number in range(len(plain))]
