"""The commands of `gate` that train: `train`, `plan`, `curves`, found by the entry points of group `gate.commands`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

RECIPE = "a recipe (its keys: trainers/recipe.py)"


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
    parser.set_defaults(run=_train)
    parser = commands.add_parser(
        "plan",
        help="will a training fit into this machine's memory, and what is advised?",
        description="Say how much memory and time a recipe's training needs here, and what speaks against it.",
        epilog="example:\n  gate plan trainers/demo/recipe.toml",
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help=RECIPE)
    parser.set_defaults(run=_plan)
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
    parser.set_defaults(run=_curves)


def _train(given: argparse.Namespace) -> int:
    from trainers import steps  # numpy and more, which no other command waits for

    return steps.run(given.recipe, anyway=given.anyway)


def _plan(given: argparse.Namespace) -> int:
    from trainers import steps

    return steps.show(given.recipe)


def _curves(given: argparse.Namespace) -> int:
    from trainers import curves

    return curves.run(given)
