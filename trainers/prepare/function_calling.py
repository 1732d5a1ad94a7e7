"""Rows of xLAM's shape (query, tools, answers) as chat with `tools` and structured calls.

Teaches a model to call functions that it has not seen: each row offers its own. The test split becomes a suite, so that
base and tuned model are asked the same unseen rows (mission F3).

    [data]
    rows = ["xlam.jsonl"]               # {"query": …, "tools": […] or JSON text, "answers": […] or JSON text}
    most = 1000
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from gate.types import Json
from trainers.prepare import files
from trainers.recipe import Recipe, RecipeError

TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object"}
"""Python's names of types, as xLAM has them, and JSON Schema's."""


def rows(recipe: Recipe) -> list[Json]:
    """Chat rows, at most `most` of them. Raises RecipeError with file:line."""
    found = [row(value, where) for where, value in files.objects(files.named(recipe, "rows"))]
    most = files.whole(recipe.data, "most", 1000)
    return [found[number] for number in np.random.default_rng(recipe.train.seed).permutation(len(found))[:most]]


def row(value: Json, where: str) -> Json:
    """One row of xLAM's shape as a chat row."""
    try:
        tools = [tool(each) for each in _parsed(value["tools"])]
        calls = [{"name": each["name"], "arguments": dict(each["arguments"])} for each in _parsed(value["answers"])]
        if not isinstance(value["query"], str) or not calls:
            raise ValueError("query must be a text, and answers hold a call")
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(
            f"{where}: is no row with query, tools and answers: {type(error).__name__}: {error}"
        ) from error
    made = [{"type": "function", "function": call} for call in calls]
    messages = [{"role": "user", "content": value["query"]}, {"role": "assistant", "content": "", "tool_calls": made}]
    return {"messages": messages, "tools": tools, "category": "parallel" if len(calls) > 1 else "simple"}


def tool(given: Json) -> Json:
    """One of xLAM's tools as OpenAI's: parameters by name become a JSON Schema."""
    parameters = given.get("parameters") or {}
    if parameters.get("type") == "object" and isinstance(parameters.get("properties"), dict):
        return {"type": "function", "function": given}
    properties = {name: _schema(each) for name, each in parameters.items()}
    needed = [name for name, each in parameters.items() if not _optional(each)]
    schema = {"type": "object", "properties": properties, "required": needed}
    return {
        "type": "function",
        "function": {"name": given["name"], "description": given.get("description", ""), "parameters": schema},
    }


def case(number: int, row_: Json) -> Json:
    """A row of the test split as a case."""
    calls = row_["messages"][-1]["tool_calls"]
    return {
        "id": f"unseen-{number:04}",
        "messages": row_["messages"][:-1],
        "tools": row_["tools"],
        "expect": {"calls": [call["function"] for call in calls]},
        "split": "held-out",
        "tags": [row_["category"]],
        "source": "the test split of the recipe's rows",
    }


def _schema(given: Json) -> Json:
    schema = _type(str(given.get("type", "str")))
    schema |= {"description": given["description"]} if given.get("description") else {}
    return schema | ({"default": given["default"]} if given.get("default") not in (None, "") else {})


def _type(name: str) -> Json:
    """`List[int], optional` -> {"type": "array", "items": {"type": "integer"}}; unknown names take anything."""
    plain = name.partition(",")[0].strip()
    plain = plain.removeprefix("Optional[").removesuffix("]") if plain.startswith("Optional[") else plain
    if inner := re.fullmatch(r"(?:List|list|Set|set|Tuple|tuple)(?:\[(.*)\])?", plain):
        return {"type": "array", "items": _type(inner[1])} if inner[1] else {"type": "array"}
    if re.match(r"(?:Dict|dict)\b", plain):
        return {"type": "object"}
    return {"type": TYPES[plain]} if plain in TYPES else {}


def _optional(given: Json) -> bool:
    return "optional" in str(given.get("type", "")).lower() or "default" in given


def _parsed(value: Any) -> list[Json]:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("expected a list of objects")
    return found
