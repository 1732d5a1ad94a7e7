"""What a probe said of these very bytes before: a second look at the same artifact starts no child process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from gate.checkpoints import tensors
from gate.system import cache
from gate.system.hashing import sha256
from gate.types import Json

CODE = ("mlx", "mlx-lm", "transformers", "tokenizers", "jinja2")


def remembered(probe: str, request: Json, folder: Path | None, ask: Callable[[], Json]) -> Json:
    """The answer of a probe, asked anew when the request, the folder's files, the probe or a library has changed.

    Weights count by size and header: a probe reads the names and shapes of tensors, and no numbers.
    """
    source = Path(__file__).parent / "probes" / f"{probe}.py"
    facts = [request, sha256(source), [version(name) for name in CODE], _files(folder) if folder else []]
    answer: Json = cache.remembered(probe, facts, ask)
    return answer


def _files(folder: Path) -> list[list[str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [[str(path.relative_to(folder)), _mark(path)] for path in files]


def _mark(path: Path) -> str:
    if path.suffix != ".safetensors":
        return sha256(path)
    told = sorted((name, tensor.type, tensor.shape) for name, tensor in tensors.safetensors(path).items())
    return f"{path.stat().st_size} {hashlib.sha256(repr(told).encode()).hexdigest()}"
