"""Saves and loads the state from which a killed run resumes bit for bit, in one file that is written atomically.

The trained weights and the optimizer's moments, step and rate are tensors of one safetensors file; the counters are its
metadata. The order of the data (trainers.batches) and dropout are functions of the seed and the step.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from gate.errors import GateError
from gate.types import Json

WEIGHTS, OPTIMIZER = "weights.", "optimizer."


class StateError(GateError):
    """A saved state cannot be read, or is of another run."""


def flat(tree: Any) -> list[tuple[str, Any]]:
    """The leaves of a tree with their dotted names."""
    leaves: Any = tree_flatten(tree)
    return list(leaves)


def save(path: Path, model: Any, optimizer: Any, counters: Json) -> None:
    """Save a run's state. A kill leaves the previous one. Raises OSError."""
    arrays = {WEIGHTS + name: value for name, value in flat(model.trainable_parameters())}
    arrays |= {OPTIMIZER + name: value for name, value in flat(optimizer.state)}
    write(path, arrays, {"counters": json.dumps(counters)})


def load(path: Path, model: Any, optimizer: Any, *, fingerprint: str) -> Json:
    """Restore model and optimizer from a saved state, and return its counters.

    Raises StateError if it cannot be read or has another fingerprint.
    """
    try:
        loaded: Any = mx.load(str(path), return_metadata=True)
        arrays, metadata = loaded
        counters: Json = json.loads(metadata["counters"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise StateError(f"{path}: cannot be read ({error}); delete it to start again") from error
    if counters["fingerprint"] != fingerprint:
        raise StateError(
            f"{path}: was saved by another recipe, on other rows or on another base: name another `out`, or delete it"
        )
    weights = {name.removeprefix(WEIGHTS): value for name, value in arrays.items() if name.startswith(WEIGHTS)}
    if weights.keys() != {name for name, _ in flat(model.trainable_parameters())}:
        raise StateError(f"{path}: has other weights than the model trains")
    model.load_weights(list(weights.items()), strict=False)
    moments = [(name.removeprefix(OPTIMIZER), v) for name, v in arrays.items() if name.startswith(OPTIMIZER)]
    optimizer.state = tree_unflatten(moments)
    optimizer.init(model.trainable_parameters())
    mx.eval(model.parameters(), optimizer.state)
    return counters


def save_weights(path: Path, model: Any) -> None:
    """Save the trained weights in the form that mlx-lm loads (mlx_lm/tuner/utils.py, load_adapters)."""
    write(path, dict(flat(model.trainable_parameters())), {"format": "mlx"})


def write(path: Path, arrays: dict[str, mx.array], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, so that it is complete or absent even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.stem}.half.safetensors")
    mx.save_safetensors(str(half), arrays, metadata)
    handle = os.open(half, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(half, path)
