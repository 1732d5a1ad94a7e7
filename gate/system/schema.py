"""Is a value as one of gate/schemas says, and if not, why?

Nearly all that is read is, and jsonschema is slow to say so. So a schema is also made into one function that gives the
same answer without a reason (tests/unit/system/test_schema.py sets the two side by side). Its yes is believed; what
gets a no is looked at by jsonschema, whose word counts, and which tells the error.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from gate.types import Json

Look = Callable[[Any], bool]
"""Is a JSON value valid?"""
Make = Callable[[Any], Look]
"""The look of a part of a schema."""


def error(name: str, value: Any) -> ValidationError | None:
    """The error of a JSON value by gate/schemas/<name>.json that says most; None where it is valid."""
    valid, validator = _read(name)
    found: ValidationError | None = None if valid(value) else best_match(validator.iter_errors(value))
    return found


def look(schema: Json) -> Look:
    """A function that says which JSON values are valid by a schema; it refuses all by one that it cannot follow."""
    definitions: dict[str, Look] = {}

    def make(part: Any) -> Look:
        if isinstance(part, bool):
            return lambda _: part
        if "$ref" in part and part["$ref"].removeprefix("#/$defs/") not in schema["$defs"]:
            raise KeyError(part["$ref"])
        keywords = dict.fromkeys(_BESIDE.get(each, each) for each in part if each not in _SILENT)
        return _every([_refer(part, definitions) if each == "$ref" else _LOOKS[each](part, make) for each in keywords])

    try:
        definitions.update({name: make(part) for name, part in schema.get("$defs", {}).items()})
        return make(schema)
    except KeyError:
        return lambda _: False


@cache
def _read(name: str) -> tuple[Look, Any]:
    schema = json.loads(resources.files("gate").joinpath(f"schemas/{name}.json").read_text(encoding="utf-8"))
    return look(schema), Draft202012Validator(schema)


def _every(looks: list[Look]) -> Look:
    def every(value: Any) -> bool:
        for each in looks:  # noqa: SIM110 - all() takes twice as long
            if not each(value):
                return False
        return True

    return looks[0] if len(looks) == 1 else every


def _refer(schema: Json, definitions: dict[str, Look]) -> Look:
    """A definition may come later, or hold itself."""
    name = schema["$ref"].removeprefix("#/$defs/")
    return lambda value: definitions[name](value)


def _type(schema: Json, _make: Make) -> Look:
    if isinstance(schema["type"], str):
        return _TYPES[schema["type"]]
    looks = [_TYPES[each] for each in schema["type"]]
    return lambda value: any(each(value) for each in looks)


def _members(schema: Json, make: Make) -> Look:
    known = {name: make(part) for name, part in schema.get("properties", {}).items()}
    other = make(schema.get("additionalProperties", True))

    def members(value: Any) -> bool:
        if isinstance(value, dict):
            for name, part in value.items():
                if not known.get(name, other)(part):
                    return False
        return True

    return members


def _required(schema: Json, _make: Make) -> Look:
    names = frozenset(schema["required"])
    return lambda value: not isinstance(value, dict) or names <= value.keys()


def _items(schema: Json, make: Make) -> Look:
    each = make(schema["items"])
    return lambda value: not isinstance(value, list | tuple) or all(map(each, value))


def _unique(schema: Json, _make: Make) -> Look:
    exact = Draft202012Validator({"uniqueItems": schema["uniqueItems"]})

    def unique(value: Any) -> bool:
        texts = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
        return (texts and len(set(value)) == len(value)) or exact.is_valid(
            list(value) if isinstance(value, tuple) else value
        )

    return unique


def _one_of(schema: Json, make: Make) -> Look:
    looks = [make(part) for part in schema["oneOf"]]
    return lambda value: sum(each(value) for each in looks) == 1


def _any_of(schema: Json, make: Make) -> Look:
    looks = [make(part) for part in schema["anyOf"]]
    return lambda value: any(each(value) for each in looks)


def _if(schema: Json, make: Make) -> Look:
    given, then = make(schema.get("if", False)), make(schema.get("then", True))
    return lambda value: not given(value) or then(value)


def _among(options: list[Any]) -> Look:
    if not all(type(each) in (str, int, float) for each in options):
        raise KeyError("only texts and numbers are compared here")
    return lambda value: not isinstance(value, bool) and value in options


def _pattern(schema: Json, _make: Make) -> Look:
    search = re.compile(schema["pattern"]).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _size(keyword: str, kind: Any, fits: Callable[[int, int], bool]) -> Callable[[Json, Make], Look]:
    return lambda schema, _: lambda value: not isinstance(value, kind) or fits(len(value), schema[keyword])


def _bound(keyword: str, fits: Callable[[float, float], bool]) -> Callable[[Json, Make], Look]:
    return lambda schema, _: lambda value: not _number(value) or fits(value, schema[keyword])


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Look] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _number,
    "integer": lambda value: _number(value) and (isinstance(value, int) or value.is_integer()),
}
_SILENT = ("$schema", "$defs", "title", "description", "default", "examples", "format")
"""Keywords that ask nothing of a value."""
_BESIDE = {"additionalProperties": "properties", "then": "if"}
"""Keywords that are looked at together with another one."""
_LOOKS: dict[str, Callable[[Json, Make], Look]] = {
    "type": _type,
    "properties": _members,
    "required": _required,
    "items": _items,
    "uniqueItems": _unique,
    "oneOf": _one_of,
    "anyOf": _any_of,
    "if": _if,
    "const": lambda schema, _: _among([schema["const"]]),
    "enum": lambda schema, _: _among(schema["enum"]),
    "pattern": _pattern,
    "minLength": _size("minLength", str, operator.ge),
    "maxLength": _size("maxLength", str, operator.le),
    "minItems": _size("minItems", list | tuple, operator.ge),
    "maxItems": _size("maxItems", list | tuple, operator.le),
    "minProperties": _size("minProperties", dict, operator.ge),
    "minimum": _bound("minimum", operator.ge),
    "maximum": _bound("maximum", operator.le),
    "exclusiveMinimum": _bound("exclusiveMinimum", operator.gt),
}
