"""The commands `gate train`, `gate plan` and `gate curves`, and how every program of trainers/ ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate.errors import GateError


def add_parsers(commands: Any) -> None:
    """Add `train`, `plan` and `curves` to the subparsers of the command `gate`."""
    train = commands.add_parser("train", help="prepare, train, fuse, quantise, export, grade, promote: by a recipe")
    train.add_argument("recipe", type=Path, help="a recipe (trainers/schemas/recipe.json describes its keys)")
    train.add_argument("--anyway", metavar="REASON", default="", help="train against the advice; it is recorded")
    train.set_defaults(run=run_train)
    plan = commands.add_parser("plan", help="will a training fit into this machine's memory, and what is advised?")
    plan.add_argument("recipe", type=Path)
    plan.set_defaults(run=run_plan)
    curves = commands.add_parser("curves", help="the curves of trainings, drawn over each other, and their numbers")
    curves.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="a training's folder")
    curves.add_argument("--out", metavar="STEM", type=Path, default=Path("curves"), help="writes STEM.svg and STEM.png")
    curves.set_defaults(run=run_curves)


def run_train(given: argparse.Namespace) -> int:
    """Run a recipe's steps. Raises GateError."""
    from trainers import steps  # numpy and more, which no other command waits for

    return steps.run(given.recipe, anyway=given.anyway)


def run_plan(given: argparse.Namespace) -> int:
    """Print a recipe's steps, memory and advice. Raises GateError."""
    from trainers import steps

    return steps.show(given.recipe)


def run_curves(given: argparse.Namespace) -> int:
    """Print the numbers of trainings and draw their curves. Raises GateError."""
    from trainers import curves

    return curves.run(given.runs, given.out)


def exit_status(work: Callable[[], int | None]) -> int:
    """The exit status of a program: 0 when its work is done, else that of the error, which is printed."""
    try:
        return work() or 0
    except GateError as error:
        print(f"gate: {error}", file=sys.stderr)
        return error.status
