"""P04 and P15: the fine-tune is in the weights, and nothing else has changed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from gate.checkpoints.scan import Facts
from gate.checkpoints.tensors import Tensor
from gate.preflight.artifact import Artifact, NotPossible, once, scanned
from gate.preflight.rule import rule
from gate.preflight.tensor_values import Floats, distance, module, rows, sample
from gate.types import Json

MODULES = 12
"""Modules of the adapter that are looked at, spread over its layers."""
SURVIVED = (0.8, 1.25)
"""Accepted share of the adapter's change that is found in the weights. A float fuse gives 1.000; quantising a float
fuse keeps it near 1, for its rounding is not aligned with the change; a fuse that re-quantises a 4-bit base, and one
with another scale, lie outside (measured in tests/mutations)."""
NOISE = {2: 0.8, 3: 0.45, 4: 0.22, 5: 0.11, 6: 0.06, 8: 0.02, 16: 0.01}
"""Largest relative error that rounding to so many bits explains, twice what Gaussian weights give in groups of 64."""


@rule(
    "P04",
    "fail",
    kinds="mlx",
    remedy="fuse with --dequantize or into the float base, then quantise once; check the scale",
)
def the_delta_survived(artifact: Artifact) -> Sequence[str]:
    """The weights hold the adapter's change, whole and once: about 1 of scale * A B along its own direction."""
    shares = {name: _share(artifact, name) for name in _modules(artifact)}
    middle = median(shares.values())
    if SURVIVED[0] <= middle <= SURVIVED[1]:
        return []
    worst = min(shares, key=lambda name: abs(shares[name]))
    return [f"{middle:.2f} of the change is there (median of {len(shares)} modules; {worst}: {shares[worst]:.2f})"]


@rule(
    "P15",
    "fail",
    kinds="adapter mlx gguf",
    remedy="convert or train again: numbers that are none spread to every answer",
)
def numbers_are_finite(artifact: Artifact) -> Sequence[str]:
    """No tensor holds NaN or Inf."""
    facts = dict(artifact.facts)
    if artifact.checkpoint.adapter:
        facts |= scanned(artifact.base_tensors)
    return [f"{name}: {found.bad} numbers are NaN or Inf" for name, found in facts.items() if found.bad]


@rule(
    "P15",
    "fail",
    kinds="mlx",
    remedy="fuse again from this base; a tensor that LoRA does not touch must come through unchanged",
)
def untouched_is_unchanged(artifact: Artifact) -> Sequence[str]:
    """Tensors that the adapter does not touch are the base's; without the adapter, all but linear weights are."""
    own, base = artifact.tensors, artifact.base_tensors
    kept = {_module(name) for name in base} - (_adapted(artifact) if artifact.against else _linear(base))
    lost = [f"{name} is missing" for name in sorted(kept) if name not in {_module(other) for other in own}]
    return lost + [fault for name in sorted(kept) if (fault := _changed(name, artifact))]


def _modules(artifact: Artifact) -> list[str]:
    """Some of the adapter's modules whose weight is a matrix. Raises NotPossible."""
    found = [name.removesuffix(".lora_a") for name, t in artifact.adapter_tensors.items() if name.endswith(".lora_a")]
    flat = [name for name in sorted(found) if len(artifact.adapter_tensors[f"{name}.lora_a"].shape) == 2]
    known = [
        name for name in flat if f"{name}.weight" in artifact.tensors and f"{name}.weight" in artifact.base_tensors
    ]
    if not known:
        raise NotPossible("no module of the adapter bears the same name in the base and here")
    return [known[number] for number in sample(len(known), MODULES)]


def _share(artifact: Artifact, name: str) -> float:
    """The part of the adapter's change that is found in a module's weights: <W - W_base, D> / <D, D>."""
    lora_a, lora_b = (_whole(artifact.adapter_tensors[f"{name}.{part}"]) for part in ("lora_a", "lora_b"))
    embedding = "embed" in name.rpartition(".")[2]
    count, width = (len(lora_a), lora_b.shape[1]) if embedding else (lora_b.shape[1], len(lora_a))
    numbers = sample(count)
    old = module(artifact.base_tensors, name, numbers, width=width)
    new = module(artifact.tensors, name, numbers, width=width)
    low_rank = lora_a[numbers] @ lora_b if embedding else lora_b[:, numbers].T @ lora_a.T
    change = _wanted(artifact, name, old, low_rank, numbers)
    size = float(np.vdot(change, change))
    return float(np.vdot(new - old, change)) / size if size else 0.0


