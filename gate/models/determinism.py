"""The determinism probe: does one question get the same answer sequentially, in a batch, with a cold and a warm cache?

Differences between checkpoints that are smaller than these cannot be measured. The probe runs once for each server,
before the cases. Its prompts are as long as an agent's, since batching and caching may change nothing on short ones (a
Q8_0 GGUF on a CPU: exactly nothing up to some 100 tokens, 0.1 nats a step above 1,000; benchmarks/README.md). How much
batching changes its answers decides which of the cases' answers are sure (gate.models.batch_invariance).
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial

from gate.errors import AskError
from gate.models import batch_invariance
from gate.models.client import Client
from gate.models.runtime import by_name, unseeded
from gate.system import parallel
from gate.system.text import parted
from gate.types import Determinism, Reply, Server, Step

ROOMS = ("hall", "kitchen", "cellar", "attic", "study", "garden", "stable", "tower")
THINGS = ("lamp", "clock", "chair")
NOTES = " ".join(f"In the {room} there is an old {thing} beside the window." for room in ROOMS for thing in THINGS)
"""The prefix of every prompt, about 300 tokens."""
PROMPTS = (
    f"{NOTES} Say in full sentences what there is in the kitchen.",
    f"{NOTES} Name all things that are in the tower, one after another.",
    f"{NOTES} Write a letter about the house to a friend.",
    f"{NOTES} Which rooms does the house have, and which would you like to live in?",
)
"""The first is compared; the others fill its batch. They are as many as the slots of the gate's llama-server."""
TOKENS = 12
DRIFT = 0.01
"""Nats by which the smallest margin may change between equal texts without being reported."""
PATIENCE = 60.0
"""Most seconds for one answer."""
NOT_RUN = Determinism(None, 0.0, why="not run: the run ended before it")
Answer = tuple[Reply, list[Step]]


def probe(server: Server, *, timeout: float) -> Determinism:
    """Probe a server. Never raises for what the server does."""
    begun = time.perf_counter()
    patience = min(timeout, PATIENCE)
    try:
        with Client(server, timeout=patience) as client:
            (first, _), (second, _), third = (_ask(client, "", PROMPTS[0]) for _ in range(3))
            batched = _batched(server, patience)
            sequential = [third, *(_ask(client, "", each) for each in PROMPTS[1:] if not isinstance(batched, str))]
            cold = _cold(server, client, first, second)
    except AskError as error:
        return Determinism(None, round(time.perf_counter() - begun, 3), why=f"not possible: {error}")
    both = [] if isinstance(batched, str) else zip(sequential, batched, strict=True)
    changes = [change for (_, one), (_, other) in both for change in batch_invariance.gap_changes(one, other)]
    pairs: dict[str, tuple[Reply, Reply] | str] = {
        "sequential": (second, third[0]),
        "batched": batched if isinstance(batched, str) else (third[0], batched[0][0]),
        "cold": cold,
    }
    return replace(
        _compare(pairs),
        drift=batch_invariance.drift(changes),
        steps=len(changes),
        first=first.seconds,
        again=third[0].seconds,
        seconds=round(time.perf_counter() - begun, 3),
    )


def _compare(pairs: dict[str, tuple[Reply, Reply] | str]) -> Determinism:
    """Compare each pair of answers to the same question; a string says why there is no pair."""
    answered = {name: pair for name, pair in pairs.items() if not isinstance(pair, str)}
    equal = {name: _output(one) == _output(other) for name, (one, other) in answered.items()}
    return Determinism(
        equal=False not in equal.values(),
        seconds=0.0,
        sequential=equal["sequential"],
        batched=equal.get("batched"),
        cold=equal.get("cold"),
        differences=tuple(line for name, pair in answered.items() if (line := _difference(name, *pair))),
        not_possible={name: why for name, why in pairs.items() if isinstance(why, str)},
        margins={name: pair[1].margin for name, pair in answered.items()},
        said=_output(answered["sequential"][0])[:200],
    )


def _ask(client: Client, mode: str, prompt: str) -> Answer:
    return client.chat_with_steps([{"role": "user", "content": prompt}], max_tokens=TOKENS, mode=mode)


def _batched(server: Server, patience: float) -> list[Answer] | str:
    """The answers to all prompts sent together, without the seed, with which some servers batch nothing."""
    if server.at_once == 1:
        return "this server decodes one request at a time"
    with Client(replace(server, sampling=unseeded(server.sampling)), timeout=patience) as client:
        return parallel.map(partial(_ask, client, "batched"), PROMPTS, at_once=len(PROMPTS))


def _cold(server: Server, client: Client, first: Reply, warm: Reply) -> tuple[Reply, Reply] | str:
    """The answers with a warm and with a cold cache; or why there are none."""
    if server.cold:
        return warm, _ask(client, "sequential", PROMPTS[0])[0]
    if not by_name(server.runtime).counts_cached:
        return "this server does not report how many tokens of a prompt it has cached"
    return (
        (warm, first) if _cached_tokens(first) < _cached_tokens(warm) else "the prompt was in the server's cache before"
    )


def _cached_tokens(reply: Reply) -> int:
    details = reply.usage.get("prompt_tokens_details")
    count = details.get("cached_tokens") if isinstance(details, dict) else None
    return count if isinstance(count, int) else 0


def _difference(name: str, first: Reply, other: Reply) -> str:
    """How two answers differ; empty when they do not."""
    one, two = _output(first), _output(other)
    if one != two:
        at = parted(one, two)
        start = max(0, at - 20)
        return f"{name}: {two[start : at + 40]!r} where it was {one[start : at + 40]!r} (from character {at})"
    if first.margin is None or other.margin is None or abs(first.margin - other.margin) <= DRIFT:
        return ""
    return f"{name}: the same text, its smallest margin {other.margin:.3f} instead of {first.margin:.3f} nats"


def _output(reply: Reply) -> str:
    calls = json.dumps(reply.calls, ensure_ascii=False) if reply.calls else ""
    return f"{reply.reasoning}{reply.content}{calls}"
