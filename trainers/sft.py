"""`python -m trainers.sft RECIPE`: supervised fine-tuning in a process of its own.

Trains a base to answer as the rows in `<out>/data/` (train.jsonl, valid.jsonl). Writes to `<out>/train/`: `adapter/`
(the best by validation loss), `last/`, `metrics.jsonl`, `data.json` (which rows were dropped and why), `done.json`. A
killed training resumes from its last save; Ctrl-C saves first. Exit status: 0 done, 1 diverged, 4 bad input, 130
stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msgspec import structs

from gate.checkpoints import checkpoint
from gate.errors import GateError
from gate.system import jsonl, platform
from gate.system.hashing import sha256
from gate.types import Json
from trainers import recipe as recipes
from trainers.cli import exit_status
from trainers.recipe import Recipe

AGAIN = "GATE_TRAINER"
"""Set in the process that was started again with the environment that MLX needs."""


def main(arguments: list[str] | None = None) -> int:
    """Train by a recipe. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.sft", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("recipe", type=Path)
    args = parser.parse_args(arguments)
    if arguments is None and AGAIN not in os.environ:  # preloading the BLAS needs a new process
        environment = {**platform.model_environment(offline=True), AGAIN: "1"}
        os.execve(sys.executable, [*platform.PYTHON, "-m", "trainers.sft", *sys.argv[1:]], environment)
    return exit_status(lambda: run(recipes.read(args.recipe)))


def run(recipe: Recipe) -> None:
    """Train, unless the same training has been done already. Raises GateError."""
    base = folder_of(recipe.base)
    folder, data = recipe.out / "train", recipe.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    with platform.locked(folder / ".lock", waiting=lambda: _refuse(folder)):
        fingerprint = _fingerprint(recipe, base, data)
        if _done(folder, fingerprint):
            print(f"trained already: {folder / 'adapter'}")
            return
        outcome = _train(recipe, base, folder, data, fingerprint)
        jsonl.write_whole(folder / "done.json", json.dumps({"fingerprint": fingerprint, **outcome}, indent=1) + "\n")
    print(
        f"trained: {outcome['step']} steps, ended by {outcome['why']}; {folder / 'adapter'} is that of step "
        f"{outcome['best_step']}, validation loss {outcome['best']:.4f} (last {outcome['last']:.4f})"
    )


def folder_of(base: str) -> Path:
    """The folder of the model to train. Raises GateError if it is not an MLX folder."""
    model = checkpoint.identify(base)
    if model.tokenizer is None or model.adapter is not None:
        raise GateError(f"base = {base!r} is a checkpoint of kind {model.kind}; only an MLX folder can be trained")
    return model.tokenizer


def _train(recipe: Recipe, base: Path, folder: Path, data: Path, fingerprint: str) -> Json:
    import mlx.core as mx
    from mlx_lm.utils import load

    from trainers import engine
    from trainers.model import parameters, prepared
    from trainers.tokens import turns

    if mx.metal.is_available():
        mx.set_wired_limit(int(mx.device_info()["max_recommended_working_set_size"]))
    training = recipe.train
    model, tokenizer, *_ = load(str(base), tokenizer_config={"trust_remote_code": False})
    every = training.turns == "every"
    train, dropped = turns(data / "train.jsonl", tokenizer, length=training.length, every=every)
    valid, dropped_valid = turns(data / "valid.jsonl", tokenizer, length=training.length, every=every)
    counts = {
        name: {
            "turns": len(part),
            "tokens": sum(len(t.tokens) for t in part),
            "trained": sum(t.trained for t in part),
        }
        for name, part in (("train", train), ("valid", valid))
    }
    manifest = counts | {"dropped": [asdict(each) for each in dropped + dropped_valid]}
    jsonl.write_whole(folder / "data.json", json.dumps(manifest, indent=1) + "\n")
    print(
        f"{len(train)} turns to train on, {counts['train']['trained']} of {counts['train']['tokens']} tokens trained; "
        f"{len(valid)} to validate with; {len(manifest['dropped'])} dropped ({folder / 'data.json'})"
    )
    prepared(model, training)
    config = {
        "fine_tune_type": training.type,
        "model": str(base),
        "num_layers": len(model.layers) if training.layers < 0 else training.layers,
        "lora_parameters": parameters(training) if training.type != "full" else None,
    }
    with _stoppable() as stop, _bar() as bar:
        hooks = engine.Hooks(stop=stop, record=bar.record, step=bar.step)
        outcome = engine.train(model, engine.Data(train, valid, fingerprint), training, folder, config, hooks)
    return asdict(outcome)


def _fingerprint(recipe: Recipe, base: Path, data: Path) -> str:
    """A digest of everything on which the outcome depends. Raises GateError for missing rows."""
    files = [data / "train.jsonl", data / "valid.jsonl"]
    if missing := [path for path in files if not path.is_file()]:
        raise GateError(f"{missing[0]}: is missing: prepare the rows first (gate train {recipe.path})")
    inputs = [
        structs.asdict(recipe.train),
        checkpoint.digest(checkpoint.identify(str(base))),
        [sha256(path, fresh=True) for path in files],
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _done(folder: Path, fingerprint: str) -> bool:
    try:
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if done.get("fingerprint") != fingerprint:
        raise GateError(f"{folder}: another training was done here: name another `out`, or delete the folder")
    return True


def _refuse(folder: Path) -> None:
    raise GateError(f"{folder}: another training is running here")


@contextmanager
def _stoppable() -> Iterator[Any]:
    """Ctrl-C and SIGTERM end a run after its step, with everything saved; a second Ctrl-C ends it at once."""
    signals: list[int] = []

    def stop(number: int, _frame: object) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)
        print("\ngate: saving after this step …", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bar:
    """A progress bar with the remaining time and the last losses."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self.task = progress.add_task("training", total=None, loss="", valid="")

    def record(self, line: Json) -> None:
        if "valid" in line:
            self.progress.update(self.task, valid=f"valid {line['valid']:.3f} (best {line['best']:.3f})")
        else:
            self.progress.update(self.task, loss=f"loss {line['loss']:.3f}, {line['tokens_per_second']:.0f} tokens/s")
        if not self.progress.console.is_terminal:
            print(json.dumps(line), flush=True)

    def step(self, step: int, steps: int) -> None:
        self.progress.update(self.task, completed=step, total=steps)


@contextmanager
def _bar() -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}  {task.fields[valid]}"),
    )
    with Progress(TextColumn("training"), *columns, console=Console(stderr=True)) as progress:
        yield _Bar(progress)


if __name__ == "__main__":
    sys.exit(main())
