"""What a matcher is, and how an expectation with matchers in it is compared, checked, described and answered."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from gate.cases.json_schema import MAX_DEPTH, referred, unfit
from gate.system.text import join, one_line, show
from gate.types import Json

MATCHERS: dict[str, type[Matcher]] = {}
"""Every matcher by its `$` key."""


class UnknownError(LookupError):
    """An expectation names no value: a pattern, a schema."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, and what the tool's schema declares there."""

    path: str
    schema: Any = None
    root: Any = None
    """The whole schema, for `$ref`."""

    def key(self, name: str) -> Place:
        properties = self.declared().get("properties")
        return Place(join(self.path, name), properties.get(name) if properties else None, self.root)

    def item(self, index: int) -> Place:
        declared = self.declared()
        return Place(f"{self.path}[{index}]", None if "prefixItems" in declared else declared.get("items"), self.root)

    def default(self) -> list[Any]:
        """The declared default as a list of one; empty when there is none."""
        schemas = (self.schema, self.declared())
        return [schema["default"] for schema in schemas if isinstance(schema, dict) and "default" in schema][:1]

    def declared(self) -> Json:
        """The schema behind a local `$ref`, {} where there is none; what stands under anyOf or allOf is not seen."""
        schema = self.schema
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                break
            schema = referred(schema["$ref"], self.root)
        return schema if isinstance(schema, dict) else {}


class Matcher:
    """An object with one `$` key in an expectation. A subclass with a `key` is known wherever expectations are read."""

    key: ClassVar[str] = ""
    """The `$` key that makes an object this matcher."""
    options: ClassVar[frozenset[str]] = frozenset()
    """Keys that may stand beside it."""
    is_pattern: ClassVar[bool] = False
    """Is its value a regular expression?"""
    is_named: ClassVar[bool] = False
    """Does its own value match?"""

    def __init__(self, written: Json) -> None:
        self.written, self.value = written, written[self.key]

    def __init_subclass__(cls) -> None:
        if cls.key:
            MATCHERS[cls.key] = cls

    def flaw(self) -> str:
        """What is wrong with the way it is written; empty where nothing is."""
        return ""

    def accepts(self, got: Any) -> bool:
        """Does a JSON value match? Asked only of a matcher without flaws. Raises CaseError where it cannot be told."""
        raise NotImplementedError

    def reasons(self, got: Any, place: Place) -> list[str]:
        """Why a value does not match, a line each; a matcher with others in it tells it itself."""
        return [] if self.accepts(got) else [mismatch(self.written, got, place)]

    def describe(self) -> str:
        """It in words. Asked also of one that has flaws."""
        return show(self.written)

    def inner(self) -> list[tuple[str, Any]]:
        """The expectations in it, each with its path behind the key."""
        return []

    def named_value(self) -> Any:
        """The value that the case itself names, which a training row may teach. Raises UnknownError for none."""
        if not self.is_named:
            raise UnknownError(f"{self.key} names no value")
        return self.value

    def example(self, pick: int) -> Any:
        """A value that it accepts, by the pick-th of its alternatives. Raises UnknownError where none is known.

        A case is refused when all its examples are misses, for instance because the tool's schema forbids them.
        """
        del pick
        return self.named_value()


def matcher(expected: Any) -> Matcher | None:
    """The matcher that an expected value is; None for a literal."""
    known = MATCHERS.get(_matcher_key(expected))
    return known(expected) if known else None


def is_optional(expected: Any) -> bool:
    """May the key of an object be absent, whose value is expected so?"""
    return _matcher_key(expected) == "$optional"


def mismatches(expected: Any, got: Any, place: Place) -> list[str]:
    """Why `got` is not what is expected, each a line with its path; empty when it is.

    `expected` has no `problems`, and `got` is not `unfit`. A given key that is not expected is a mismatch unless the
    schema declares it with a default equal to the given value. An expected key that is absent counts as given with its
    declared default: both mean the same call. Raises CaseError for a pattern that runs out of time.
    """
    if known := matcher(expected):
        return known.reasons(got, place)
    if isinstance(expected, dict) and isinstance(got, dict):
        return _object_mismatches(expected, got, place)
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return [line for i, (want, value) in pairs for line in mismatches(want, value, place.item(i))]
    return [] if identity(expected) == identity(got) else [mismatch(expected, got, place)]


def mismatch(expected: Any, got: Any, place: Place) -> str:
    """One mismatch in words."""
    return one_line(f"{place.path}: expected {describe(expected)}, got {show(got)}")


