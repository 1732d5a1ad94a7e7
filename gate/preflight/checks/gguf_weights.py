"""P15 for GGUF files: every tensor of the model it was converted from is there, in its shape, with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

from gate.checkpoints.tensors import Tensor
from gate.preflight.artifact import Artifact, NotPossible, once
from gate.preflight.rule import rule
from gate.preflight.tensor_values import Floats, correlation, distance, rows, sample

BITS = {
    "F32": 24,
    "F16": 11,
    "BF16": 8,
    "Q8_0": 8,
    "Q6_K": 6,
    "Q5_0": 5,
    "Q5_1": 5,
    "Q5_K": 5,
    "Q4_0": 4,
    "Q4_1": 4,
    "Q4_K": 4,
}
ROUNDING = {24: 1e-6, 11: 1e-3, 8: 0.02, 6: 0.06, 5: 0.11, 4: 0.22}
"""Largest relative error that a type's bits explain; for types not named here, 0.5."""
ALIKE = 0.8
"""Cosine above which a matrix is the base's with a fine-tune in it, and not another or a permuted one."""
EXPERTS = 2
"""Matrices of a stack of them that are compared: one can be hundreds of megabytes."""
PERMUTED = ("llama",)
"""Architectures whose query and key rows llama.cpp's converter interleaves (convert_hf_to_gguf.py, `permute`)."""
SHIFTED = ("gemma", "gemma2", "gemma3", "gemma3n", "qwen3next", "qwen35", "qwen35moe")
"""Architectures whose norms a GGUF keeps one higher than the original (convert_hf_to_gguf.py)."""


@rule("P15", "fail", kinds="gguf", remedy="convert again with llama.cpp's convert_hf_to_gguf.py from the fused folder")
def no_tensor_is_lost(artifact: Artifact) -> Sequence[str]:
    """Every tensor of the base model that llama.cpp has a name for is in the GGUF, with as many numbers."""
    own, pairs = artifact.gguf.tensors, _pairs(artifact)
    lost = [f"{target} is missing ({source})" for source, target in pairs.items() if target not in own]
    shared = {source: target for source, target in pairs.items() if target in own}
    return lost + [
        f"{target} is {list(own[target].shape)}, in the base {list(artifact.base_tensors[source].shape)}"
        for source, target in shared.items()
        if np.prod(own[target].shape) != np.prod(artifact.base_tensors[source].shape)
    ]


@rule(
    "P15",
    "fail",
    kinds="gguf",
    remedy="convert again; for weights saved by MLX, merge the change into the original weights first",
)
def numbers_are_the_bases(artifact: Artifact) -> Sequence[str]:
    """Norms and embeddings equal the base's but for rounding, and every matrix is recognisably the base's."""
    own, base, pairs = artifact.gguf.tensors, artifact.base_tensors, _pairs(artifact)
    shared = [(source, target) for source, target in pairs.items() if target in own]
    faults = [_fault(artifact, base[source], own[target]) for source, target in shared]
    return [fault for fault in faults if fault]


@once
def _pairs(artifact: Artifact) -> dict[str, str]:
    """The base's name of each tensor -> the GGUF's. Raises NotPossible."""
    metadata = artifact.gguf.metadata
    name = metadata.get("general.architecture")
    known = {text: architecture for architecture, text in MODEL_ARCH_NAMES.items()}
    if name not in known:
        raise NotPossible(f"the gguf package knows no architecture {name!r}")
    blocks = metadata.get(f"{name}.block_count")
    mapping = get_tensor_name_map(MODEL_ARCH(known[name]), blocks if isinstance(blocks, int) and blocks < 10_000 else 0)
    if any(source.endswith(".scales") for source in artifact.base_tensors):
        raise NotPossible("the base is packed by MLX: give the float folder with --base")
    targets = {source: mapping.get_name(source, try_suffixes=(".weight", ".bias")) for source in artifact.base_tensors}
    return {source: target for source, target in targets.items() if target}


def _fault(artifact: Artifact, old: Tensor, new: Tensor) -> str:
    """How a tensor of the GGUF differs from the base's; empty when nothing but rounding and training explains it."""
    if np.prod(old.shape) != np.prod(new.shape) or (len(old.shape) > 2 and old.shape != new.shape):
        return ""  # another number of numbers: no_tensor_is_lost tells it; other axes: some converters fold them
    if len(old.shape) == 1:
        return _vector_fault(artifact, rows(new, [0])[0], rows(old, [0])[0], new)
    numbers = sample(old.shape[0], EXPERTS) if len(old.shape) > 2 else sample(old.shape[0])
    given, wanted = rows(new, numbers), rows(old, _source_rows(artifact, new, numbers, old.shape[0]))
    if given.shape != wanted.shape:
        return f"{new.name} is {list(new.shape)}, in the base {list(old.shape)}"
    if "embd" in new.name and (far := distance(given, wanted)) > _rounding(new):
        return f"{new.name}: differs from the base by {far:.3f}, where {new.type} explains {_rounding(new):g}"
    if (alike := correlation(given, wanted)) >= ALIKE:
        return ""
    straight = correlation(given, rows(old, numbers))
    hint = "; its rows were not permuted" if straight >= ALIKE else ""
    return f"{new.name}: cosine {alike:.2f} to the base's{hint}"


def _vector_fault(artifact: Artifact, given: Floats, wanted: Floats, new: Tensor) -> str:
    shifted = str(artifact.gguf.metadata.get("general.architecture")) in SHIFTED and "norm" in new.name
    far = min(distance(given, wanted), distance(given, wanted + 1)) if shifted else distance(given, wanted)
    if far <= _rounding(new) * 10:
        return ""
    shift = float(np.median(given - wanted))
    return f"{new.name}: differs from the base by {far:.3f}" + (
        f", by {shift:+.2f} on the whole" if abs(shift) > 0.1 else ""
    )


def _source_rows(artifact: Artifact, new: Tensor, numbers: list[int], count: int) -> list[int]:
    """Which rows of the base stand in these rows of the GGUF: within each head, halves are interleaved for rope."""
    metadata = artifact.gguf.metadata
    name = str(metadata.get("general.architecture"))
    part = new.name.split(".")[2:3]
    if name not in PERMUTED or part not in (["attn_q"], ["attn_k"]):
        return numbers
    heads = metadata.get(f"{name}.attention.head_count" + ("_kv" if part == ["attn_k"] else ""))
    if not isinstance(heads, int) or heads < 1 or count % (2 * heads):
        return numbers
    order = np.arange(count).reshape(heads, 2, count // heads // 2).swapaxes(1, 2).reshape(-1)
    return [int(order[number]) for number in numbers]


def _rounding(tensor: Tensor) -> float:
    return ROUNDING.get(BITS.get(tensor.type, 0), 0.5)
