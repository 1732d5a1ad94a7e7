"""Files that a recipe's [data] names, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gate.cases import training_rows
from gate.types import Json
from trainers.recipe import Recipe, RecipeError


def named(recipe: Recipe, key: str, *, needed: bool = True) -> list[Path]:
    """The files named by a key of [data], relative to the recipe.

    Raises RecipeError for a missing file, and for no file if one is `needed`.
    """
    names = recipe.data.get(key, [])
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or (needed and not names):
        raise RecipeError(f"{recipe.path}: [data] {key}: name a file, or a list of files")
    paths = [recipe.path.parent / name for name in names]
    if missing := [path for path in paths if not path.is_file()]:
        raise RecipeError(f"{recipe.path}: [data] {key}: there is no {missing[0]}")
    return paths


def objects(paths: list[Path]) -> list[tuple[str, Json]]:
    """(file:line, object) of each line. Raises RecipeError."""
    rows = []
    for path in paths:
        for row in training_rows.read(path):
            if row.fault:
                raise RecipeError(f"{row.where}: {row.fault}")
            rows.append((row.where, row.value))
    return rows


def whole(value: Any, key: str, default: int) -> int:
    """The whole number above 0 under a key of [data]. Raises RecipeError."""
    number = value.get(key, default)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise RecipeError(f"[data] {key} must be a whole number above 0, not {number!r}")
    return number
