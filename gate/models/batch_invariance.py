"""Which answers, given among others, are the same alone, and how a run asks: a way.

A batch and a warm cache change the sums of a forward pass in their last digits, and greedy decoding turns that into
another token where the two best were about equal. A step whose gap is larger than what those digits can move gives the
same token in any company. So one asks many at once, with log-probabilities, and keeps what was sure; the others and
every miss are asked again alone, and that answer counts, for better and for worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gate import stats
from gate.types import Determinism, Reply, Server, Step

SIGMAS = 10.0
"""How many times the spread of the drift that the probe has seen a margin must be, to be sure. The drift has heavy
tails: of 2,000 answers the largest margin of one that changed was eight spreads (python -m benchmarks.settle)."""
DOUBT = 0.01
"""How likely the true spread is above the one reckoned with: few steps show little."""
LEAST = 0.05
"""Nats; a bound is never lower."""
WAYS = ("together", "settled", "alone")
"""The laxest first."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a run asks its cases."""

    name: str
    """alone: one after another. settled: many at once, then alone what was not sure. together: many at once, and no
    answer can be told from one that its company has changed."""
    at_once: int
    """Most requests under way at the same time, of all processes."""
    bound: float | None = None
    """Nats: a hit whose every step had a larger gap is sure."""
    why: str = ""
    """Why it is not a stricter way."""


def way(server: Server, probed: Determinism, *, alone: bool, at_once: int | None) -> Way:
    """`at_once`: as the user has said; None for as many as the server decodes together."""
    wanted = at_once or server.at_once
    if alone or wanted == 1:
        return Way("alone", 1)
    found = bound(probed)
    if found is None:
        return Way("together", wanted, why="the server gives no log-probabilities, so no answer shows how sure it is")
    return Way("settled", wanted, found)


def bound(probed: Determinism) -> float | None:
    """The margin, in nats, above which an answer is sure by what the probe has seen; None where it saw no margin."""
    if probed.drift is None:
        return None
    return max(LEAST, SIGMAS * stats.spread(probed.drift, probed.steps, alpha=DOUBT))


def moved(alone: Sequence[Step], among: Sequence[Step]) -> Iterator[float]:
    """By how many nats company moved the gap of each step; after one with another token none can be compared.

    There the second best became the best: it moved by both gaps together.
    """
    for (one, gap), (other, beside) in zip(alone, among, strict=False):
        yield abs(gap - beside) if one == other else gap + beside
        if one != other:
            return


def drift(moved: Sequence[float]) -> float | None:
    """The root mean square; None of none."""
    return math.sqrt(sum(each * each for each in moved) / len(moved)) if moved else None


def sure(replies: Sequence[Reply], bound: float | None) -> bool:
    """Would each of these be the same alone?"""
    return bound is None or all(each.settled or _beyond(each, bound) for each in replies)


def refuted(among: Reply, alone: Reply, bound: float | None) -> bool:
    """Is another answer given alone than the one that was sure? Then the bound is too low."""
    return bound is not None and _beyond(among, bound) and said(among) != said(alone)


def said(reply: Reply) -> tuple[object, ...]:
    """What of a reply is the model's."""
    return reply.content, reply.reasoning, reply.calls, reply.fault


def _beyond(reply: Reply, bound: float) -> bool:
    return reply.margin is not None and reply.margin > bound
