"""Validate JSON values against a JSON Schema, and explain the first error.

jsonschema-rs tells whether in microseconds, and jsonschema, which takes a hundred times as long, tells why. The yes of
the first is believed; what it refuses, or cannot read, is looked at by the second, whose word counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from gate.types import Json

if TYPE_CHECKING:
    from jsonschema import ValidationError

Look = Callable[[Any], bool]
"""Is a JSON value surely valid?"""


def error(name: str, value: Any) -> ValidationError | None:
    """The error of a JSON value by gate/schemas/<name>.json that says most; None where it is valid.

    A tuple is an array: frozen values that are written as JSON have them.
    """
    schema, is_valid = _read(name)
    if is_valid and is_valid(value):
        return None
    from jsonschema import Draft202012Validator, validators  # an eighth of a second, and most values are valid
    from jsonschema.exceptions import best_match

    types = Draft202012Validator.TYPE_CHECKER.redefine("array", lambda _, each: isinstance(each, list | tuple))
    validator = validators.extend(Draft202012Validator, type_checker=types)  # type: ignore[no-untyped-call]
    found: ValidationError | None = best_match(validator(schema).iter_errors(value))
    return found


def look(schema: Json, keywords: dict[str, type] | None = None) -> Look | None:
    """A quick yes by a schema of draft 2020-12; None for one that is invalid, or has a `$ref` to nothing or elsewhere.

    `keywords`: jsonschema-rs' custom keywords.
    """
    try:
        options: Any = {"keywords": keywords, "validate_formats": False, "offline": True}
        is_valid = jsonschema_rs.Draft202012Validator(schema, **options).is_valid
    except (ValueError, jsonschema_rs.ReferencingError):
        return None

    def valid(value: Any) -> bool:
        try:
            return is_valid(value)
        except ValueError:  # no JSON, or half of a surrogate pair
            return False

    return valid


@cache
def _read(name: str) -> tuple[Json, Look | None]:
    schema: Json = json.loads(resources.files("gate").joinpath(f"schemas/{name}.json").read_text(encoding="utf-8"))
    return schema, look(schema)
