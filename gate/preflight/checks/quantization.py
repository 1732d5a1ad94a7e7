"""P14: the bits that are there are the bits that are declared."""

from __future__ import annotations

from collections.abc import Sequence

from gate.checkpoints.tensors import Tensor
from gate.preflight.artifact import Artifact, NotApplicable
from gate.preflight.rule import rule
from gate.types import Json

KEYS = ("quantization", "quantization_config")
HIDDEN = ("embed_tokens", "q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "lm_head")
"""Modules whose input has hidden_size columns in every architecture that has them."""


@rule("P14", "fail", kinds="mlx", remedy="convert again with `mlx_lm convert -q` from the float model")
def bits_are_the_declared_ones(artifact: Artifact) -> Sequence[str]:
    """Each packed tensor has the bits and the group size that config.json declares for it."""
    declared, packed = _declared(artifact), _packed(artifact)
    if not packed:
        raise NotApplicable("no tensor is packed")
    if declared is None:
        return [f"{len(packed)} modules are packed and config.json declares no quantization"]
    hidden = artifact.config.get("hidden_size")
    return [fault for name in packed if (fault := _fault(name, artifact.tensors, _of(declared, name), hidden))]


@rule(
    "P14",
    "fail",
    kinds="adapter mlx",
    remedy="delete quantization and quantization_config from config.json, or convert again",
)
def no_stale_quantisation(artifact: Artifact) -> Sequence[str]:
    """A folder of float tensors declares no quantization, and a packed one declares the same under both keys."""
    given = {key: artifact.config[key] for key in KEYS if artifact.config.get(key) is not None}
    tensors = artifact.base_tensors if artifact.checkpoint.adapter else artifact.tensors
    if given and not any(name.endswith(".scales") for name in tensors):
        return [f"config.json has {' and '.join(given)}, and no tensor is packed"]
    return [f"{KEYS[0]} and {KEYS[1]} differ"] if len(given) == 2 and given[KEYS[0]] != given[KEYS[1]] else []


def _declared(artifact: Artifact) -> Json | None:
    given = artifact.config.get(KEYS[0]) or artifact.config.get(KEYS[1])
    return given if isinstance(given, dict) else None


def _packed(artifact: Artifact) -> list[str]:
    return [name.removesuffix(".scales") for name in artifact.tensors if name.endswith(".scales")]


def _of(declared: Json, module: str) -> Json:
    """A module's own entry, or the common one (mlx_lm/utils.py, `load_model`)."""
    own = declared.get(module)
    return own if isinstance(own, dict) else declared


def _fault(name: str, tensors: dict[str, Tensor], declared: Json, hidden: object) -> str:
    bits, group = declared.get("bits"), declared.get("group_size")
    weight, scales = tensors.get(f"{name}.weight"), tensors[f"{name}.scales"]
    if weight is None or weight.type != "U32":
        return f"{name}: has scales and no packed weight"
    if not isinstance(bits, int) or not isinstance(group, int) or bits < 1:
        return f"{name}: bits {bits!r} and group size {group!r} are no numbers"
    words, groups = weight.shape[-1], scales.shape[-1]
    if words * 32 != groups * group * bits:
        real = words * 32 / (groups * group)
        return f"{name}: {real:g} bits a weight at the declared group size {group}, not {bits}"
    if name.rpartition(".")[2] in HIDDEN and isinstance(hidden, int) and groups * group != hidden:
        return f"{name}: {groups * group} columns by the declared bits and group size, not {hidden}"
    return ""
