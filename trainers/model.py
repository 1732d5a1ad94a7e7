"""Prepares a loaded model for training: freezes it, adds the trained layers, loads an adapter to resume from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers

from gate.errors import GateError
from gate.types import Json
from trainers import state
from trainers.loss import has_separable_head
from trainers.recipe import Training


def prepared(model: Any, training: Training) -> None:
    """Freeze a loaded model, and add and unfreeze what is trained. Raises GateError for missing layers or modules."""
    if training.layers > len(model.layers):
        raise GateError(f"layers = {training.layers}, and the model has {len(model.layers)}")
    model.freeze()
    count = len(model.layers) if training.layers < 0 else training.layers
    mx.random.seed(training.seed)
    if training.type == "full":
        for layer in model.layers[-count:]:
            layer.unfreeze()
    else:
        linear_to_lora_layers(model, count, parameters(training), use_dora=training.type == "dora")
    if not state.flat(model.trainable_parameters()):
        raise GateError(f"nothing would be trained: no block has a module named {', '.join(training.modules)}")
    if training.resume:
        _resume(model, Path(training.resume))
    has_separable_head(model)
    if training.checkpoint:
        grad_checkpoint(model.layers[0])


def parameters(training: Training) -> Json:
    """LoRA's settings in the form of adapter_config.json."""
    named = {"keys": list(training.modules)} if training.modules else {}
    return {"rank": training.rank, "scale": training.scale, "dropout": training.dropout, **named}


def quantised(model: Any) -> bool:
    """Does the base have packed weights?"""
    return any(name.endswith(".scales") for name, _ in state.flat(model.parameters()))


def _resume(model: Any, adapter: Path) -> None:
    """Load an adapter's weights, which must be exactly those that are trained. Raises GateError."""
    path = adapter / "adapters.safetensors" if adapter.is_dir() else adapter
    try:
        weights: Any = mx.load(str(path))
    except (RuntimeError, ValueError) as error:
        raise GateError(f"resume = {str(adapter)!r}: cannot be read: {error}") from error
    trained = {name: value.shape for name, value in state.flat(model.trainable_parameters())}
    if {name: value.shape for name, value in weights.items()} != trained:
        raise GateError(
            f"resume = {str(adapter)!r}: holds other tensors than this recipe trains (rank, modules, layers)"
        )
    model.load_weights(list(weights.items()), strict=False)
