"""Serve an adapter or an MLX directory with `mlx_lm server`, run as a command."""

from __future__ import annotations

from gate.models.serving.process import Serving, Start, free_port, serve, versions
from gate.system import platform
from gate.types import Checkpoint, Json, Server

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
TOGETHER: Json = {name: value for name, value in SAMPLING.items() if name != "seed"}
AT_ONCE = 8
"""Prompts that mlx_lm.server reads together; it decodes 32 (mlx_lm/server.py: --prompt-concurrency)."""


def runtime() -> Json:
    """The versions that make an answer."""
    return versions("mlx", "mlx-lm", "transformers", "tokenizers", "jinja2")


def pytest_gate_serve(checkpoint: Checkpoint, start: Start) -> Serving | None:
    """The hook for kinds adapter and mlx. Raises ServeError."""
    if checkpoint.kind not in ("adapter", "mlx"):
        return None
    port = free_port()
    model = checkpoint.base if checkpoint.kind == "adapter" else checkpoint.path
    command = [*platform.PYTHON, "-m", "mlx_lm", "server", "--model", str(model), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "WARNING"]
    if checkpoint.kind == "adapter":
        command += ["--adapter-path", str(checkpoint.path)]
    if remedy := platform.blas_remedy():
        start.say(f"warning: {remedy}")
    server = Server(
        url=f"http://127.0.0.1:{port}/v1",
        model="default_model",
        runtime="mlx_lm",
        sampling=SAMPLING,
        told=runtime(),
        at_once=AT_ONCE,
        together=TOGETHER,
    )
    environment = platform.model_environment(offline=True)
    return serve(command, server=server, port=port, environment=environment, name="mlx_lm server", start=start)
