"""A recipe: one TOML file that says what to train into which base, how, and for which slot.

kind = "tool_repair"            # trainers/prepare/: how the rows are made
base = "smollm2"                # what --model takes, an MLX folder
out = "trained/demo"            # relative to the recipe
[data]                          # options of this kind of preparation
[train]                         # Training below, every key of it
[export]                        # Export below
[promote]                       # slot, and the form that is served
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from gate.errors import GateError
from gate.system import typed
from gate.types import Json

QUANTISED_CLIP, FLOAT_CLIP = 0.3, 1.0
"""Gradient norms: 0.3 keeps a 4-bit run from NaN; 1.0 is usual for a float base."""
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]


class RecipeError(GateError):
    """A recipe is wrong; the message names the key and its possible values."""


class Training(Struct, frozen=True, forbid_unknown_fields=True):
    """How the model is trained. Steps are optimizer steps."""

    type: Literal["lora", "dora", "full"] = "lora"
    rank: Count = 16
    scale: Positive = 2.0
    """Factor of the low-rank product: mlx-lm's `scale`, which is alpha/rank elsewhere."""
    dropout: Share = 0.0
    layers: Annotated[int, Meta(ge=-1)] = -1
    """Number of blocks to train, counted from the last; -1 for all."""
    modules: tuple[str, ...] = ()
    """Modules of a block, such as self_attn.q_proj; default: every linear one."""
    rate: Positive = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Share = 0.05
    """Share of the steps in which the rate rises from 0."""
    decay: Share = 0.01
    """AdamW's weight decay."""
    clip: Positive | None = None
    """Largest norm of a step's gradient; None: 0.3 on a quantised base, 1.0 on a float one."""
    batch: Count = 4
    accumulate: Count = 1
    """Batches per step."""
    epochs: Positive = 1.0
    steps: Count | None = None
    """Optimizer steps; default: by `epochs`."""
    length: Annotated[int, Meta(ge=8)] = 2048
    """Most tokens of a row; longer ones are dropped, and listed."""
    turns: Literal["every", "last"] = "every"
    """Train on `every` assistant turn, or on the `last` of each row."""
    evaluate: Count = 50
    """Steps between two evaluations on the whole validation set."""
    patience: Count = 200
    """Stop after so many steps without a better validation loss."""
    save: Count = 50
    """Steps between two saves of the state from which a run resumes."""
    seed: int = 0
    checkpoint: bool = False
    """Gradient checkpointing: less memory, a third more time."""
    resume: str = ""
    """An adapter to start from."""

    def __post_init__(self) -> None:
        if self.layers == 0:
            raise ValueError("layers: expected -1 for all, or 1 or more, found 0")


class Export(Struct, frozen=True, forbid_unknown_fields=True):
    """The forms to which the trained model is exported."""

    bits: tuple[int, ...] = ()
    """Quantised MLX folders: 8, 6, 4."""
    gguf: tuple[str, ...] = ()
    """llama-quantize's types: Q8_0, Q6_K, Q5_K_M, Q4_K_M; with a policy file of tensor types: Q4_K_M@policy.txt."""
    prompts: int = 24
    """Prompts on which the hops are compared (gate parity)."""


class Promote(Struct, frozen=True, forbid_unknown_fields=True):
    """The form that is promoted."""

    slot: str = ""
    form: str = "adapter"
    """adapter | fused | 8bit … | gguf-Q8_0 …"""
    better: tuple[str, ...] = ()
    """Tests in which every form must beat the base on held-out cases (exact McNemar, p < 0.01)."""
    kept: tuple[str, ...] = ()
    """Tests in which no form may lose a held-out case that is a hit of the base."""


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """A recipe as it is written."""

    kind: str
    """Where the rows come from: tool_repair, function_calling, distill or persona."""
    base: str
    """The model to train, as `--model` takes it: an MLX folder."""
    out: str
    """Output folder, relative to the recipe's folder."""
    data: Json = {}
    """Options of this kind of preparation."""
    train: Training = Training()
    export: Export = Export()
    promote: Promote = Promote()


class Recipe(Struct, frozen=True):
    """A recipe, checked."""

    path: Path
    kind: str
    base: str
    out: Path
    data: Json = {}
    train: Training = Training()
    export: Export = Export()
    promote: Promote = Promote()


def read(path: Path) -> Recipe:
    """Read a recipe. Raises RecipeError that names the key."""
    file = typed.read(path, File, error=RecipeError)
    return Recipe(path=path, **structs.asdict(file) | {"out": path.parent / file.out})
