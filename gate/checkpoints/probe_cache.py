"""Run probes in child processes with limits, and cache their answers by the bytes that they read."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from gate.checkpoints import tensors
from gate.system import cache, platform, sandbox
from gate.system.hashing import sha256
from gate.types import Json

CODE = ("mlx", "mlx-lm", "transformers", "tokenizers", "jinja2")


def probed(probe: str, request: Json, folder: Path | None, *, seconds: float, memory: int) -> Json:
    """The answer of gate.checkpoints.probes.PROBE, which reads `folder`, or no folder. Raises sandbox.LimitError.

    It is asked again when the request, the folder's files, the probe or a library has changed. Weights count by size
    and header: a probe reads the names and shapes of tensors, and no numbers.
    """
    source = Path(__file__).parent / "probes" / f"{probe}.py"
    facts = [request, sha256(source), [version(name) for name in CODE], _files(folder) if folder else []]
    environment = platform.model_environment(offline=True) if folder else None
    module = f"gate.checkpoints.probes.{probe}"

    def ask() -> Json:
        answer: Json = sandbox.run(module, request, seconds=seconds, memory=memory, environment=environment)
        return answer

    found: Json = cache.remembered(probe, facts, ask)
    return found


def _files(folder: Path) -> list[list[str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [[str(path.relative_to(folder)), _mark(path)] for path in files]


def _mark(path: Path) -> str:
    if path.suffix != ".safetensors":
        return sha256(path)
    told = sorted((name, tensor.type, tensor.shape) for name, tensor in tensors.safetensors(path).items())
    return f"{path.stat().st_size} {hashlib.sha256(repr(told).encode()).hexdigest()}"
