"""The commands `gate train`, `gate plan` and `gate curves`, and how every program of trainers/ ends."""

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
        description="Make a model by a recipe. Each step is one printed command and one folder; a finished step is "
        "not done again.",
        epilog="example:\n  gate train trainers/demo/recipe.toml",
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help=RECIPE)
    parser.add_argument("--anyway", metavar="REASON", default="", help="train against the advice; it is recorded")
    parser.set_defaults(run=run_train)
    parser = commands.add_parser(
        "plan",
        help="will a training fit into this machine's memory, and what is advised?",
        description="Say how much memory and time a recipe's training needs here, and what speaks against it.",
        epilog="example:\n  gate plan trainers/demo/recipe.toml",
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help=RECIPE)
    parser.set_defaults(run=run_plan)
    parser = commands.add_parser(
        "curves",
        help="the curves of trainings, drawn over each other, and their numbers",
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
    from trainers import steps  # numpy and more, which no other command waits for

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
    """The exit status of a program: 0 when its work is done, else that of the error, which is printed."""
    try:
        return work() or 0
    except GateError as error:
        print(f"gate: {error}", file=sys.stderr)
        return error.status
