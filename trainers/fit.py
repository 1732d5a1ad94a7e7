"""`gate plan RECIPE`: will it fit? The peak memory of a training, before it is run.

Weights and the trained parameters (value, gradient, two moments) are counted. Activations, logits and DoRA's copies are
counted in numbers, and their weights in bytes were fitted to `mx.get_peak_memory` of real runs (benchmarks/memory.py;
docs/memory.md has the table). They were measured on MLX's CPU backend: Metal's fused attention takes less, so there the
estimate is a cautious one.
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
"""Bytes for each of a feature, as benchmarks/memory.py has fitted them (docs/memory.md): `inner` took all that could be
told of a block's insides, so `hidden` is 0; `trained` is a value, its gradient and two moments, less what is reused."""
FULL = 0.85
"""Share of a machine's memory that a training can have: MLX's own limit on Macs is about three quarters."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training needs, in bytes."""

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
    """What takes memory, in numbers: rows of a batch and their padded length are given."""
    config = advice.configuration(base)
    config = config.get("text_config", config)
    try:
        layers, hidden, heads = (config[key] for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
        inner, vocabulary = int(config.get("intermediate_size") or 4 * hidden), int(config["vocab_size"])
    except (KeyError, TypeError) as error:
        raise GateError(f"{base}: config.json lacks {error}: its memory cannot be estimated") from error
    depth = layers if training.layers < 0 else min(layers, training.layers)
    places = float(rows * length)
    kept = 1.0 if training.checkpoint else float(depth)  # whole blocks whose insides are kept
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
    """gemma2 caps its logits also where its configuration does not say so (mlx_lm/models/gemma2.py)."""
    return config.get("model_type") == "gemma2"


def estimate(training: Training, base: Path, *, rows: int, length: int) -> Estimate:
    """The peak of a training. Raises GateError for a model whose sizes are not known."""
    found = features(training, base, rows=rows, length=length)
    share = {name: FITTED[name] * value for name, value in found.items()}
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
    """What a recipe needs, and whether this machine has it."""
    from trainers.batches import width

    length = width(recipe.train.length + 1)
    found = estimate(recipe.train, base, rows=recipe.train.batch, length=length)
    have = platform.hardware().memory
    parts: Json = {
        "weights": found.weights,
        "trained parameters": found.trained,
        "activations": found.activations,
        "logits": found.logits,
        "DoRA's copies": found.dora,
        "the rest": found.constant,
    }
    lines = [f"  {name:20} {value / 1e9:7.2f} GB" for name, value in parts.items() if value]
    fits = found.peak <= FULL * have
    word = "fits" if fits else "DOES NOT FIT: a smaller batch or length, checkpoint = true, or fewer layers"
    head = f"{recipe.train.batch} rows of {length} tokens, the longest that the recipe allows:"
    return "\n".join([head, *lines, f"  {'peak':20} {found.peak / 1e9:7.2f} GB of {have / 1e9:.1f} GB: {word}"])
