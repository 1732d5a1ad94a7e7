"""Rows of kind `function_calling`: xLAM's rows (query, tools, answers) as chat with `tools` and structured calls.

Teaches a model to call functions that it has not seen: each row offers its own. The test split becomes a suite, so that
base and trained model are asked the same unseen rows.

    [data]
    rows = ["xlam.jsonl"]               # {"query": …, "tools": […] or JSON text, "answers": […] or JSON text}
    most = 1000
"""

from __future__ import annotations

import numpy as np

from gate.authoring.importers import xlam
from gate.authoring.importers.openai_chat import literal
from gate.errors import CaseError
from gate.types import HELD_OUT, Json
from trainers.prepare import files
from trainers.recipe import Recipe, RecipeError


def rows(recipe: Recipe) -> list[Json]:
    """Chat rows, at most `most` of them. Raises RecipeError with file:line."""
    converted = [row(value, where) for where, value in files.objects(files.named(recipe, "rows"))]
    most = files.whole(recipe.data, "most", 1000)
    order = np.random.default_rng(recipe.train.seed).permutation(len(converted))
    return [converted[number] for number in order[:most]]


def row(value: Json, where: str) -> Json:
    """One of xLAM's rows as a chat row. Raises RecipeError."""
    try:
        chat = xlam.row(value)
    except CaseError as error:
        raise RecipeError(f"{where}: is not a row with query, tools and answers: {error}") from error
    calls = chat["messages"][-1]["tool_calls"]
    if not calls:
        raise RecipeError(f"{where}: is not a row with query, tools and answers: answers has no call")
    category = "parallel" if len(calls) > 1 else "simple"
    return {"messages": chat["messages"], "tools": chat["tools"], "category": category}


def case(number: int, row_: Json) -> Json:
    """A row of the test split as a case."""
    calls = row_["messages"][-1]["tool_calls"]
    return {
        "id": f"unseen-{number:04}",
        "messages": row_["messages"][:-1],
        "tools": row_["tools"],
        "expect": {
            "calls": [call["function"] | {"arguments": literal(call["function"]["arguments"])} for call in calls]
        },
        "split": HELD_OUT,
        "tags": [row_["category"]],
        "source": "the test split of the recipe's rows",
    }
