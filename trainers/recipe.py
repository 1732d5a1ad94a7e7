"""A recipe: one TOML file that says what is taught to which base, how, and into which slot.

kind = "tool_repair"            # trainers/prepare/: where the rows come from
base = "smollm2"                # what --model takes, an MLX folder
out = "trained/demo"            # relative to the recipe
[data]                          # what this kind of preparation takes
[train]                         # Training below, every key of it
[export]                        # Export below
[promote]                       # slot and the form that will be served
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from gate.errors import GateError
from gate.types import Json

TYPES = ("lora", "dora", "full")
SCHEDULES = ("cosine", "constant")
TURNS = ("every", "last")
QUANTISED_CLIP, FLOAT_CLIP = 0.3, 1.0
"""Gradient norms: 0.3 kept a 4-bit run from NaN (mission P3); 1.0 is the usual one of a float base."""


class RecipeError(GateError):
    """A recipe is wrong: names the key and what it may be."""


@dataclass(frozen=True, slots=True)
class Training:
    """How it is taught. Steps are optimizer steps."""

    type: str = "lora"
    rank: int = 16
    scale: float = 2.0
    """What the low-rank product is multiplied by: mlx-lm's `scale`, which is alpha/rank elsewhere."""
    dropout: float = 0.0
    layers: int = -1
    """The last so many blocks; -1 for all."""
    modules: tuple[str, ...] = ()
    """Modules of a block, such as self_attn.q_proj; none named: every linear one."""
    rate: float = 1e-4
    schedule: str = "cosine"
    warmup: float = 0.05
    """Share of the steps in which the rate rises from 0."""
    decay: float = 0.01
    """AdamW's weight decay."""
    clip: float | None = None
    """Largest norm of a step's gradient; None: 0.3 on a quantised base, 1.0 on a float one."""
    batch: int = 4
    accumulate: int = 1
    """Batches of a step."""
    epochs: float = 1.0
    steps: int | None = None
    """Optimizer steps; None: as many as the epochs take."""
    length: int = 2048
    """Most tokens of a row; longer ones are dropped, and listed."""
    turns: str = "every"
    """Train on `every` assistant turn, or on the `last` of each row."""
    evaluate: int = 50
    """Steps between two looks at the whole validation set."""
    patience: int = 200
    """Stop after so many steps without a better validation loss."""
    save: int = 50
    """Steps between two saves of everything that a resumed run needs."""
    seed: int = 0
    checkpoint: bool = False
    """Gradient checkpointing: less memory, a third more time."""
    resume: str = ""
    """An adapter to begin with."""


@dataclass(frozen=True, slots=True)
class Export:
    """Which forms the trained model is brought into."""

    bits: tuple[int, ...] = ()
    """Quantised MLX folders: 8, 6, 4."""
    gguf: tuple[str, ...] = ()
    """llama-quantize's types: Q8_0, Q6_K, Q5_K_M, Q4_K_M; with a policy file of tensor types: Q4_K_M@policy.txt."""
    prompts: int = 24
    """Prompts that each hop is compared on (gate parity)."""


@dataclass(frozen=True, slots=True)
class Promote:
    """The one form that will be served."""

    slot: str = ""
    form: str = "adapter"
    """adapter | fused | 8bit … | gguf-Q8_0 …"""
    better: tuple[str, ...] = ()
    """Tests in which every form must beat the base on held-out cases (exact McNemar, p < 0.01)."""
    kept: tuple[str, ...] = ()
    """Tests in which no form may lose a held-out case that the base has right."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe, checked."""

    path: Path
    kind: str
    base: str
    out: Path
    data: Json = field(default_factory=dict)
    train: Training = field(default_factory=Training)
    export: Export = field(default_factory=Export)
    promote: Promote = field(default_factory=Promote)


def read(path: Path) -> Recipe:
    """Read a recipe. Raises RecipeError that names the key."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    known = {"kind": str, "base": str, "out": str, "data": dict, "train": dict, "export": dict, "promote": dict}
    for key, value in given.items():
        if key not in known or not isinstance(value, known[key]):
            raise RecipeError(f"{path}: {key}: known are {', '.join(known)}; the first three are texts")
    if lacking := [key for key in ("kind", "base", "out") if key not in given]:
        raise RecipeError(f"{path}: {lacking[0]} is missing")
    recipe = Recipe(
        path=path,
        kind=given["kind"],
        base=given["base"],
        out=path.parent / given["out"],
        data=given.get("data", {}),
        train=_filled(Training, given.get("train", {}), f"{path}: [train]"),
        export=_filled(Export, given.get("export", {}), f"{path}: [export]"),
        promote=_filled(Promote, given.get("promote", {}), f"{path}: [promote]"),
    )
    if fault := faults(recipe.train):
        raise RecipeError(f"{path}: [train] {fault[0]}")
    return recipe


def faults(training: Training) -> list[str]:
    """What no run can be made with."""
    found = [
        f"{name} must be one of {', '.join(allowed)}, not {getattr(training, name)!r}"
        for name, allowed in (("type", TYPES), ("schedule", SCHEDULES), ("turns", TURNS))
        if getattr(training, name) not in allowed
    ]
    least = {"rank": 1, "batch": 1, "accumulate": 1, "length": 8, "evaluate": 1, "patience": 1, "save": 1, "layers": -1}
    found += [f"{name} must be {low} or more" for name, low in least.items() if getattr(training, name) < low]
    positive = [training.rate, training.scale, training.epochs, training.clip or 1.0, training.steps or 1]
    if not all(0 < number < math.inf for number in positive):
        found.append("rate, scale, epochs, steps and clip must be above 0")
    if not (0 <= training.dropout < 1 and 0 <= training.warmup < 1 and 0 <= training.decay < 1):
        found.append("dropout, warmup and decay must be at least 0 and below 1")
    if training.layers == 0:
        found.append("layers must be -1 for all, or 1 or more")
    return found


def _filled(kind: Any, given: Json, where: str) -> Any:
    """A dataclass from a table: no unknown key, every value of its kind."""
    known = {each.name: each for each in fields(kind)}
    for key, value in given.items():
        if key not in known:
            raise RecipeError(f"{where} {key}: known are {', '.join(known)}")
        wanted = known[key].default
        if wanted is MISSING or not _fits(value, wanted, optional=key in ("clip", "steps")):
            raise RecipeError(f"{where} {key} = {value!r}: expected something like {wanted!r}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})


def _fits(value: Any, like: Any, *, optional: bool) -> bool:
    if isinstance(value, bool) or isinstance(like, bool):
        return isinstance(value, bool) and isinstance(like, bool)
    if optional or isinstance(like, float):
        return isinstance(value, (int, float))
    if isinstance(like, tuple):
        return isinstance(value, list) and all(isinstance(each, (str, int)) for each in value)
    return isinstance(value, type(like))
