"""Serve one checkpoint outside of a pytest run: for parity, and for a judge."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gate.errors import ServeError
from gate.models.serving import llama_cpp, mlx, openai_url, scripted
from gate.models.serving.process import Serving, Start
from gate.types import Checkpoint, Say, Server

BACKENDS: tuple[Callable[[Checkpoint, Start], Serving | None], ...] = (
    mlx.pytest_gate_serve,
    llama_cpp.pytest_gate_serve,
    openai_url.pytest_gate_serve,
    scripted.pytest_gate_serve,
)
START_SECONDS = 600.0


@contextmanager
def served(
    checkpoint: Checkpoint, say: Say, *, context: int, key: str = "GATE_API_KEY", parallel: int = 1
) -> Iterator[Server]:
    """A server that answers; it is stopped on the way out. `key`: the variable with a URL's key. Raises ServeError."""
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        start = Start(Path(folder), timeout=START_SECONDS, context=context, parallel=parallel, say=say, key=key)
        serving = _serve(checkpoint, start)
        try:
            yield serving.server
        finally:
            serving.stop()


def _serve(checkpoint: Checkpoint, start: Start) -> Serving:
    for serve in BACKENDS:
        if serving := serve(checkpoint, start):
            return serving
    raise ServeError(f"nothing here serves the kind {checkpoint.kind}")
