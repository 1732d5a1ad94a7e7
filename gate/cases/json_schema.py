"""Checks of values, patterns and JSON Schemas, each bounded in time and size."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import regex

from gate.errors import CaseError
from gate.system import schema as quick
from gate.system.memoize import memoized
from gate.system.text import one_line, show
from gate.types import Json

if TYPE_CHECKING:
    from jsonschema import ValidationError

COMPOSED = {"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas"}
"""Keywords that apply other schemas to the same value."""
SECONDS = 1.0
"""Time limit of one regular expression on one text, in processor time."""
MAX_DEPTH = 50
MAX_VALUES = 1_000
MAX_TEXT = 100_000  # characters
_SLOW = {"multipleOf", "patternProperties", "$dynamicRef", "$id", "$anchor", "$dynamicAnchor", "$schema"}
"""Keywords that jsonschema-rs reads otherwise than jsonschema: in decimals, by its own patterns, in its own way."""
_SURELY_PATTERN = re.compile(r"(?:\\b|(?:[^\\()\[\]{}*+?|^$]|\\[dDsSwW!-/:-@\[-`{-~])[*+?]?){1,1000}")
"""Patterns of characters, escapes and `.`, that need no compiling to be known as good: it takes long, of thousands."""


def parts(value: Any, depth: int = 1) -> Iterator[tuple[int, Any]]:
    """A value and every value in it, with its depth; nothing beyond the first too deep one."""
    yield depth, value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inside if depth <= MAX_DEPTH else ():
        yield from parts(part, depth + 1)


def unfit(value: Any, most: int = MAX_VALUES) -> str:
    """Why a value is not JSON of a size that can be compared; empty when it is. Takes any object."""
    every = list(islice(parts(value), most + 1))
    if len(every) > most:
        return f"has more than {most} values"
    if max(depth for depth, _ in every) > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH}"
    return next(filter(None, (_flaw(part) for _, part in every)), "")


def pattern_matches(pattern: str, text: str, *, full: bool) -> bool:
    """Whether a pattern matches a text of at most MAX_TEXT, in full or anywhere. CaseError when it cannot be told."""
    if len(text) > MAX_TEXT:
        return False
    try:
        compiled = regex.compile(pattern)
        return (compiled.fullmatch if full else compiled.search)(text, timeout=SECONDS) is not None
    except (TimeoutError, MemoryError, RecursionError, ValueError, regex.error) as error:
        where = f"the pattern {show(pattern)} fails on {show(text, 30)}: {error}"
        raise CaseError(f"{where}; write a valid one that need not backtrack") from error


def pattern_problem(pattern: Any) -> str:
    """Why this is not a pattern that can be used; empty when it is one."""
    if not isinstance(pattern, str) or not pattern:
        return f"expected a pattern, found {show(pattern)}"
    if _SURELY_PATTERN.fullmatch(pattern):
        return ""
    try:
        pattern_matches(pattern, "", full=True)
    except CaseError as error:
        return str(error)
    return ""


def referred(ref: str, root: Any) -> Any:
    """What a local `$ref` names in a whole schema; None where that is nothing."""
    base, *steps = ref.split("/")
    part = root if base == "#" else None
    for step in steps:
        part = part.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(part, dict) else None
    return part


def schema_errors(schema: Json, value: Any) -> list[ValidationError]:
    """The first errors of a fit value by a JSON Schema. Raises CaseError where the schema cannot be followed."""
    look = _look(schema)
    return [] if look and look(value) else _errors(schema, value)


def schema_problem(schema: Any) -> str:
    """Why this is not JSON Schema that can be used; empty when it is one."""
    if not isinstance(schema, dict):
        return f"expected a schema object, found {show(schema)}"
    return unfit(schema, 20 * MAX_VALUES) or _schema_problem(schema)


def breach(error: ValidationError, path: str) -> str:
    """A schema's error in words, the value shortened."""
    rest = error.message.removeprefix(repr(error.instance))
    value = "" if rest == error.message else show(error.instance)
    rest = re.sub(r"^\w+ properties are not allowed", "unknown argument", rest)
    return one_line(f"{path}{error.json_path[1:]}: {value}{rest}")


