"""The determinism probe: is one question answered equally alone, in a batch, with a cold and a warm cache?

No grading can be finer than this. The probe runs before the cases, once a server's life, on prompts as long as an
agent's: on short ones a batch and a cache may move nothing (of a Q8_0 GGUF on a CPU exactly nothing up to some 100
tokens, and 0.1 nats a step above 1,000: benchmarks/README.md). How far batching moved its answers says which of the
cases' answers are sure (gate.models.batch_invariance).
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial

from gate.errors import AskError
from gate.models import batch_invariance
from gate.models.client import Client
from gate.models.runtime import named, unseeded
from gate.system import parallel
from gate.system.text import parted
from gate.types import Determinism, Reply, Server, Step

ROOMS = ("hall", "kitchen", "cellar", "attic", "study", "garden", "stable", "tower")
THINGS = ("lamp", "clock", "chair")
NOTES = " ".join(f"In the {room} there is an old {thing} beside the window." for room in ROOMS for thing in THINGS)
"""Some 300 tokens that every prompt begins with."""
PROMPTS = (
    f"{NOTES} Say in full sentences what there is in the kitchen.",
    f"{NOTES} Name all things that are in the tower, one after another.",
    f"{NOTES} Write a letter about the house to a friend.",
    f"{NOTES} Which rooms does the house have, and which would you like to live in?",
)
"""The first is asked in every way; the others share its batch, as many in all as a llama-server of ours has slots."""
TOKENS = 12
DRIFT = 0.01
"""Nats by which the smallest margin may move between equal texts before it is told."""
PATIENCE = 60.0
"""Most seconds for one answer."""
NOT_MADE = Determinism(None, 0.0, why="not made: the run ended before")
Answer = tuple[Reply, list[Step]]


def probe(server: Server, *, timeout: float) -> Determinism:
    """Ask, compare, and say what differs. Never raises for what a server does."""
    begun = time.perf_counter()
    patience = min(timeout, PATIENCE)
    try:
        with Client(server, timeout=patience) as client:
            (first, _), (one, _), other = (_ask(client, "", PROMPTS[0]) for _ in range(3))
            batched = _batched(server, patience)
            alone = [other, *(_ask(client, "", each) for each in PROMPTS[1:] if not isinstance(batched, str))]
            cold = _cold(server, client, first, one)
    except AskError as error:
        return Determinism(None, _since(begun), why=f"not possible: {error}")
    beside = [] if isinstance(batched, str) else batched
    moved = [
        step for pair in zip(alone, beside, strict=False) for step in batch_invariance.moved(pair[0][1], pair[1][1])
    ]
    pairs: dict[str, tuple[Reply, Reply] | str] = {
        "sequential": (one, other[0]),
        "batched": batched if isinstance(batched, str) else (alone[0][0], batched[0][0]),
        "cold": cold,
    }
    return replace(
        compared(pairs),
        drift=batch_invariance.drift(moved),
        steps=len(moved),
        first=first.seconds,
        again=other[0].seconds,
        seconds=_since(begun),
    )


def compared(pairs: dict[str, tuple[Reply, Reply] | str]) -> Determinism:
    """What pairs of answers to one question say of the server; a text stands for a pair that cannot be had, and why."""
    had = {name: pair for name, pair in pairs.items() if not isinstance(pair, str)}
    equal = {name: _said(had[name][0]) == _said(had[name][1]) if name in had else None for name in pairs}
    one = had["sequential"][0]
    return Determinism(
        equal=False not in equal.values(),
        seconds=0.0,
        sequential=equal["sequential"],
        batched=equal["batched"],
        cold=equal["cold"],
        differences=tuple(line for name, pair in had.items() if (line := _difference(name, *pair))),
        not_possible={name: why for name, why in pairs.items() if isinstance(why, str)},
        margins={name: pair[1].margin for name, pair in had.items()},
        said=_said(one)[:200],
    )


def _ask(client: Client, how: str, prompt: str) -> Answer:
    return client.measured([{"role": "user", "content": prompt}], max_tokens=TOKENS, how=how)


def _batched(server: Server, patience: float) -> list[Answer] | str:
    """The answers to all prompts given together; without a seed, with which some servers compute a request alone."""
    if server.at_once == 1:
        return "this server decodes one request at a time"
    with Client(replace(server, sampling=unseeded(server.sampling)), timeout=patience) as client:
        return parallel.map(partial(_ask, client, "batched"), PROMPTS, at_once=len(PROMPTS))


def _cold(server: Server, client: Client, first: Reply, warm: Reply) -> tuple[Reply, Reply] | str:
    """The answer with a warm cache and the one with a cold cache; or why there are none."""
    if server.cold:
        return warm, _ask(client, "sequential", PROMPTS[0])[0]
    if not named(server.runtime).counts_cached:
        return "this server does not say what it has cached"
    return (warm, first) if _cached_tokens(first) < _cached_tokens(warm) else "the server had it in its cache before"


def _cached_tokens(reply: Reply) -> int:
    details = reply.usage.get("prompt_tokens_details")
    count = details.get("cached_tokens") if isinstance(details, dict) else None
    return count if isinstance(count, int) else 0


def _difference(name: str, first: Reply, other: Reply) -> str:
    """How two answers differ, in words; empty when they do not."""
    one, two = _said(first), _said(other)
    if one != two:
        at = parted(one, two)
        start = max(0, at - 20)
        return f"{name}: {two[start : at + 40]!r} where it was {one[start : at + 40]!r} (from character {at})"
    if first.margin is None or other.margin is None or abs(first.margin - other.margin) <= DRIFT:
        return ""
    return f"{name}: the same text, its smallest margin {other.margin:.3f} instead of {first.margin:.3f} nats"


def _said(reply: Reply) -> str:
    calls = json.dumps(reply.calls, ensure_ascii=False) if reply.calls else ""
    return f"{reply.reasoning}{reply.content}{calls}"


def _since(begun: float) -> float:
    return round(time.perf_counter() - begun, 3)
