"""Does the server answer the same question in the same way? Asked alone, in a batch, with a cold and a warm cache.

A measurement can be no finer than this. It is made once a server's life, on short fixed prompts, before the cases: by
how much company moved the answers one knows which of theirs are sure (gate.settle).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gate import settle, together
from gate.client import Client
from gate.errors import AskError
from gate.types import Json, Reply, Server
from gate.words import parted

PROMPT = "Count from one to twenty in words."
COMPANY = (
    "Name a colour and say why you like it.",
    "What do bees do in winter?",
    "Write one line about the sea.",
    "Which day comes after Monday, and which before?",
)
"""What is asked at the same time as the prompt; different, so that nothing of it is shared."""
PROMPTS = (PROMPT, *COMPANY)
TOKENS = 12
DRIFT = 0.01
"""Nats by which the smallest margin may move between equal texts before it is told."""
PATIENCE = 60.0
"""Most seconds for one answer."""
NOT_MADE: Json = {"equal": None, "why": "not made: the run ended before", "seconds": 0.0}


def probe(server: Server, *, timeout: float) -> Json:
    """Ask, compare, and say what differs: the report's `made.canary`. Never raises for what a server does."""
    begun = time.perf_counter()
    patience = min(timeout, PATIENCE)
    try:
        with Client(server, timeout=patience) as client:
            alone = [_ask(client) for _ in range(3)]
            batched, cached = _batched(server, patience), _cached(server, patience, alone)
            others = [_ask(client, prompt) for prompt in COMPANY if not isinstance(batched, str)]
    except AskError as error:
        return {"equal": None, "why": f"not possible: {error}", "seconds": _since(begun)}
    among = [] if isinstance(batched, str) else batched
    moved = [settle.drift(*pair) for pair in zip([alone[-1], *others], among, strict=False)]
    told = compared(alone, among[0] if among else str(batched), cached)
    first, again = alone[0].seconds, alone[-1].seconds
    return told | {"drift": _most(moved), "first": first, "again": again, "seconds": _since(begun)}


def compared(alone: Sequence[Reply], batched: Reply | str, cached: tuple[Reply, Reply] | str) -> Json:
    """What several answers to one question say of the server; a text stands for an answer that cannot be had, and why.

    `alone`, `batched` and `cold` are true, false, or null for "not possible"; `equal` is whether none is false.
    """
    pairs = {"alone": [(alone[0], other) for other in alone[1:]]}
    pairs["batched"] = [(alone[-1], batched)] if isinstance(batched, Reply) else []
    pairs["cold"] = [] if isinstance(cached, str) else [(cached[1], cached[0])]
    equal = {name: all(_said(a) == _said(b) for a, b in both) if both else None for name, both in pairs.items()}
    whys = {"batched": batched, "cold": cached}
    return {
        "equal": False not in equal.values(),
        **equal,
        "differences": [line for name, both in pairs.items() for a, b in both if (line := _difference(name, a, b))],
        "not_possible": {name: why for name, why in whys.items() if isinstance(why, str)},
        "margins": {"alone": alone[0].margin} | {name: b.margin for name, both in pairs.items() for _, b in both[-1:]},
        "said": _said(alone[0])[:200],
    }


def _ask(client: Client, prompt: str = PROMPT) -> Reply:
    return client.chat([{"role": "user", "content": prompt}], tools=[], max_tokens=TOKENS)


def _most(moved: Sequence[float | None]) -> float | None:
    """The largest drift; None where one of them is not known."""
    known = [each for each in moved if each is not None]
    return max(known) if known and len(known) == len(moved) else None


def _batched(server: Server, patience: float) -> list[Reply] | str:
    """The answers to all prompts given together. mlx_lm.server serves a request with a seed alone."""
    if server.runtime == "llama.cpp" and server.told.get("total_slots") == 1:
        return "this llama-server has one slot"
    unseeded = {name: value for name, value in server.sampling.items() if name != "seed"}
    with Client(replace(server, sampling=unseeded), timeout=patience) as client:
        return together.each(partial(_ask, client), PROMPTS, at_once=len(PROMPTS))


def _cached(server: Server, patience: float, alone: Sequence[Reply]) -> tuple[Reply, Reply] | str:
    """The answer with a cold cache and the one with a warm cache; or why there are none."""
    if server.runtime == "llama.cpp":
        return _with_cache(server, patience, use=False), _with_cache(server, patience, use=True)
    if server.runtime != "mlx_lm":
        return "this server does not say what it has cached"
    if _cached_tokens(alone[0]) < _cached_tokens(alone[1]):
        return alone[0], alone[1]
    return "the server had the prompt in its cache before"


def _with_cache(server: Server, patience: float, *, use: bool) -> Reply:
    with Client(replace(server, sampling=server.sampling | {"cache_prompt": use}), timeout=patience) as client:
        return _ask(client)


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
