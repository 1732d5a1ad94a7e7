"""BFCL's functions as OpenAI tools.

A call must be valid by its tool's schema, and BFCL's checker looks at neither `enum` nor `default` nor what a nested
object requires: such keys would refuse, or add, what it accepts, so they are told in the description instead. That is
done alike for every tool, for a schema that was looser where the answer lies would give the answer away. For the same
reason the type of a declared default counts as declared too: an integer whose default is null may be null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from gate.errors import CaseError
from gate.system.text import show
from gate.types import Json

TYPES = {
    "string": "string",
    "integer": "integer",
    "float": "number",
    "boolean": "boolean",
    "array": "array",
    "tuple": "array",
    "dict": "object",
    "any": "",
}
"""BFCL's types, those of Python, in JSON Schema; `any` declares none."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEPT = ("type", "description", "properties", "items", "format")
_DROPPED = ("optional",)
"""What says nothing that `required` does not say; a few rows have it, and a default of all arguments together."""


def name(function: str) -> str:
    """A function's name as the OpenAI API takes it, a dot written as `_` like the official code does."""
    return function.replace(".", "_")


def tools(functions: list[Json]) -> list[Json]:
    """The functions of one row as tools. Raises CaseError (why, detail) for what no tool can say."""
    found: list[Json] = [{"type": "function", "function": _function(function)} for function in functions]
    names = [tool["function"]["name"] for tool in found]
    for each in names:
        if not _NAME.fullmatch(each):
            raise CaseError("a function's name is none that the OpenAI API takes", show(each))
        if names.count(each) > 1:
            raise CaseError("two functions of one row have the same name", show(each))
    return found


def kind(value: Any) -> str:
    """The JSON Schema type of a value; of a number, whether it was written as an integer."""
    if isinstance(value, bool):
        return "boolean"
    names: list[tuple[type, str]] = [(str, "string"), (int, "integer"), (float, "number"), (list, "array")]
    return next((word for each, word in names if isinstance(value, each)), "object" if value is not None else "null")


def _function(function: Json) -> Json:
    parameters = function["parameters"]
    if unknown := parameters.keys() - {"type", "properties", "required", *_DROPPED, "default"}:
        raise CaseError("a function's parameters have a key that is not known", show(sorted(unknown)))
    properties = {key: _schema(value) for key, value in parameters.get("properties", {}).items()}
    schema = {"type": "object", "properties": properties, "required": parameters.get("required", [])}
    return {"name": name(function["name"]), "description": function.get("description", ""), "parameters": schema}


def _schema(declared: Any) -> Json:
    if not isinstance(declared, dict) or declared.get("type") not in TYPES:
        raise CaseError("a parameter has a type that is none of BFCL's", show(declared))
    if unknown := declared.keys() - {*_KEPT, *_SAID, *_DROPPED}:
        raise CaseError("a parameter has a key that is not known", show(sorted(unknown)))
    schema: Json = {key: declared[key] for key in _KEPT if key in declared}
    del schema["type"]
    if types := _types(declared):
        schema = {"type": types if len(types) > 1 else types[0], **schema}
    said = [say(declared[key]) for key, say in _SAID.items() if key in declared]
    if said:
        schema["description"] = " ".join(filter(None, [declared.get("description", ""), *said]))
    if "properties" in declared:
        schema["properties"] = {key: _schema(value) for key, value in declared["properties"].items()}
    if "items" in declared:
        schema["items"] = _schema(declared["items"])
    return schema


def _types(declared: Json) -> list[str]:
    """What is declared, and what the default is; nothing where anything goes."""
    word = TYPES[declared["type"]]
    if not word:
        return []
    default = kind(declared["default"]) if "default" in declared else word
    return [word] if default == word or (default, word) == ("integer", "number") else [word, default]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _listed(values: Any) -> str:
    return ", ".join(map(_text, values)) if isinstance(values, list) else _text(values)


_SAID: dict[str, Callable[[Any], str]] = {
    "enum": lambda values: f"One of: {_listed(values)}.",
    "required": lambda names: f"Required in it: {', '.join(names)}.",
    "minimum": lambda value: f"At least {_text(value)}.",
    "maximum": lambda value: f"At most {_text(value)}.",
    "minItems": lambda value: f"At least {value} items.",
    "maxItems": lambda value: f"At most {value} items.",
    "default": lambda value: f"Default: {_text(value)}.",
}
