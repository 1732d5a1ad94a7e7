"""The least time for a server on this machine: every distinct prompt token processed once, every answer decoded.

    seconds = distinct prompt tokens / prefill rate + generated tokens / best batched decode rate

Distinct prompt tokens are the nodes of a trie of all prompts: a prefix that several share counts once. Both rates are
measured here: prefill as the median over long prompts that no cache knows, one after another; decode as the best over
several numbers of requests at once, each on a server of its own, their prompts read before the clock starts. No harness
is in it. A server that reads several prompts together faster than one could come in under it.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harnesses.servers import served
from gate.checkpoints.kinds import GGUF
from gate.models.client import Client
from gate.system import parallel, platform
from gate.types import Checkpoint, Json

PROMPTS, WORDS = 5, 1400
"""Number of long prompts, and words of each, some 1,500 tokens."""
GENERATED = 128
AT_ONCE = (1, 2, 4, 8)
SECONDS = 1800.0
"""Timeout of one answer."""
VOCABULARY = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "life",
    "child",
    "world",
    "school",
    "state",
    "group",
]
VOCABULARY += ["problem", "hand", "part", "place", "case", "week", "work", "number", "night", "home", "water", "room"]


@dataclass(frozen=True, slots=True)
class Limit:
    """The figures that give the least time."""

    distinct: int
    """Prompt tokens, with shared prefixes counted once; and all prompt tokens."""
    prompt: int
    prefill: float
    """Prompt tokens per second."""
    decode: dict[int, float]
    """Generated tokens per second, by the number of requests at once."""

    def seconds(self, generated: int) -> float:
        """The least time in seconds for these prompts and `generated` tokens."""
        return self.distinct / self.prefill + generated / max(self.decode.values())


def measured(checkpoint: Checkpoint, bodies: Sequence[Json]) -> Limit:
    """Measure the rates of a real model's server. Raises GateError."""
    with served(checkpoint, slots=1) as server, Client(server, timeout=SECONDS) as client:
        prompts = _tokens(client, checkpoint, bodies)
        prefill = _prefill(client)
    decode = {count: _decode(checkpoint, count) for count in AT_ONCE}
    return Limit(distinct(prompts), sum(map(len, prompts)), prefill, decode)


def distinct(prompts: Iterable[Sequence[int]]) -> int:
    """The number of distinct prefixes of these prompts: the nodes of their trie."""
    root: dict[int, Any] = {}
    count = 0
    for prompt in prompts:
        node = root
        for token in prompt:
            count += token not in node
            node = node.setdefault(token, {})
    return count


def _tokens(client: Client, checkpoint: Checkpoint, bodies: Sequence[Json]) -> list[list[int]]:
    """Every prompt in the server's tokens."""
    if checkpoint.kind is GGUF:
        return [_tokenized(client, client.post_json("/apply-template", body)["prompt"]) for body in bodies]
    asked = [{"messages": body["messages"], "tools": body.get("tools")} for body in bodies]
    request = json.dumps({"folder": str(checkpoint.base or checkpoint.path), "asked": asked})
    command = [*platform.PYTHON, str(Path(__file__).with_name("tokens.py"))]
    environment = platform.model_environment(offline=True)
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=True, env=environment)
    made: list[list[int]] = json.loads(done.stdout)
    return made


def _tokenized(client: Client, prompt: str) -> list[int]:
    body = {"content": prompt, "add_special": True, "parse_special": True}
    tokens: list[int] = client.post_json("/tokenize", body)["tokens"]
    return tokens


def _prefill(client: Client) -> float:
    """Tokens per second of long prompts, one after the other, without cached tokens."""
    chosen = random.Random(0)
    rates = []
    for _ in range(PROMPTS):
        begun = time.perf_counter()
        usage = _asked(client, " ".join(chosen.choices(VOCABULARY, k=WORDS)), 1)
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        rates.append(float(usage["prompt_tokens"] - cached) / (time.perf_counter() - begun))
    return statistics.median(rates)


def _decode(checkpoint: Checkpoint, count: int) -> float:
    """Tokens per second of `count` requests at once."""
    with served(checkpoint, slots=count, context=2048) as server, Client(server, timeout=SECONDS) as client:
        prompts = [f"{number}. Once upon a time, and then again," for number in range(count)]
        for prompt in prompts:
            _asked(client, prompt, 1)
        begun = time.perf_counter()
        usages = parallel.map(lambda prompt: _asked(client, prompt, GENERATED), prompts, at_once=count)
        seconds = time.perf_counter() - begun
        return float(sum(usage["completion_tokens"] for usage in usages)) / seconds


def _asked(client: Client, prompt: str, tokens: int) -> Json:
    """The usage of a raw completion; without a seed, with which mlx_lm.server does not batch requests."""
    body = {"model": client.server.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    usage: Json = client.post_json("/v1/completions", body)["usage"]
    return usage