def _wanted(artifact: Artifact, name: str, old: Floats, low_rank: Floats, numbers: list[int]) -> Floats:
    """What the adapter changes in these rows; DoRA gives each row its own length too (mlx_lm/tuner/dora.py)."""
    scale = _scale(artifact.adapter_config)
    length = artifact.adapter_tensors.get(f"{name}.m")
    if length is None:
        return np.asarray(scale * low_rank, np.float32)
    moved = old + scale * low_rank
    lengths = _whole(length).reshape(-1)[numbers]
    return np.asarray(moved * (lengths / np.linalg.norm(moved, axis=1))[:, None] - old, np.float32)


def _scale(config: Json) -> float:
    scale = (config.get("lora_parameters") or {}).get("scale")
    if not isinstance(scale, (int, float)):
        raise NotPossible("the adapter's configuration gives no scale")
    return float(scale)


def _whole(tensor: Tensor) -> Floats:
    return rows(tensor, list(range(tensor.shape[0] if len(tensor.shape) > 1 else 1)))


@once
def _adapted(artifact: Artifact) -> set[str]:
    return {_module(name) for name in artifact.adapter_tensors}


def _linear(base: dict[str, Tensor]) -> set[str]:
    """Modules that LoRA can have touched: matrices other than embeddings and heads."""
    matrices = {_module(name) for name, tensor in base.items() if len(tensor.shape) > 1}
    return {name for name in matrices if not name.endswith(("embed_tokens", "lm_head"))}


def _module(tensor: str) -> str:
    """model.norm.weight -> model.norm; a packed weight's scales and biases belong to the same module."""
    head, _, leaf = tensor.rpartition(".")
    return head if leaf in ("weight", "scales", "biases", "lora_a", "lora_b", "m") else tensor


def _changed(name: str, artifact: Artifact) -> str:
    own, base = artifact.tensors, artifact.base_tensors
    parts = [part for part in base if _module(part) == name and part in own]
    if all(own[part].type == base[part].type and own[part].shape == base[part].shape for part in parts):
        facts, other = artifact.facts, _base_facts(artifact)
        return next(
            (f"{part}: other bytes than in the base" for part in parts if facts[part].sha256 != other[part].sha256), ""
        )
    return _far(name, artifact)


def _far(name: str, artifact: Artifact) -> str:
    """The same module in another type: equal but for rounding?"""
    own, base = artifact.tensors, artifact.base_tensors
    if name in base:  # a tensor of its own: a bias, say
        return _far_apart(name, rows(own[name], [0]), rows(base[name], [0]), 16) if len(base[name].shape) == 1 else ""
    weight, other = own[f"{name}.weight"], base[f"{name}.weight"]
    packed = [f"{name}.scales" in tensors for tensors in (own, base)]
    if all(packed):
        raise NotPossible(f"{name} is packed in another way than in the base: give the float base")
    numbers = sample(other.shape[0] if len(other.shape) > 1 else 1)
    width = (weight if packed[1] else other).shape[-1]
    new, old = (module(tensors, name, numbers, width=width) for tensors in (own, base))
    if new.shape != old.shape:
        return f"{name}: {list(weight.shape)} against {list(other.shape)} in the base"
    narrow = weight if packed[0] else other
    return _far_apart(name, new, old, narrow.shape[-1] * 32 // width if any(packed) else 16)


def _far_apart(name: str, new: Floats, old: Floats, bits: int) -> str:
    far = distance(new, old)
    limit = NOISE.get(bits, NOISE[2])
    return f"{name}: differs from the base by {far:.3f}, where rounding explains {limit:g}" if far > limit else ""


@once
def _base_facts(artifact: Artifact) -> dict[str, Facts]:
    return scanned(artifact.base_tensors)