class _Pattern:
    """The keyword `pattern` for jsonschema-rs: matched by the library `regex` and within a time, as everywhere here."""

    undecided: ClassVar[list[str]]
    """Patterns that ran out of time: to jsonschema-rs they do not match, which a `not` around them makes a yes."""

    def __init__(self, _schema: Json, pattern: str, _path: list[str | int]) -> None:
        self._pattern = pattern

    def validate(self, value: Any) -> None:
        try:
            matches = not isinstance(value, str) or pattern_matches(self._pattern, value, full=False)
        except CaseError:
            self.undecided.append(self._pattern)
            raise
        if not matches:
            raise ValueError


@memoized(256)
def _look(schema: Json) -> quick.Look | None:
    """A quick yes; None for a schema that is invalid, or that jsonschema might judge otherwise."""
    every = [part for _, part in parts(_undrafted(schema)) if isinstance(part, dict)]
    if any(not _SLOW.isdisjoint(part) or _is_deep(part.get("$ref"), schema) for part in every):
        return None
    undecided: list[str] = []
    look = quick.look(_undrafted(schema), {"pattern": type("Pattern", (_Pattern,), {"undecided": undecided})})

    def valid(value: Any) -> bool:
        undecided.clear()
        return bool(look and look(value)) and not undecided

    return valid if look else None


def _is_deep(ref: Any, root: Json) -> bool:
    """May a `$ref` lead in circles, which jsonschema-rs follows silently, or elsewhere?"""
    target = referred(ref, root) if isinstance(ref, str) else {}
    return not isinstance(target, dict) or not COMPOSED.isdisjoint(target)


def _undrafted(schema: Json) -> Json:
    return {key: part for key, part in schema.items() if key != "$schema"}  # which would change the validator


def _errors(schema: Json, value: Any) -> list[ValidationError]:
    """As `schema_errors`, by jsonschema: it takes long to load, and most values are valid."""
    from referencing.exceptions import Unresolvable

    try:
        return list(islice(_validator(schema).iter_errors(value), 20))
    except (Unresolvable, RecursionError) as error:
        raise CaseError(f"a schema's $ref leads nowhere or in circles ({one_line(str(error), 80)}); fix it") from error


@memoized(256)
def _validator(schema: Json) -> Any:
    from referencing import Registry

    return _validator_class()(_undrafted(schema), registry=Registry())


@cache
def _validator_class() -> Any:
    """As jsonschema's own, but with a time limit on patterns."""
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(_validator: Any, pattern: str, text: Any, _schema: Json) -> Iterator[ValidationError]:
        if isinstance(text, str) and not pattern_matches(pattern, text, full=False):
            yield ValidationError(f"{text!r} does not match {pattern!r}")

    return validators.extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]


@memoized(1024)
def _schema_problem(schema: Json) -> str:
    if _look(schema) and not any(isinstance(part, dict) and "pattern" in part for _, part in parts(schema)):
        return ""  # a pattern is checked by Python's own engine, too
    from jsonschema import Draft202012Validator, SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
        resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
        for _, part in parts(schema):
            if isinstance(part, dict) and isinstance(part.get("$ref"), str):
                resolver.lookup(part["$ref"])
        _errors(schema, {})
    except SchemaError as error:
        return f"invalid schema at {error.json_path}: {one_line(error.message, 100)}"
    except (CaseError, RecursionError, Unresolvable) as error:
        return f"invalid schema: {one_line(str(error), 120)}"
    return ""


def _flaw(value: Any) -> str:
    if isinstance(value, int | float):
        return "" if abs(value) <= sys.float_info.max else "has a number beyond every double, or none"
    if value is not None and not isinstance(value, str | list | dict):
        return f"has a {type(value).__name__}, which is not JSON"
    texts = value if isinstance(value, dict) else [value] if isinstance(value, str) else []
    fit = all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts)
    return "" if fit else f"has a key that is not a text, or a text of more than {MAX_TEXT} characters"
