"""Serve an adapter or an MLX directory with `mlx_lm server`, run as a command.

Asked raw, it cuts tool calls out of the text as well: only the ids of the tokens tell all, and the checkpoint's
tokenizer turns them into text, in a child (gate.checkpoints.probes.prompts). Read for this: mlx_lm/server.py (0.32.2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gate.checkpoints import kinds
from gate.models.client import Client
from gate.models.raw_completion import completion
from gate.models.runtime import RawView, Runtime, Serving, Start, unseeded
from gate.models.serving.process import free_port, serve, versions
from gate.system import platform, sandbox
from gate.system.sandbox import LimitError
from gate.types import Checkpoint, Json, Raw, Server

SAMPLING: Json = {
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "xtc_probability": 0.0,
    "seed": 0,
    "logprobs": True,
    "top_logprobs": 2,
}
"""Everything mlx_lm.server reads from a request. A seed makes it serve the request alone: exact, not batched."""
AT_ONCE = 8
"""Prompts that mlx_lm.server reads together; it decodes 32 (mlx_lm/server.py: --prompt-concurrency)."""
SECONDS = 180.0
MEMORY = 4 * 2**30
"""Limits of the child that loads a tokenizer: seconds, bytes."""


def _packages() -> Json:
    """The versions that make an answer."""
    return versions("mlx", "mlx-lm", "transformers", "tokenizers", "jinja2")


def _start(checkpoint: Checkpoint, start: Start) -> Serving:
    """Serve it. Raises ServeError."""
    port = free_port()
    command = [*platform.PYTHON, "-m", "mlx_lm", "server", "--model", str(checkpoint.tokenizer), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "WARNING"]
    if checkpoint.adapter is not None:
        command += ["--adapter-path", str(checkpoint.adapter)]
    if remedy := platform.blas_remedy():
        start.say(f"warning: {remedy}")
    server = Server(
        url=f"http://127.0.0.1:{port}/v1",
        model="default_model",
        runtime=RUNTIME.name,
        sampling=SAMPLING,
        reported=_packages(),
        at_once=AT_ONCE,
        batch_sampling=unseeded(SAMPLING),
    )
    environment = platform.model_environment(offline=True)
    return serve(command, server=server, port=port, environment=environment, name="mlx_lm server", start=start)


def _render(_client: Client, folder: Path | None, bodies: list[Json]) -> list[Json]:
    if folder is None:
        why = "mlx_lm.server does not tell its prompts, and behind a URL there is no tokenizer to render them with"
        return [{"problem": why}] * len(bodies)
    asked = [{"messages": body["messages"], "tools": body.get("tools", [])} for body in bodies]
    return _child({"folder": str(folder), "asked": asked}, len(asked))


def _ask(client: Client, raw: Raw, sequential: bool) -> tuple[Raw, list[int]]:
    """Log-probabilities make it tell the ids of the tokens, the one that ended the answer included."""
    raw, choice = completion(client, raw, sequential=sequential)
    tokens = [step["id"] for step in choice["logprobs"]["content"]]
    return raw, tokens if raw.cut else tokens[:-1]


def _decode(folder: Path, answers: list[list[int]]) -> list[str]:
    return _child({"folder": str(folder), "tokens": answers}, len(answers))


def _child(request: Json, count: int) -> list[Any]:
    environment = platform.model_environment(offline=True)
    probe = "gate.checkpoints.probes.prompts"
    made = sandbox.run(probe, request, seconds=SECONDS, memory=MEMORY, environment=environment)
    if not isinstance(made, list) or len(made) != count:
        raise LimitError("the tokenizer's process answered something else than it was asked")
    return made


RUNTIME = Runtime(
    name="mlx_lm",
    kinds=(kinds.ADAPTER, kinds.MLX),
    start=_start,
    versions=_packages,
    raw=RawView(_render, _ask, _decode),
    at_once=AT_ONCE,
    constrained=False,
    seeded_sequential=True,
    counts_cached=True,
    any_of_best=True,  # generate_response names the first of an unordered list
    # ToolCallFormatter: a call without `arguments` raises in the request's thread, which closes the connection
    closing="the model wrote a call it cannot format",
)
