"""One row of BFCL, and its possible answer, as a case."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from gate.authoring.importers.bfcl import answers
from gate.authoring.importers.bfcl import tools as bfcl_tools
from gate.cases.json_schema import breach, schema_errors
from gate.errors import CaseError
from gate.types import SPLITS, Json

_PARAMETERS: Json = {"type": "object", "required": ["properties"], "properties": {"properties": {"type": "object"}}}
_FUNCTION: Json = {
    "type": "object",
    "required": ["name", "parameters"],
    "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
}
_MESSAGE: Json = {"type": "object", "required": ["role", "content"]}
_ROW: Json = {
    "type": "object",
    "required": ["id", "question", "function"],
    "properties": {
        "id": {"type": "string"},
        "question": {"type": "array", "items": {"type": "array", "minItems": 1, "items": _MESSAGE}},
        "function": {"type": "array", "items": _FUNCTION},
    },
}
_POSSIBLE: Json = {"type": "object", "additionalProperties": {"type": "array"}}
_ANSWER: Json = {
    "required": ["ground_truth"],
    "properties": {
        "ground_truth": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": _POSSIBLE},
        }
    },
}


def case(category: str, row: Any, answer: Json | None) -> Json:
    """A row whose calls are known. Raises CaseError (why, detail) where it can be no case."""
    _check(row, _ROW, "the row has not the shape of BFCL's rows")
    if answer is None:
        raise CaseError("the row has no possible answer", row["id"])
    _check(answer, _ANSWER, "the possible answer has not the shape of BFCL's")
    truth = answer["ground_truth"]
    if len(truth) > 1 and "parallel" not in category:
        raise CaseError("no call can be right: several are wanted where one is taken", f"{len(truth)} calls")
    tools = bfcl_tools.tools(row["function"])
    every = [_wanted(row["function"], tools, call) for call in truth]
    stricter = sorted({tag for each in every for tag in each.stricter})
    tags = [category, *(["stricter", *stricter] if stricter else [])]
    return _whole(row, tools, [each.call for each in every], tags)


def talk(category: str, row: Any) -> Json:
    """A row that no tool fits. Raises CaseError (why, detail) where it can be no case."""
    _check(row, _ROW, "the row has not the shape of BFCL's rows")
    return _whole(row, bfcl_tools.tools(row["function"]), [], [category])


def _wanted(functions: list[Json], tools: list[Json], call: Json) -> answers.Wanted:
    ((name, possible),) = call.items()
    names = [function["name"] for function in functions]
    if name not in names:
        raise CaseError("the possible answer calls a function that the row does not have", name)
    at = names.index(name)
    return answers.expectation(functions[at], tools[at]["function"], possible)


def _whole(row: Json, tools: list[Json], calls: list[Json], tags: Iterable[str]) -> Json:
    if len(row["question"]) != 1:
        raise CaseError("the row has more than one turn", f"{len(row['question'])} turns")
    messages = [{"role": message["role"], "content": message["content"]} for message in row["question"][0]]
    return {
        "id": row["id"],
        "messages": messages,
        "tools": tools,
        "expect": {"calls": calls},
        "split": _split(messages),
        "tags": list(tags),
        "source": f"BFCL v4 {row['id']}",
    }


def _split(messages: list[Json]) -> str:
    """By what is asked, as `gate import` does it: what is held out in one file is never given away by another."""
    text = json.dumps(messages, sort_keys=True, separators=(",", ":"))
    return SPLITS[int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2]


def _check(value: Any, schema: Json, why: str) -> None:
    if errors := schema_errors(schema, value):
        raise CaseError(why, breach(errors[0], "row"))
