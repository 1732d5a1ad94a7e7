"""Which answers are unaffected by batching, and the mode in which a run asks.

A batch and a warm cache change the sums of a forward pass in their last digits, and greedy decoding turns that into
another token where the two best were about equal. A step whose gap is larger than those digits can move it yields the
same token in every batch. So a run asks many questions at once, with log-probabilities, and keeps the answers that are
sure; the others and every miss are asked again one at a time, and that answer counts, for better and for worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gate import stats
from gate.types import AskMode, Determinism, Reply, Server, Step

SIGMAS = 10.0
"""A margin is sure when it is this many times the spread of the drift that the determinism probe has seen. It has
heavy tails: of 2,000 answers the largest margin of one that changed was eight spreads (benchmarks/README.md)."""
DOUBT = 0.01
"""How likely the true spread is above the one reckoned with: few steps show little."""
LEAST = 0.05
"""Nats; a bound is never lower."""
NO_LOGPROBS = "the server gives no log-probabilities, so no answer shows how sure it is"
MODES = ("batched", "verified", "sequential")
"""The laxest first."""


def ask_mode(server: Server, probe: Determinism, *, sequential: bool, concurrency: int | None) -> AskMode:
    """The mode that a server's probe allows.

    `concurrency`: requests under way at once; None for as many as the server decodes together.
    """
    at_once = concurrency or server.at_once
    if sequential or at_once == 1:
        return AskMode("sequential", 1)
    found = bound(probe)
    if found is None:
        return AskMode("batched", at_once, why=NO_LOGPROBS)
    return AskMode("verified", at_once, found)


def bound(probe: Determinism) -> float | None:
    """The margin, in nats, above which an answer is sure by the determinism probe; None where it saw no margin."""
    if probe.drift is None:
        return None
    return max(LEAST, SIGMAS * stats.spread(probe.drift, probe.steps, alpha=DOUBT))


def moved(sequential: Sequence[Step], batched: Sequence[Step]) -> Iterator[float]:
    """By how many nats batching moved the gap of each step, up to the first with another token.

    There the second best became the best: it moved by both gaps together.
    """
    for (one, gap), (other, beside) in zip(sequential, batched, strict=False):
        yield abs(gap - beside) if one == other else gap + beside
        if one != other:
            return


def drift(moved: Sequence[float]) -> float | None:
    """The root mean square; None of none."""
    return math.sqrt(sum(each * each for each in moved) / len(moved)) if moved else None


def sure(replies: Sequence[Reply], bound: float | None) -> bool:
    """Would each of these be the same without batching?"""
    return bound is None or all(each.verified or _beyond(each, bound) for each in replies)


def refuted(batched: Reply, sequential: Reply, bound: float | None) -> bool:
    """Is another answer given sequentially than the one that was sure? Then the bound is too low."""
    return bound is not None and _beyond(batched, bound) and said(batched) != said(sequential)


def said(reply: Reply) -> tuple[object, ...]:
    """The part of a reply that the model wrote."""
    return reply.content, reply.reasoning, reply.calls, reply.fault


def _beyond(reply: Reply, bound: float) -> bool:
    return reply.margin is not None and reply.margin > bound
