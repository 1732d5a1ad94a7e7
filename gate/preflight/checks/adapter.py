"""P01 to P03: an adapter is alive, covers what its configuration claims, and sits on the base it was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gate.checkpoints import untrusted
from gate.checkpoints.probe_cache import probed
from gate.preflight.artifact import Artifact, Broken, NotPossible, once, read_json, scanned, weights
from gate.preflight.checks import safety
from gate.preflight.rule import rule
from gate.system import sandbox

SECONDS, MEMORY = 120.0, 6 * 2**30
SHAPE = (
    *("model_type", "hidden_size", "intermediate_size", "vocab_size", "head_dim", "max_position_embeddings"),
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "tie_word_embeddings"),
    *("rope_theta", "rope_scaling", "rms_norm_eps"),
)
"""Keys of config.json that a fine-tune does not change."""
GGUF_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}
"""The same in a GGUF, after the architecture's name (ggml, docs/gguf.md)."""


@rule(
    "P01", "fail", kinds="adapter", remedy="train again from before the loss became NaN; nothing was learnt otherwise"
)
def adapter_is_alive(artifact: Artifact) -> Sequence[str]:
    """Every tensor of the adapter is finite and none is all zeros; a lora_b of zeros has learnt nothing."""
    bad = [f"{name}: {facts.bad} numbers are NaN or Inf" for name, facts in artifact.facts.items() if facts.bad]
    return bad + [f"{name}: nothing but zeros" for name, facts in artifact.facts.items() if facts.zero]


@rule("P02", "fail", kinds="adapter", remedy="save the adapter again with the configuration it was trained with")
def adapter_is_whole(artifact: Artifact) -> Sequence[str]:
    """The adapter holds exactly the tensors, in the shapes, that its num_layers, keys and rank ask for on this base."""
    given = {name: list(tensor.shape) for name, tensor in artifact.tensors.items()}
    try:
        wanted = _wanted(artifact)
    except Broken as fault:
        return [str(fault)]
    missing = [f"{name} is missing" for name in wanted if name not in given]
    extra = [f"{name} is not asked for" for name in given if name not in wanted]
    shared = [name for name in wanted if name in given]
    return (
        missing
        + extra
        + [f"{name} is {given[name]}, not {wanted[name]}" for name in shared if given[name] != wanted[name]]
    )


@rule(
    "P02",
    "fail",
    kinds="adapter",
    remedy="write the scale it was trained with (mlx-lm has no alpha: scale = alpha / rank)",
)
def scale_is_set(artifact: Artifact) -> Sequence[str]:
    """The configuration gives a rank, and a scale that is a number above zero."""
    if artifact.adapter_config.get("fine_tune_type") == "full":
        return []
    given = artifact.adapter_config.get("lora_parameters")
    if not isinstance(given, dict):
        return ["lora_parameters are missing: mlx-lm cannot know rank and scale"]
    scale, rank = given.get("scale"), given.get("rank")
    hint = " (alpha is given, which mlx-lm does not read)" if "alpha" in given and scale is None else ""
    wrong = [] if _positive(scale) else [f"scale is {scale!r}{hint}"]
    return wrong + ([] if isinstance(rank, int) and rank > 0 else [f"rank is {rank!r}"])


@rule("P03", "fail", kinds="adapter", remedy="give the base it was trained on with --base, or train again on this one")
def base_is_the_trained_one(artifact: Artifact) -> Sequence[str]:
    """The base under the adapter is the folder it was trained on, or has the same bytes."""
    named = artifact.adapter_config.get("model")
    used, recorded = artifact.base, untrusted.folder_named(str(named))
    if used is None or (recorded is not None and recorded.resolve() == used.resolve()):
        return []
    if f"models--{str(named).replace('/', '--')}" in used.parts:
        return []
    if recorded is None:
        raise NotPossible(f"it was trained on {named}, which is not here to compare with")
    one, other = (
        {name: facts.sha256 for name, facts in scanned(weights(folder, "model*.safetensors")).items()}
        for folder in (recorded, used)
    )
    differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return [f"{len(differing)} tensors differ from {named}, the first {differing[0]}"] if differing else []


@rule("P03", "fail", kinds="mlx gguf", remedy="convert again from the base's config.json, or give the right --base")
def architecture_is_the_bases(artifact: Artifact) -> Sequence[str]:
    """Sizes, heads, rope and norm constants in the configuration are the base's."""
    base = read_json(artifact.base_folder / "config.json")
    own = _gguf_config(artifact) if artifact.is_gguf else artifact.config
    shared = [key for key in SHAPE if key in base and (key in own or not artifact.is_gguf)]
    return [
        f"{key} is {own.get(key)!r}, in the base {base[key]!r}" for key in shared if not _same(own.get(key), base[key])
    ]


def _gguf_config(artifact: Artifact) -> dict[str, object]:
    metadata = artifact.gguf.metadata
    architecture = metadata.get("general.architecture")
    told = {key: metadata.get(f"{architecture}.{name}") for key, name in GGUF_KEYS.items()}
    return {key: value for key, value in told.items() if value is not None}


@once
def _wanted(artifact: Artifact) -> dict[str, list[int]]:
    """What mlx-lm itself would ask of the adapter. Raises NotPossible."""
    if artifact.adapter_config.get("fine_tune_type") == "full":
        return {name: list(t.shape) for name, t in artifact.base_tensors.items() if name in artifact.tensors}
    safety.require(artifact, "the base")
    request = {"base": str(artifact.base), "config": artifact.adapter_config}
    try:
        return probed("adapter", request, artifact.base, seconds=SECONDS, memory=MEMORY)
    except sandbox.LimitError as error:
        raise Broken(f"mlx-lm cannot lay this adapter over its base: {error}") from error


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _same(one: object, other: object) -> bool:
    """Equal, or equal to the precision of the float32 that a GGUF keeps."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other
