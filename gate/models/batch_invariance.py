"""Which answers are unaffected by batching, and the ask mode of a run.

A batch and a warm cache change the sums of a forward pass in their last digits. Greedy decoding turns that into another
token where the two best tokens are about equally likely. A step whose gap is larger than this change yields the same
token in every batch. So a run asks many questions at once, with log-probabilities, and keeps the hits that are sure.
Other hits and every miss are asked again one at a time, and the second answer counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gate import stats
from gate.types import AskMode, Determinism, Reply, Server, Step

SIGMAS = 10.0
"""A margin is sure above this many times the spread of the drift that the determinism probe measured. The drift has
heavy tails: of 2,000 answers the largest margin of one that changed was eight spreads (benchmarks/README.md)."""
DOUBT = 0.01
"""The probability that the true spread is above the estimate, which is therefore larger after fewer steps."""
LEAST = 0.05
"""The lowest bound, in nats."""
NO_LOGPROBS = "the server returns no log-probabilities, so the margins of its answers are unknown"
MODES = ("batched", "verified", "sequential")
"""The ask modes, the least strict first."""


def ask_mode(server: Server, probe: Determinism, *, sequential: bool, concurrency: int | None) -> AskMode:
    """The ask mode that a server's determinism probe allows.

    `sequential`: the user demands that mode. `concurrency`: requests under way at once; None for as many as the server
    decodes together.
    """
    at_once = concurrency or server.at_once
    if sequential or at_once == 1:
        return AskMode("sequential", 1)
    margin = bound(probe)
    if margin is None:
        return AskMode("batched", at_once, why=NO_LOGPROBS)
    return AskMode("verified", at_once, margin)


def bound(probe: Determinism) -> float | None:
    """The margin, in nats, above which an answer is sure; None where the determinism probe measured no drift."""
    if probe.drift is None:
        return None
    return max(LEAST, SIGMAS * stats.spread(probe.drift, probe.steps, alpha=DOUBT))


def gap_changes(sequential: Sequence[Step], batched: Sequence[Step]) -> Iterator[float]:
    """By how many nats batching changed the gap of each step, up to the first with another token.

    At that step the second best token became the best: the change is the sum of both gaps.
    """
    for (token, gap), (batched_token, batched_gap) in zip(sequential, batched, strict=False):
        if token != batched_token:
            yield gap + batched_gap
            return
        yield abs(gap - batched_gap)


def drift(changes: Sequence[float]) -> float | None:
    """The root mean square; None where there are no changes."""
    return math.sqrt(sum(each * each for each in changes) / len(changes)) if changes else None


def sure(replies: Sequence[Reply], bound: float | None) -> bool:
    """Would each of these replies be the same without batching?"""
    return bound is None or all(each.verified or _beyond(each, bound) for each in replies)


def refuted(batched: Reply, sequential: Reply, bound: float | None) -> bool:
    """Does the sequential answer differ from a batched one that was sure? Then the bound is too low."""
    return bound is not None and _beyond(batched, bound) and output(batched) != output(sequential)


def output(reply: Reply) -> tuple[object, ...]:
    """The part of a reply that the model wrote."""
    return reply.content, reply.reasoning, reply.calls, reply.fault


def _beyond(reply: Reply, bound: float) -> bool:
    return reply.margin is not None and reply.margin > bound
