"""`python -m trainers.queue QUEUE`: runs experiments in order of priority, each with a stop rule, and prints a table.

    [[experiment]]
    recipe = "persona.toml"
    priority = 1
    by_step = 100              # stop unless the validation loss has fallen by then …
    fall = 0.05                # … by this share of the first
    [[experiment]]
    recipe = "persona_dora.toml"
    priority = 2
    worse_than = "persona"     # stop when its validation loss is above that one's best, from by_step on

A queue only trains; export, grade and promote the best ones with `gate train RECIPE`. If an experiment runs out of
memory, diverges or is stopped by its rule, the next one starts. Each runs in a process of its own; a finished one is
not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from tabulate import tabulate

from gate.errors import GateError
from gate.system import jsonl, platform, typed
from gate.types import Json
from trainers import recipe as recipes
from trainers.cli import exit_status
from trainers.curves import read

LOOK = 2.0
"""Seconds between two checks of a running experiment."""


class Experiment(Struct, frozen=True, forbid_unknown_fields=True):
    """One training of the queue."""

    recipe: str
    """The recipe's file, relative to the queue's folder."""
    priority: int = 100
    """The lowest number is run first."""
    by_step: Annotated[int, Meta(ge=0)] = 0
    """The rules below hold from this step on."""
    fall: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Stop unless the validation loss has fallen by this share of the first."""
    worse_than: str = ""
    """Stop when the validation loss is above the best of the experiment of this name."""

    @property
    def name(self) -> str:
        """The recipe's name without its suffix."""
        return Path(self.recipe).stem


class Queue(Struct, frozen=True, forbid_unknown_fields=True):
    """A queue as it is written."""

    experiment: tuple[Experiment, ...]


def main(arguments: list[str] | None = None) -> int:
    """Run a queue; 0 when every experiment has ended, 4 for bad input, 130 if stopped."""
    parser = argparse.ArgumentParser(prog="python -m trainers.queue", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("queue", type=Path)
    args = parser.parse_args(arguments)
    try:
        return exit_status(lambda: run(args.queue))
    except KeyboardInterrupt:
        print("gate: stopped; the same command resumes", file=sys.stderr)
        return 130


def load(path: Path) -> list[Experiment]:
    """The experiments by priority. Raises GateError."""
    experiments = typed.read(path, Queue, error=GateError).experiment
    names = [each.name for each in experiments]
    if len(set(names)) != len(names) or any(each.worse_than and each.worse_than not in names for each in experiments):
        raise GateError(f"{path}: recipes need unique names, and worse_than must be one of them")
    return sorted(experiments, key=lambda each: each.priority)


def run(path: Path) -> None:
    """Run the experiments that have not ended, then print the table. Raises GateError."""
    experiments = load(path)
    memory = path.with_suffix(".results.json")
    results: dict[str, Json] = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}
    for each in experiments:
        if each.name not in results:
            results[each.name] = _one(each, path.parent / each.recipe, results)
            jsonl.write_whole(memory, json.dumps(results, indent=1) + "\n")
    rows = [[each.name, each.priority, *_cells(results[each.name])] for each in experiments]
    print(tabulate(rows, ["experiment", "priority", "ended", "best validation", "at step", "minutes"]))


def verdict(each: Experiment, lines: list[Json], results: dict[str, Json]) -> str:
    """Why a running experiment is stopped by its rule; empty while it may continue.

    `lines` are its metrics so far, `results` those of ended experiments by name.
    """
    evaluated = [line for line in lines if "valid" in line]
    late = [line for line in evaluated if line["step"] >= each.by_step]
    if not late or len(evaluated) < 2:
        return ""
    best = min(line["valid"] for line in evaluated)
    if each.fall and best > (1 - each.fall) * evaluated[0]["valid"]:
        return f"no progress by step {late[0]['step']}"
    other = results.get(each.worse_than, {}).get("best")
    if other is not None and best > other:
        return f"worse than {each.worse_than}"
    return ""


def _one(each: Experiment, path: Path, results: dict[str, Json]) -> Json:
    """Train one experiment until it ends or its rule stops it, and return its result."""
    recipe = recipes.read(path)
    begun, why = time.monotonic(), ""
    print(f"== {each.name}", flush=True)
    for module in ("trainers.prepare", "trainers.sft"):
        child = subprocess.Popen(
            [*platform.PYTHON, "-m", module, str(path)], env=platform.model_environment(offline=True)
        )
        try:
            while (status := child.poll()) is None:
                time.sleep(LOOK)
                why = why or (verdict(each, _lines(recipe.out / "train"), results) if module == "trainers.sft" else "")
                if why:
                    child.terminate()
                    status = child.wait()
                    break
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        if status == 130 and not why:
            raise KeyboardInterrupt
        if status and not why:
            why = {1: "diverged", 4: "bad input", -9: "out of memory"}.get(status, f"ended with {status}")
            break
    lines = [line for line in _lines(recipe.out / "train") if "valid" in line]
    best = min(lines, key=lambda line: line["valid"]) if lines else {}
    minutes = round((time.monotonic() - begun) / 60, 1)
    return {"why": why or "done", "best": best.get("valid"), "step": best.get("step"), "minutes": minutes}


def _lines(folder: Path) -> list[Json]:
    try:
        return read(folder)
    except GateError:
        return []


def _cells(result: Json) -> list[object]:
    best = result["best"]
    return [result["why"], "" if best is None else f"{best:.4f}", result["step"], result["minutes"]]


if __name__ == "__main__":
    sys.exit(main())
