"""The server that all harnesses ask: started as the gate starts its own, fresh for each run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gate.models import runtime
from gate.models.runtime import Start
from gate.models.serving.start import START_SECONDS
from gate.types import Checkpoint, Server

CONTEXT = 8192
"""Tokens of context a request may use: the gate's own default."""


@contextmanager
def served(checkpoint: Checkpoint, *, slots: int, context: int = CONTEXT) -> Iterator[Server]:
    """A server without a warm cache that has answered one token ("ping"), and ends with the block.

    `slots` is llama-server's --parallel. Raises ServeError.
    """
    with tempfile.TemporaryDirectory(prefix="harnesses-") as folder:
        start = Start(Path(folder), timeout=START_SECONDS, context=context, parallel=slots, say=lambda _: None)
        serving = runtime.for_kind(checkpoint.kind).start(checkpoint, start)
        try:
            yield serving.server
        finally:
            serving.stop()
