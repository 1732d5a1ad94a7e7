"""Rows of kind `tool_repair`: chat with `tools` and structured `assistant.tool_calls`, balanced by category.

Teaches when to call which tool, and when to answer in words. In three trials rows of plain text did not improve
the model; structured rows with a masked prompt did.

    [data]
    rows = ["repair/train.jsonl"]       # chat rows; each has a `category`, else its first tool is one
    slots = "fixtures/slots/demo.toml"  # also rows from phrases (gate/repair/phrases.py)
    fixtures = "fixtures"               # with tools/, and cases/ that rows must not repeat
    most = 200                          # rows per category
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from gate.cases import training_rows as training
from gate.repair import phrases
from gate.types import Json
from trainers.prepare import files
from trainers.recipe import Recipe


def rows(recipe: Recipe) -> list[Json]:
    """Chat rows with a category each, no category with more than `most`. Raises RecipeError, TemplateError."""
    chat = [value for _, value in files.objects(files.named(recipe, "rows", needed=False))]
    for path in files.named(recipe, "slots", needed=not chat):
        chat += phrases.rows(path, fixtures(recipe), seed=recipe.train.seed)
    return balanced(chat, files.whole(recipe.data, "most", 200), seed=recipe.train.seed)


def fixtures(recipe: Recipe) -> Path:
    """The recipe's folder with tools/ and cases/."""
    return recipe.path.parent / str(recipe.data.get("fixtures", "fixtures"))


def balanced(rows: list[Json], most: int, *, seed: int) -> list[Json]:
    """At most `most` rows of each category, drawn at random."""
    random = np.random.default_rng(seed)
    by_category: defaultdict[str, list[Json]] = defaultdict(list)
    for row in rows:
        by_category[category(row)].append(row)
    return [part[number] for part in by_category.values() for number in random.permutation(len(part))[:most]]


def category(row: Json) -> str:
    """A row's `category`, else the first tool that it calls, else "no tool"."""
    called = [name for message in row.get("messages") or [] for name, _ in training.calls(message)]
    return str(row.get("category") or next(iter(called), "no tool"))
