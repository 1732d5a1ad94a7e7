"""Totals of the requests of one run, and their differences from the gate's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.harnesses.traffic import Exchange
from gate.types import Json

CHAT = "/v1/chat/completions"
ANSWERING = (CHAT, "/v1/completions", "/completion")
"""The paths at which a model answers; others describe the server, render or tokenise."""
NAMED_APART = ("model", "messages", "tools", "max_tokens")


@dataclass(frozen=True, slots=True)
class Totals:
    """The requests and answers of one run."""

    requests: int
    """Requests for an answer."""
    once: int
    """Cases that were asked exactly once, with the gate's messages, tools and max_tokens."""
    repeated: int
    """Cases that were asked more than once, and cases that were not asked."""
    missing: int
    beyond: int
    """Requests beyond the first of each case."""
    failed: int
    """Requests without an answer of status 200."""
    at_once: int
    """Most requests in flight at once."""
    prompt: int
    """Tokens of all prompts, and those that were not cached."""
    computed: int
    completion: int
    """Tokens of all answers, and of the first answer to each case."""
    first: int
    paths: Json
    """Requests by path."""
    unlike: Json
    """Settings that differ from the gate's, and the number of requests with each."""


def totals(found: Sequence[Exchange], bodies: Sequence[Json]) -> Totals:
    """The totals of a run. `bodies` are the requests that the gate sends for the cases."""
    answers = [each for each in found if each.path in ANSWERING]
    wanted = {mark(body): body for body in bodies}
    marks = [mark(each.body) if each.path == CHAT else "" for each in answers]
    times = Counter(marks)
    first = {name: each for name, each in zip(reversed(marks), reversed(answers), strict=True) if name in wanted}
    prompt = sum(each.usage["prompt_tokens"] for each in answers if each.usage)
    cached = sum(each.usage["cached_tokens"] for each in answers if each.usage)
    return Totals(
        requests=len(answers),
        once=sum(times[name] == 1 for name in wanted),
        repeated=sum(times[name] > 1 for name in wanted),
        missing=len(wanted) - len(first),
        beyond=len(answers) - len(first),
        failed=sum(each.status != 200 for each in answers),
        at_once=_at_once(answers),
        prompt=prompt,
        computed=prompt - cached,
        completion=sum(each.usage["completion_tokens"] for each in answers if each.usage),
        first=sum(each.usage["completion_tokens"] for each in first.values() if each.usage),
        paths=dict(Counter(each.path for each in found)),
        unlike=dict(Counter(line for name, each in first.items() for line in _unlike(each.body, wanted[name]))),
    )


def mark(body: Json) -> str:
    """A key of a question: its messages, tools and token limit."""
    asked = [body.get("messages"), body.get("tools", []), body.get("max_tokens")]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _unlike(body: Json, wanted: Json) -> Iterator[str]:
    for key in sorted((body.keys() | wanted.keys()).difference(NAMED_APART)):
        if key not in body:
            yield f"no {key}"
        elif key not in wanted or body[key] != wanted[key]:
            yield f"{key}={json.dumps(body[key])}"


def _at_once(found: Sequence[Exchange]) -> int:
    most = now = 0
    for _, step in sorted([(each.begun, 1) for each in found] + [(each.ended, -1) for each in found]):
        now += step
        most = max(most, now)
    return most
