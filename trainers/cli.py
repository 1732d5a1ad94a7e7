"""The commands `gate train`, `gate plan` and `gate curves`, and the exit status of every program of trainers/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate.errors import GateError

RECIPE = "a recipe (trainers/schemas/recipe.json describes its keys)"


def add_parsers(commands: Any) -> None:
    """Add `train`, `plan` and `curves` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "train",
        help="prepare, train, fuse, quantise, export, grade, promote: by a recipe",
        description="Train, export, grade and promote a model by a recipe. Each step is one printed command and one "
        "folder; a finished step is not run again.",
        epilog="example:\n  gate train trainers/demo/recipe.toml",
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help=RECIPE)
    parser.add_argument(
        "--anyway", metavar="REASON", default="", help="train against the advice; the reason is recorded"
    )
    parser.set_defaults(run=run_train)
    parser = commands.add_parser(
        "plan",
        help="estimate a training's memory, and give advice",
        description="Print a recipe's steps, how much memory its training needs here, and advice on its settings.",
        epilog="example:\n  gate plan trainers/demo/recipe.toml",
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help=RECIPE)
    parser.set_defaults(run=run_plan)
    parser = commands.add_parser(
        "curves",
        help="draw the curves of trainings over each other, and print their numbers",
        description="Print how trainings went, and draw their curves over each other (extra `train`).",
        epilog="example:\n  gate curves runs/one runs/two --out curves",
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="a training's folder")
    parser.add_argument(
        "--out",
        metavar="STEM",
        type=Path,
        default=Path("curves"),
        help="writes STEM.svg and STEM.png (default %(default)s)",
    )
    parser.set_defaults(run=run_curves)


def run_train(args: argparse.Namespace) -> int:
    """Run a recipe's steps. Raises GateError."""
    from trainers import steps  # imports numpy and more, which take time

    return steps.run(args.recipe, anyway=args.anyway)


def run_plan(args: argparse.Namespace) -> int:
    """Print a recipe's steps, memory and advice. Raises GateError."""
    from trainers import steps

    return steps.show(args.recipe)


def run_curves(args: argparse.Namespace) -> int:
    """Print the numbers of trainings and draw their curves. Raises GateError."""
    from trainers import curves

    return curves.run(args.runs, args.out)


def exit_status(work: Callable[[], int | None]) -> int:
    """Run a program's work and return its exit status, 0 for None; a GateError is printed, and its status returned."""
    try:
        return work() or 0
    except GateError as error:
        print(f"gate: {error}", file=sys.stderr)
        return error.status
