"""Serves an adapter or an MLX directory with `mlx_lm server`, run as a command.

It cuts tool calls out of the text of raw completions too. Only the token ids are complete; the checkpoint's tokenizer
decodes them in a child process (gate.checkpoints.probes.prompts). Source: mlx_lm/server.py (0.32.2).
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
"""Every sampling parameter that mlx_lm.server reads. It does not batch a request with a seed."""
AT_ONCE = 8
"""Prompts that mlx_lm.server processes together; it decodes 32 (mlx_lm/server.py: --prompt-concurrency)."""
SECONDS = 180.0
MEMORY = 4 * 2**30
"""Limits of the child process that loads a tokenizer: seconds, bytes."""


def _packages() -> Json:
    """The versions of the packages that affect an answer."""
    return versions("mlx", "mlx-lm", "transformers", "tokenizers", "jinja2")


def _start(checkpoint: Checkpoint, start: Start) -> Serving:
    """Start the server. Raises ServeError."""
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
        why = "mlx_lm.server does not reveal its prompts, and behind a URL there is no tokenizer to render them with"
        return [{"problem": why}] * len(bodies)
    chats = [{"messages": body["messages"], "tools": body.get("tools", [])} for body in bodies]
    return _child({"folder": str(folder), "asked": chats}, len(chats))


def _ask(client: Client, raw: Raw, sequential: bool) -> tuple[Raw, list[int]]:
    """With log-probabilities it returns the token ids, including the one that ended the answer."""
    raw, choice = completion(client, raw, sequential=sequential)
    tokens = [step["id"] for step in choice["logprobs"]["content"]]
    return raw, tokens if raw.cut else tokens[:-1]


def _decode(folder: Path, answers: list[list[int]]) -> list[str]:
    return _child({"folder": str(folder), "tokens": answers}, len(answers))


def _child(request: Json, count: int) -> list[Any]:
    """The `count` results of the tokenizer's child process. Raises LimitError."""
    environment = platform.model_environment(offline=True)
    probe = "gate.checkpoints.probes.prompts"
    results = sandbox.run(probe, request, seconds=SECONDS, memory=MEMORY, environment=environment)
    if not isinstance(results, list) or len(results) != count:
        raise LimitError(f"the tokenizer's process did not return {count} results")
    return results


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
    any_of_best=True,  # generate_response reports the first of an unordered list
    # ToolCallFormatter: a call without `arguments` raises in the request's thread, which closes the connection
    closing="the model wrote a call it cannot format",
)
