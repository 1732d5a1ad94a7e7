"""Is a value fit to be compared, a pattern usable, a value valid by a JSON Schema? All within limits."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import regex
from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from gate.errors import CaseError
from gate.system import schema as shape
from gate.system.memoize import recalled
from gate.system.text import one_line, show
from gate.types import Json

SECONDS = 1.0
"""Time limit of one regular expression on one text, in processor time."""
MAX_DEPTH = 50
MAX_VALUES = 1_000
MAX_TEXT = 100_000  # characters
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


def found(pattern: str, text: str, *, full: bool) -> bool:
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
    """Why this is no pattern that can be used; empty when it is one."""
    if not isinstance(pattern, str) or not pattern:
        return f"expected a pattern, found {show(pattern)}"
    if _SURELY_PATTERN.fullmatch(pattern):
        return ""
    try:
        found(pattern, "", full=True)
    except CaseError as error:
        return str(error)
    return ""


def schema_errors(schema: Json, value: Any) -> list[ValidationError]:
    """The first errors of a fit value by a JSON Schema. Raises CaseError where the schema cannot be followed."""
    try:
        return [] if _look(schema)(value) else list(islice(_validator(schema).iter_errors(value), 20))
    except (Unresolvable, RecursionError) as error:
        raise CaseError(f"a schema's $ref leads nowhere or in circles ({one_line(str(error), 80)}); mend it") from error


@recalled(256)
def _look(schema: Json) -> shape.Look:
    """A quick yes (gate.system.schema), but where there is a pattern, whose time is limited only by what follows."""
    patterned = any("pattern" in part for _, part in parts(schema) if isinstance(part, dict))
    return (lambda _: False) if patterned else shape.look(schema)


@recalled(256)
def _validator(schema: Json) -> Any:
    plain = {key: part for key, part in schema.items() if key != "$schema"}  # which would change the validator
    return _Validator(plain, registry=Registry())


def schema_problem(schema: Any) -> str:
    """Why this is no JSON Schema that can be used; empty when it is one."""
    flaw = (
        unfit(schema, 20 * MAX_VALUES)
        if isinstance(schema, dict)
        else f"expected a schema object, found {show(schema)}"
    )
    return flaw or _schema_problem(json.dumps(schema))


def breach(error: ValidationError, path: str) -> str:
    """A schema's error in words, the value shortened."""
    rest = error.message.removeprefix(repr(error.instance))
    value = "" if rest == error.message else show(error.instance)
    rest = re.sub(r"^\w+ properties are not allowed", "unknown argument", rest)
    return one_line(f"{path}{error.json_path[1:]}: {value}{rest}")


@lru_cache(maxsize=1024)
def _schema_problem(text: str) -> str:
    schema = json.loads(text)
    try:
        Draft202012Validator.check_schema(schema)
        resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
        for _, part in parts(schema):
            if isinstance(part, dict) and isinstance(part.get("$ref"), str):
                resolver.lookup(part["$ref"])
        schema_errors(schema, {})
    except SchemaError as error:
        return f"invalid schema at {error.json_path}: {one_line(error.message, 100)}"
    except (CaseError, RecursionError, Unresolvable) as error:
        return f"invalid schema: {one_line(str(error), 120)}"
    return ""


def _pattern(_validator: Any, pattern: str, text: Any, _schema: Json) -> Iterator[ValidationError]:
    if isinstance(text, str) and not found(pattern, text, full=False):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


_Validator = validators.extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]
"""As jsonschema's own, but with a time limit on patterns."""


def _flaw(value: Any) -> str:
    if isinstance(value, int | float):
        return "" if abs(value) <= sys.float_info.max else "has a number beyond every double, or none"
    if value is not None and not isinstance(value, str | list | dict):
        return f"has a {type(value).__name__}, which is not JSON"
    texts = value if isinstance(value, dict) else [value] if isinstance(value, str) else []
    fit = all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts)
    return "" if fit else f"has a key that is no text, or a text of more than {MAX_TEXT} characters"
