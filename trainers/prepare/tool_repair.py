"""Rows that repair tool calls: chat with `tools` and structured `assistant.tool_calls`, balanced by category.

Teaches when to call which tool, and when to answer in words. Rows of text did not work: three tries stayed
where they were; structured rows, whose prompt is masked, did.

    [data]
    rows = ["repair/train.jsonl"]       # chat rows; a `category` each, or the first tool that is called
    slots = "fixtures/slots/demo.toml"  # and rows from phrases (gate/repair/phrases.py)
    fixtures = "fixtures"               # with tools/, and cases/ to stay apart from
    most = 200                          # rows of a category
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
    found = [value for _, value in files.objects(files.named(recipe, "rows", needed=False))]
    for path in files.named(recipe, "slots", needed=not found):
        found += phrases.rows(path, fixtures(recipe), seed=recipe.train.seed)
    return balanced(found, files.whole(recipe.data, "most", 200), seed=recipe.train.seed)


def fixtures(recipe: Recipe) -> Path:
    """The recipe's folder with tools/ and cases/."""
    return recipe.path.parent / str(recipe.data.get("fixtures", "fixtures"))


def balanced(found: list[Json], most: int, *, seed: int) -> list[Json]:
    """At most so many rows of each category."""
    random = np.random.default_rng(seed)
    by_category: defaultdict[str, list[Json]] = defaultdict(list)
    for row in found:
        by_category[category(row)].append(row)
    return [part[number] for part in by_category.values() for number in random.permutation(len(part))[:most]]


def category(row: Json) -> str:
    """What a row is of: its `category`, else the tool it calls first, else "no tool"."""
    called = [name for message in row.get("messages") or [] for name, _ in training.calls(message)]
    return str(row.get("category") or next(iter(called), "no tool"))
