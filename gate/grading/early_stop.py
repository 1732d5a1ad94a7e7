"""Early stopping: detect a demand that the remaining cases can no longer meet."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from gate.stats import lower_bound
from gate.types import Contract


def below(contract: Contract, missed: Collection[str]) -> str:
    """Why a contract's rates cannot be reached, were every other case a hit; empty while they can.

    `missed`: ids of cases that were asked and missed. Exact: each demand is computed for the best that can still come.
    """
    counted = contract.counted
    lost, total = len(set(counted) & set(missed)), len(counted)
    best = total - lost
    if contract.must and lost:
        return f"{lost} that must be right are not"
    if best < Fraction(str(contract.floor)) * total:
        return f"{best}/{total} at most, below the floor {contract.floor:g}"
    if contract.bound is not None and (lower := lower_bound(best, total, alpha=contract.alpha)) < contract.bound:
        return f"{best}/{total} at most, which shows {lower:.3f}, below the bound {contract.bound:g}"
    for tag, floor in contract.floors.items():
        own = set(contract.tagged[tag]) & set(counted)
        if (best := len(own - set(missed))) < Fraction(str(floor)) * len(own):
            return f"{tag} {best}/{len(own)} at most, below its floor {floor:g}"
    return ""
