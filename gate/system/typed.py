"""TOML files and JSON rows as typed values, and JSON Schemas of these types for editors.

What a file may hold is declared once, as an msgspec Struct: names, types, bounds, defaults. A `__post_init__` checks
what a declaration cannot say and raises ValueError with a text that begins with the key.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import math
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gate.errors import GateError
from gate.system.text import join, show
from gate.types import Json

T = TypeVar("T", bound=msgspec.Struct)
NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}
BOUNDS = {
    "minimum": "{} or more",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "with {} or more in it",
    "minLength": "with {} or more characters",
}


def read(path: Path, kind: type[T], *, error: type[GateError]) -> T:
    """The value that a TOML file holds.

    Raises `error` with one line: the file, the key, what is wanted there and what was found. FileNotFoundError is its
    cause where there is no file.
    """
    try:
        return parsed(path.read_bytes(), kind, where=path, error=error)
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}") from fault


def parsed(data: bytes, kind: type[T], *, where: Path, error: type[GateError]) -> T:
    """The value that the bytes of a TOML file hold. Raises `error` as `read` does."""
    try:
        value = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise error(f"{where}: cannot be read: {fault}") from fault
    return converted(value, kind, where=where, error=error)


def converted(value: Any, kind: type[T], *, where: object, error: type[GateError]) -> T:
    """A value of plain dicts and lists as a Struct. Raises `error` with a line that begins with `where` and the key."""
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as fault:
        raise error(f"{where}: {_fault(value, kind, fault)}") from fault
    for place, each in _numbers(msgspec.to_builtins(found)):
        if not math.isfinite(each):
            raise error(f"{where}: {place}: expected a finite number, found {each}")
    return found


def schema(kind: type[msgspec.Struct]) -> Json:
    """The JSON Schema of a Struct; the string under a field is the field's description, which editors show."""
    found = msgspec.json.schema(kind)
    for name, definition in found["$defs"].items():
        texts = _field_docs(getattr(sys.modules[kind.__module__], name))
        for key, each in definition["properties"].items():
            each |= {"description": texts[key]} if key in texts else {}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


def _fault(value: Any, kind: type[msgspec.Struct], fault: msgspec.ValidationError) -> str:
    """The key that is wrong, what is wanted there and what was found. jsonschema says where msgspec says whether."""
    import jsonschema

    kinds = {
        "integer": lambda _, each: type(each) is int,
        "number": lambda _, each: type(each) in (int, float) and math.isfinite(each),
    }
    strict = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(kinds)
    check = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=strict)  # type: ignore[no-untyped-call]
    errors = list(check(msgspec.json.schema(kind)).iter_errors(value))
    if not errors:  # a __post_init__ has refused it
        text, _, place = str(fault).partition(" - at `$")
        return f"{place.rstrip('`').removeprefix('.')}.{text}".removeprefix(".")
    error = min(errors, key=lambda each: len(each.absolute_path))
    place = ""
    for step in error.absolute_path:
        place = join(place, step) if isinstance(step, str) else f"{place}[{step}]"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{join(place, missing).removeprefix('.')}: is missing"
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        unknown = next(key for key in error.instance if key not in known)
        near = difflib.get_close_matches(unknown, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{join(place, unknown).removeprefix('.')}: unknown key: {hint}known are {', '.join(known)}"
    return f"{place.removeprefix('.')}: expected {_wanted(error.schema)}, found {show(error.instance)}"


def _wanted(schema: Json) -> str:
    if "anyOf" in schema:
        return " or ".join(_wanted(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    bounds = [words.format(schema[name]) for name, words in BOUNDS.items() if name in schema]
    name = (
        "a text that is not blank" if schema.get("pattern") == r"\S" else NAMES.get(schema.get("type", ""), "a table")
    )
    return " ".join([name, " and ".join(bounds)]).strip()


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield place, value
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _numbers(each, f"{place}.{key}".removeprefix("."))


def _field_docs(kind: type) -> dict[str, str]:
    """The strings under the fields of a class, on one line each."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    pairs = [
        (field.target.id, after.value.value)
        for field, after in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    ]
    return {name: " ".join(str(text).split()) for name, text in pairs}