def problems(expected: Any, path: str) -> list[str]:
    """What is wrong with the way an expected value is written, each a line with its path; empty when all is well."""
    if flaw := unfit(expected):
        return [one_line(f"{path}: {flaw}")]
    return list(_fit_problems(expected, path))


def describe(expected: Any) -> str:
    """An expected value for a person to read: matchers as /pattern/, a or b, 3.1 ± 0.01; anything else as JSON."""
    known = MATCHERS.get(_matcher_key(expected))
    if known is None or expected.keys() - {known.key} - known.options:
        return show(expected)
    return one_line(known(expected).describe(), 60)


def describe_call(call: Any) -> str:
    """An expected call: terminal(command=/ls( -l)?/). Arguments that may be absent are left out."""
    if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict):
        return show(call, 150)
    named = [f"{key}={describe(value)}" for key, value in call["arguments"].items() if not is_optional(value)]
    return one_line(f"{call.get('name')}({', '.join(named)})", 150)


def example(expected: Any, pick: int) -> Any:
    """A value that should match, by the pick-th of each matcher's alternatives. Raises UnknownError for none."""
    if known := matcher(expected):
        return known.example(pick)
    if isinstance(expected, dict):
        return {key: example(value, pick) for key, value in expected.items()}
    return [example(value, pick) for value in expected] if isinstance(expected, list) else expected


def named_value(expected: Any) -> Any:
    """The value that an expectation names, without what may be absent. Raises UnknownError where it names none."""
    if known := matcher(expected):
        return known.named_value()
    if isinstance(expected, dict):
        return {key: named_value(value) for key, value in expected.items() if not is_optional(value)}
    return [named_value(value) for value in expected] if isinstance(expected, list) else expected


def literals(expected: Any) -> Iterator[str | float]:
    """The texts and numbers that an expectation names anywhere; patterns and schemas name none."""
    if (known := matcher(expected)) is None:
        parts = expected.values() if isinstance(expected, dict) else expected if isinstance(expected, list) else None
        yield from _leaves(expected) if parts is None else (each for part in parts for each in literals(part))
    elif known.inner():
        yield from (each for _, part in known.inner() for each in literals(part))
    else:
        with suppress(UnknownError):
            yield from _leaves(known.named_value())


def identity(value: Any) -> Hashable:
    """Equal for equal JSON values, and only for these."""
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(part)) for name, part in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(identity, value)))
    return (type(value).__name__ if isinstance(value, bool) else "", value)


def _matcher_key(expected: Any) -> str:
    return next((key for key in expected if key.startswith("$")), "") if isinstance(expected, dict) else ""


def _object_mismatches(expected: Json, got: Json, place: Place) -> list[str]:
    lines = []
    for key in expected | got:
        spot = place.key(key)
        default, optional = spot.default(), is_optional(expected.get(key))
        if key not in expected and (not default or identity(default[0]) != identity(got[key])):
            lines.append(one_line(f"{spot.path}: expected nothing, got {show(got[key])}"))
        elif key in expected and (key in got or (default and not optional)):
            lines += mismatches(expected[key], got[key] if key in got else default[0], spot)
        elif key in expected and not optional:
            lines.append(one_line(f"{spot.path}: expected {describe(expected[key])}, got nothing"))
    return lines


def _fit_problems(expected: Any, path: str) -> Iterator[str]:
    """`problems` of what is fit, and so is every part of it."""
    if key := _matcher_key(expected):
        yield from _matcher_problems(key, expected, join(path, key))
    elif isinstance(expected, dict):
        for name, value in expected.items():  # an $optional is allowed just here
            held = value["$optional"] if is_optional(value) and len(value) == 1 else value
            yield from _fit_problems(held, join(path, name))
    elif isinstance(expected, list):
        for index, item in enumerate(expected):
            yield from _fit_problems(item, f"{path}[{index}]")


def _matcher_problems(key: str, expected: Json, path: str) -> Iterator[str]:
    if key not in MATCHERS:
        names = ", ".join(MATCHERS)
        yield one_line(
            f'{path}: is not a matcher; they are {names}; an object with such a key is {{"$literal": …}}', 300
        )
        return
    known = MATCHERS[key](expected)
    if others := sorted(expected.keys() - {key} - known.options):
        yield one_line(f"{path}: a matcher stands alone, found also {show(others)}")
    elif flaw := known.flaw():
        yield one_line(f"{path}: {flaw}")
    else:
        for step, part in known.inner():
            yield from _fit_problems(part, f"{path}{step}")


def _leaves(value: Any) -> Iterator[str | float]:
    """The texts and numbers in a JSON value."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value
