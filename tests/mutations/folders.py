"""Model folders whose numbers, bits or configuration are not what they claim."""

from __future__ import annotations

import numpy as np

from gate.preflight.artifact import Artifact
from tests.mutations import mutation
from tests.mutations.good import Good, edit_json, edit_tensors

WEIGHT = "model.layers.3.mlp.up_proj.weight"


@mutation("untouched_is_unchanged")
def shift_a_norm(good: Good) -> Artifact:
    """A norm is one higher than in the base, as some converters write it."""
    folder = good.copy(good.fused)
    edit_tensors(folder / "model.safetensors", lambda t: t["model.layers.0.input_layernorm.weight"].__iadd__(1))
    return good.artifact(folder, against=good.adapter)


@mutation("untouched_is_unchanged")
def touch_an_untouched_matrix(good: Good) -> Artifact:
    """One number of a matrix that the adapter has nothing to do with."""
    folder = good.copy(good.fused)
    edit_tensors(folder / "model.safetensors", lambda t: t[WEIGHT].__setitem__((0, 0), 0.5))
    return good.artifact(folder, against=good.adapter)


@mutation("untouched_is_unchanged")
def lose_a_tensor(good: Good) -> Artifact:
    """A tensor of the base is missing in the fused folder."""
    folder = good.copy(good.fused)
    edit_tensors(folder / "model.safetensors", lambda t: t.pop(WEIGHT))
    return good.artifact(folder, against=good.adapter)


@mutation("untouched_is_unchanged")
def garble_an_eight_bit_matrix(good: Good) -> Artifact:
    """The scales of one packed matrix are doubled."""
    folder = good.copy(good.eight)
    scales = WEIGHT.replace(".weight", ".scales")
    edit_tensors(folder / "model.safetensors", lambda t: t[scales].__imul__(2))
    return good.artifact(folder, against=good.adapter)


@mutation("numbers_are_finite")
def nan_in_the_weights(good: Good) -> Artifact:
    """One of 134 million weights is NaN."""
    folder = good.copy(good.fused)
    edit_tensors(folder / "model.safetensors", lambda t: t[WEIGHT].__setitem__((5, 5), np.nan))
    return good.artifact(folder)


@mutation("numbers_are_finite")
def inf_in_the_scales(good: Good) -> Artifact:
    """One scale of an 8-bit tensor is infinite, as a cast to half precision makes it."""
    folder = good.copy(good.eight)
    scales = WEIGHT.replace(".weight", ".scales")
    edit_tensors(folder / "model.safetensors", lambda t: t[scales].__setitem__((5, 5), np.inf))
    return good.artifact(folder)


@mutation("architecture_is_the_bases")
def change_the_rope(good: Good) -> Artifact:
    """rope_theta 10,000 for 100,000."""
    folder = good.copy(good.fused)
    edit_json(folder / "config.json", lambda config: config.update(rope_theta=10_000.0))
    return good.artifact(folder)


@mutation("bits_are_the_declared_ones")
def claim_four_bits(good: Good) -> Artifact:
    """8-bit tensors, declared as 4-bit."""
    folder = good.copy(good.eight)
    edit_json(folder / "config.json", lambda config: config["quantization"].update(bits=4))
    return good.artifact(folder)


@mutation("bits_are_the_declared_ones")
def claim_fitting_nonsense(good: Good) -> Artifact:
    """4 bits in groups of 64 fit the shapes of 8 bits in groups of 32; only the hidden size tells."""
    folder = good.copy(good.eight)
    edit_json(folder / "config.json", lambda config: config["quantization"].update(bits=4, group_size=64))
    return good.artifact(folder)


@mutation("bits_are_the_declared_ones")
def forget_the_quantisation(good: Good) -> Artifact:
    """Packed tensors, and a configuration that does not say so."""
    folder = good.copy(good.eight)

    def forget(config: dict[str, object]) -> None:
        config.pop("quantization", None)
        config.pop("quantization_config", None)

    edit_json(folder / "config.json", forget)
    return good.artifact(folder)


@mutation("no_stale_quantisation")
def stale_quantisation(good: Good) -> Artifact:
    """A float folder whose configuration still says 4 bits."""
    folder = good.copy(good.fused)
    edit_json(folder / "config.json", lambda config: config.update(quantization={"bits": 4, "group_size": 64}))
    return good.artifact(folder)


@mutation("everything_can_be_read")
def rename_the_weights(good: Good) -> Artifact:
    """mlx-lm looks for model*.safetensors, and would find nothing."""
    folder = good.copy(good.fused)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    for index in folder.glob("*.index.json"):
        index.unlink()
    return good.artifact(folder)


@mutation("everything_can_be_read")
def cut_the_configuration(good: Good) -> Artifact:
    """config.json ends after its first bytes."""
    folder = good.copy(good.fused)
    text = (folder / "config.json").read_text()
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(text[:40])
    return good.artifact(folder)


@mutation("nothing_leads_out")
def lose_a_tensor_of_the_index(good: Good) -> Artifact:
    """The index names a tensor that its file does not hold; no base is needed to see that."""
    folder = good.copy(good.fused)
    for index in folder.glob("*.index.json"):
        index.unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"model.lost.weight": "model.safetensors"}}')
    return good.artifact(folder)
