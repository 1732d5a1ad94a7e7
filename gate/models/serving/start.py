"""Serves a checkpoint outside of a pytest run: for parity, for a judge, for preflight."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gate.models import runtime
from gate.models.runtime import Start
from gate.types import Checkpoint, Say, Server

START_SECONDS = 600.0


@contextmanager
def served(
    checkpoint: Checkpoint, say: Say, *, context: int, key: str = "GATE_API_KEY", parallel: int = 1
) -> Iterator[Server]:
    """Serve a checkpoint inside a `with` block. Raises ServeError.

    `context`: tokens that a request may use. `key`: the environment variable with a URL's API key. `parallel`:
    requests at once.
    """
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        start = Start(Path(folder), timeout=START_SECONDS, context=context, parallel=parallel, say=say, key=key)
        serving = runtime.for_kind(checkpoint.kind).start(checkpoint, start)
        try:
            yield serving.server
        finally:
            serving.stop()
