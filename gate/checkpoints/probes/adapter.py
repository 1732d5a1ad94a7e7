"""Child: the tensors an adapter must hold, by mlx-lm's own layers. The base's weights are mapped, not read.

Source: mlx_lm/tuner/utils.py, `load_adapters`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model

from gate.system import sandbox
from gate.types import Json

LEAVES = ("lora_a", "lora_b", "m")


def expected(request: Json) -> dict[str, list[int]]:
    """Name and shape of every adapter tensor that {"base", "config"} asks for."""
    config = request["config"]
    model, _ = load_model(Path(request["base"]), lazy=True)
    kind = config.get("fine_tune_type", "lora")
    if kind == "full":
        return {}
    linear_to_lora_layers(model, config["num_layers"], config["lora_parameters"], use_dora=kind == "dora")
    parameters: dict[str, Any] = tree_flatten(model.parameters(), destination={})  # type: ignore[assignment]
    return {name: list(value.shape) for name, value in parameters.items() if name.rsplit(".", 1)[-1] in LEAVES}


if __name__ == "__main__":
    sandbox.answer(expected)
