"""The streaming probe: time to the first token and tokens a second, as a single user sees them.

It streams a few cases again, one at a time. The seconds of a run's cases are of whole answers, several at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from gate.errors import AskError
from gate.models.client import Client
from gate.stats import quantile
from gate.types import Case, Server, Streaming

CASES = 3
"""Cases that are measured; one more is asked before them."""
TOKENS = 48
"""Most tokens of a streamed answer."""
PATIENCE = 120.0
"""Most seconds for one answer."""


def probe(server: Server, cases: Sequence[Case], *, timeout: float) -> Streaming:
    """Medians over the cases after the first, which warms the cache of the prompt that they share. Never raises."""
    begun = time.perf_counter()
    try:
        with Client(server, timeout=min(timeout, PATIENCE)) as client:
            streamed = [client.stream(case.messages, tools=case.tools, max_tokens=TOKENS) for case in cases][1:]
    except AskError as error:
        return Streaming(_since(begun), why=f"not possible: {error}")
    first = [each.first for each in streamed if each.first is not None]
    rates = [each.rate for each in streamed if each.rate is not None]
    if not first:
        return Streaming(_since(begun), why="no case, or none with a streamed token")
    return Streaming(
        seconds=_since(begun),
        first_token=round(quantile(first, 0.5), 4),
        tokens_per_second=round(quantile(rates, 0.5), 2) if rates else None,
        asked=len(first),
    )


def _since(begun: float) -> float:
    return round(time.perf_counter() - begun, 3)
