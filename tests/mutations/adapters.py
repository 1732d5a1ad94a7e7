"""Adapters that are dead, partial, misdescribed or on another base, and fuses that lost them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gate.preflight.artifact import Artifact
from tests.mutations import mutation
from tests.mutations.good import Good, edit_json, edit_tensors, fuse, quantise

QUERY = "model.layers.7.self_attn.q_proj"


def adapter(good: Good) -> Path:
    return good.copy(good.adapter)


def parameters(folder: Path, **changed: object) -> None:
    edit_json(folder / "adapter_config.json", lambda config: config["lora_parameters"].update(changed))


@mutation("adapter_is_alive")
def zero_one_lora_b(good: Good) -> Artifact:
    """One of 60 lora_b is zero."""
    folder = adapter(good)
    edit_tensors(folder / "adapters.safetensors", lambda t: t[f"{QUERY}.lora_b"].fill(0))
    return good.artifact(folder)


@mutation("adapter_is_alive")
def nan_in_an_adapter(good: Good) -> Artifact:
    """One number of one lora_a is NaN."""
    folder = adapter(good)
    edit_tensors(folder / "adapters.safetensors", lambda t: t[f"{QUERY}.lora_a"].__setitem__((3, 1), np.nan))
    return good.artifact(folder)


@mutation("adapter_is_whole")
def drop_an_adapter_tensor(good: Good) -> Artifact:
    """One lora_a is missing; mlx-lm loads what is left and says nothing."""
    folder = adapter(good)
    edit_tensors(folder / "adapters.safetensors", lambda t: t.pop(f"{QUERY}.lora_a"))
    return good.artifact(folder)


@mutation("adapter_is_whole")
def drop_the_upper_half(good: Good) -> Artifact:
    """The tensors of 15 of 30 blocks are missing."""
    folder = adapter(good)

    def upper(tensors: dict[str, object]) -> None:
        for name in [name for name in tensors if int(name.split(".")[2]) >= 15]:
            del tensors[name]

    edit_tensors(folder / "adapters.safetensors", upper)
    return good.artifact(folder)


@mutation("adapter_is_whole")
def claim_another_rank(good: Good) -> Artifact:
    """The configuration says rank 8, the tensors have 4."""
    folder = adapter(good)
    parameters(folder, rank=8)
    return good.artifact(folder)


@mutation("adapter_is_whole")
def claim_fewer_layers(good: Good) -> Artifact:
    """The configuration says the last 8 blocks, the tensors cover 30."""
    folder = adapter(good)
    edit_json(folder / "adapter_config.json", lambda config: config.update(num_layers=8))
    return good.artifact(folder)


@mutation("adapter_is_whole")
def transpose_the_factors(good: Good) -> Artifact:
    """Factors as PEFT stores them, transposed."""
    folder = adapter(good)
    edit_tensors(
        folder / "adapters.safetensors",
        lambda t: t.update({name: np.ascontiguousarray(value.T) for name, value in t.items()}),
    )
    return good.artifact(folder)


@mutation("scale_is_set")
def zero_the_scale(good: Good) -> Artifact:
    """scale 0: the adapter loads and does nothing."""
    folder = adapter(good)
    parameters(folder, scale=0)
    return good.artifact(folder)


@mutation("scale_is_set")
def alpha_for_scale(good: Good) -> Artifact:
    """alpha in place of scale, as other libraries write it."""
    folder = adapter(good)

    def rename(config: dict[str, dict[str, object]]) -> None:
        config["lora_parameters"]["alpha"] = config["lora_parameters"].pop("scale")

    edit_json(folder / "adapter_config.json", rename)
    return good.artifact(folder)


@mutation("base_is_the_trained_one")
def another_base(good: Good) -> Artifact:
    """The base that is given has one norm changed since the training."""
    base = good.copy(good.base)
    edit_tensors(base / "model.safetensors", lambda t: t["model.norm.weight"].__iadd__(0.001))
    return good.artifact(good.adapter, base=base)


@mutation("the_delta_survived")
def change_the_scale(good: Good) -> Artifact:
    """The adapter says scale 20, the fuse was made with 2."""
    folder = adapter(good)
    parameters(folder, scale=20.0)
    return good.artifact(good.fused, against=folder)


@mutation("the_delta_survived")
def fuse_at_four_bits(good: Good) -> Artifact:
    """The adapter fused into a 4-bit base: the rounding swallows it."""
    four = quantise(good.base, good.place / "four", bits=4)
    return good.artifact(fuse(four, good.adapter, good.place / "erased"), base=four, against=good.adapter)


@mutation("the_delta_survived")
def the_base_for_the_fused(good: Good) -> Artifact:
    """The base itself, said to be the fused model."""
    return good.artifact(good.base, against=good.adapter)


@mutation("the_delta_survived")
def fuse_twice(good: Good) -> Artifact:
    """The adapter fused into a model that holds it already."""
    return good.artifact(fuse(good.fused, good.adapter, good.place / "twice"), against=good.adapter)


@mutation("adapter_is_whole")
def name_modules_that_are_not(good: Good) -> Artifact:
    """The keys name no module of the base: nothing of the adapter would be applied."""
    folder = adapter(good)
    parameters(folder, keys=["self_attn.nope"])
    return good.artifact(folder)


@mutation("adapter_is_whole")
def claim_a_full_fine_tune(good: Good) -> Artifact:
    """LoRA factors, said to be a full fine-tune."""
    folder = adapter(good)
    edit_json(folder / "adapter_config.json", lambda config: config.update(fine_tune_type="full"))
    return good.artifact(folder)
