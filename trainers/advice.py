"""Advice on a recipe before a run: refuse, warn or fine, each with its reason and source.

The bands of learning rates and the ranks come from one persona project and from the papers named. They are a starting
point, for LoRA on models of 0.1 to 8 billion weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gate.checkpoints import tensors
from gate.errors import GateError
from gate.types import Json
from trainers.recipe import Recipe, Training

BANDS = {16: (1e-4, 3e-4), 8: (5e-5, 1e-4), 4: (2e-5, 8e-5)}
"""Learning rates for LoRA by the bits of the base: 2e-4 on 4 bits ended in NaN at iteration 40."""
FULL_BAND = (5e-6, 5e-5)
"""For training all weights (Ouyang et al., arXiv 2203.02155, use 9.65e-6 on 1.3B)."""
REFUSED = 2.5
"""Multiple of the top of its band from which a rate is refused: 2e-4 on 4 bits."""
PER_TOKEN = 100
"""Trained parameters per trained token from which memorisation is likely: of ranks 8 to 64 on 146,000 tokens, 32 (62
per token) was the best, and 64 (123 per token) memorised them."""
EPOCHS = 8
MEASURED = "measured in a persona project"


@dataclass(frozen=True, slots=True)
class Advice:
    """The advice on one aspect of a recipe."""

    what: str
    level: str
    """fine | warn | refuse"""
    why: str
    source: str


def advise(recipe: Recipe, base: Path) -> list[Advice]:
    """The advice on a recipe, on its rows only once they are prepared. Raises GateError for an unreadable base."""
    config = configuration(base)
    bits = int((config.get("quantization") or {}).get("bits", 16))
    rows, tokens = _rows(recipe.out / "data" / "train.jsonl")
    training = recipe.train
    on_rows = [_capacity(training, base, tokens), _epochs(training, rows)] if rows else []
    return [_rate(training, bits), _type(training, bits, config), *on_rows, _batch(training, bits)]


def table(advices: list[Advice]) -> str:
    """The advice as a table."""
    return tabulate(
        [[each.what, each.level, each.why] for each in advices], ["advice", "", "why"], maxcolwidths=[20, 8, 80]
    )


def configuration(base: Path) -> Json:
    """A model's config.json. Raises GateError."""
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GateError(f"{base}: config.json cannot be read: {error}") from error
    return dict(config)


def parameters(training: Training, base: Path) -> int:
    """How many parameters are trained."""
    shapes = matrices(base)
    blocks = sorted({block(name) for name in shapes})
    last = set(blocks if training.layers < 0 else blocks[-training.layers :])
    chosen = [
        shape
        for name, shape in shapes.items()
        if block(name) in last and (not training.modules or name.endswith(training.modules))
    ]
    if training.type == "full":
        return sum(rows * columns for rows, columns in chosen)
    extra = sum(rows for rows, _ in chosen) if training.type == "dora" else 0
    return training.rank * sum(rows + columns for rows, columns in chosen) + extra


def _rate(training: Training, bits: int) -> Advice:
    band = FULL_BAND if training.type == "full" else BANDS[16 if bits > 8 else 8 if bits > 4 else 4]
    kind = "float" if bits == 16 else f"{bits} bits"
    where = f"{training.rate:g} on a base of {kind}; usual are {band[0]:g} to {band[1]:g}"
    source = MEASURED if training.type != "full" else "arXiv 2203.02155"
    if training.rate >= REFUSED * band[1] * (1 - 1e-9):
        return Advice("learning rate", "refuse", f"{where}: such rates end in NaN or do not converge", source)
    level = "fine" if band[0] <= training.rate <= band[1] else "warn"
    return Advice("learning rate", level, where, source)


def _type(training: Training, bits: int, config: Json) -> Advice:
    experts = any("expert" in key for key in config)
    if training.type == "dora" and experts:
        return Advice("type", "refuse", "mlx-lm has no DoRA for experts", "mlx_lm/tuner/utils.py")
    if training.type == "dora" and bits in (3, 5, 6):
        return Advice("type", "refuse", f"mlx-lm's DoRA cannot unpack {bits} bits", "mlx_lm/tuner/dora.py")
    if training.type == "full" and bits < 16:
        return Advice("type", "refuse", f"weights of {bits} bits cannot be trained: use lora", "mlx, QuantizedLinear")
    if training.type == "dora" and training.rank > 16:
        why = f"DoRA of rank {training.rank} takes much memory; rank 8 is as good as LoRA of rank 32"
        return Advice("type", "warn", why, f"{MEASURED}; arXiv 2402.09353")
    return Advice("type", "fine", training.type, "")


def _capacity(training: Training, base: Path, tokens: int) -> Advice:
    count = parameters(training, base)
    ratio = count / max(1, tokens)
    why = f"{count:,} parameters for some {tokens:,} trained tokens: {ratio:.0f} per token"
    if ratio > PER_TOKEN:
        why += ": it can memorise them; lower the rank, name fewer modules, watch the validation loss"
    return Advice("rank, modules", "warn" if ratio > PER_TOKEN else "fine", why, MEASURED)


def _epochs(training: Training, rows: int) -> Advice:
    seen = training.steps * training.batch * training.accumulate / max(1, rows) if training.steps else training.epochs
    why = f"each row is seen {seen:.1f} times" + (
        "; the best validation loss often comes much earlier" if seen > EPOCHS else ""
    )
    return Advice("epochs", "warn" if seen > EPOCHS else "fine", why, MEASURED)


def _batch(training: Training, bits: int) -> Advice:
    size = training.batch * training.accumulate
    low = size < 4 and bits < 16
    why = f"{size} rows a step" + ("; on a quantised base the gradient is noisy: accumulate more" if low else "")
    return Advice("accumulation", "warn" if low else "fine", why, MEASURED)


def _rows(path: Path) -> tuple[int, int]:
    """The number of rows, and of their answers' tokens, estimated as four characters each."""
    if not path.is_file():
        return 0, 0
    values = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = [each for value in values for each in value.get("messages", []) if each.get("role") == "assistant"]
    return len(values), sum(len(json.dumps(each.get("tool_calls") or each.get("content"))) for each in answers) // 4


def matrices(base: Path) -> dict[str, tuple[int, int]]:
    """Each linear module of a block, with its rows and columns, those of packed weights unpacked."""
    found: dict[str, Any] = {}
    for path in sorted(base.glob("*.safetensors")):
        found |= tensors.safetensors(path)
    bits = int((configuration(base).get("quantization") or {}).get("bits", 0))
    shapes = {}
    for name, tensor in found.items():
        module = name.removesuffix(".weight")
        if not name.endswith(".weight") or len(tensor.shape) != 2 or block(module) < 0:
            continue
        packed = f"{module}.scales" in found
        shapes[module] = (tensor.shape[0], tensor.shape[1] * 32 // bits if packed and bits else tensor.shape[1])
    return shapes


def block(name: str) -> int:
    """model.layers.7.mlp.up_proj -> 7; -1 outside of blocks."""
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)
