"""Estimates the peak memory of a training, for `gate plan RECIPE`.

Weights and the trained parameters (value, gradient, two moments) are counted. Activations, logits and DoRA's copies are
counted in numbers, and their weights in bytes were fitted to `mx.get_peak_memory` of real runs (benchmarks/memory.py;
docs/memory.md has the table). They were measured on MLX's CPU backend: Metal's fused attention takes less, so there the
estimate is too high.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gate.errors import GateError
from gate.system import platform
from gate.types import Json
from trainers import advice
from trainers.recipe import Recipe, Training

FITTED = {
    "constant": 4.47e7,
    "hidden": 0.0,
    "inner": 26.9,
    "scores": 7.53,
    "logits": 16.5,
    "capped": 19.4,
    "dora": 1.74,
    "trained": 13.7,
}
"""Bytes for each unit of a feature, fitted by benchmarks/memory.py (docs/memory.md): the fit could not separate
`hidden` from `inner`, so `hidden` is 0; `trained` is a value, its gradient and two moments, less what is reused."""
FULL = 0.85
"""Share of a machine's memory that a training may take: MLX's own limit on Macs is about three quarters."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The memory of a training, in bytes."""

    weights: int
    trained: float
    activations: float
    logits: float
    dora: float
    constant: float

    @property
    def peak(self) -> float:
        return self.weights + self.trained + self.activations + self.logits + self.dora + self.constant


def features(training: Training, base: Path, *, rows: int, length: int) -> dict[str, float]:
    """The number of units of each feature that takes memory, for batches of `rows` rows padded to `length` tokens.

    Raises GateError for a model whose sizes are not known.
    """
    config = advice.configuration(base)
    config = config.get("text_config", config)
    try:
        layers, hidden, heads = (config[key] for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
        inner, vocabulary = int(config.get("intermediate_size") or 4 * hidden), int(config["vocab_size"])
    except (KeyError, TypeError) as error:
        raise GateError(f"{base}: config.json lacks {error}: its memory cannot be estimated") from error
    depth = layers if training.layers < 0 else min(layers, training.layers)
    places = float(rows * length)
    kept = 1.0 if training.checkpoint else float(depth)  # blocks whose activations are kept
    matrices = [shape for name, shape in advice.matrices(base).items() if advice.block(name) >= layers - depth]
    return {
        "constant": 1.0,
        "hidden": places * hidden * (kept + (depth if training.checkpoint else 0) / 8),
        "inner": places * inner * kept,
        "scores": rows * heads * float(length) ** 2 * kept,
        "logits": places * vocabulary,
        "capped": places * vocabulary if config.get("final_logit_softcapping", default_cap(config)) else 0.0,
        "dora": float(sum(a * b for a, b in matrices)) if training.type == "dora" else 0.0,
        "trained": float(advice.parameters(training, base)),
    }


def default_cap(config: Json) -> bool:
    """gemma2 caps its logits even if its configuration does not say so (mlx_lm/models/gemma2.py)."""
    return config.get("model_type") == "gemma2"


def estimate(training: Training, base: Path, *, rows: int, length: int) -> Estimate:
    """The peak memory of a training. Arguments and errors are those of `features`."""
    units = features(training, base, rows=rows, length=length)
    share = {name: FITTED[name] * value for name, value in units.items()}
    return Estimate(
        weights=weights(base),
        trained=share["trained"],
        activations=share["hidden"] + share["inner"] + share["scores"],
        logits=share["logits"] + share["capped"],
        dora=share["dora"],
        constant=share["constant"],
    )


def weights(base: Path) -> int:
    """Bytes of a folder's weights."""
    return sum(path.stat().st_size for path in base.glob("*.safetensors"))


def planned(recipe: Recipe, base: Path) -> str:
    """A text with the memory that a recipe needs, and whether this machine has it. Raises GateError."""
    from trainers.batches import width

    length = width(recipe.train.length + 1)
    needed = estimate(recipe.train, base, rows=recipe.train.batch, length=length)
    memory = platform.hardware().memory
    parts: Json = {
        "weights": needed.weights,
        "trained parameters": needed.trained,
        "activations": needed.activations,
        "logits": needed.logits,
        "DoRA's copies": needed.dora,
        "the rest": needed.constant,
    }
    lines = [f"  {name:20} {value / 1e9:7.2f} GB" for name, value in parts.items() if value]
    fits = needed.peak <= FULL * memory
    word = "fits" if fits else "DOES NOT FIT: a smaller batch or length, checkpoint = true, or fewer layers"
    head = f"{recipe.train.batch} rows of {length} tokens, the longest that the recipe allows:"
    return "\n".join([head, *lines, f"  {'peak':20} {needed.peak / 1e9:7.2f} GB of {memory / 1e9:.1f} GB: {word}"])
