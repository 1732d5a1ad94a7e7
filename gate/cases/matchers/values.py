"""The matchers of any value: `$any`, `$optional`, `$number`, `$schema`, `$anything`, `$literal`."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from gate.cases.json_schema import schema_errors, schema_problem
from gate.cases.matchers.matcher import (
    Matcher,
    Place,
    UnknownError,
    describe,
    example,
    identity,
    mismatch,
    mismatches,
    named_value,
)
from gate.system.text import show
from gate.types import Json

_NUMBERS = (int, float)


class AnyOf(Matcher):
    """One of several literals or matchers."""

    key = "$any"

    def flaw(self) -> str:
        some = isinstance(self.value, list) and self.value
        return "" if some else f"expected a list of some, found {show(self.value)}"

    def reasons(self, got: Any, place: Place) -> list[str]:
        hit = any(not mismatches(each, got, place) for each in self.value)
        return [] if hit else [mismatch(self.written, got, place)]

    def describe(self) -> str:
        return " or ".join(map(describe, self.value)) if isinstance(self.value, list) else super().describe()

    def inner(self) -> list[tuple[str, Any]]:
        return [(f"[{index}]", each) for index, each in enumerate(self.value)]

    def named_value(self) -> Any:
        return self._known(named_value)[0]

    def example(self, pick: int) -> Any:
        every = self._known(lambda each: example(each, pick))
        return every[min(pick, len(every) - 1)]

    def _known(self, value: Callable[[Any], Any]) -> list[Any]:
        """The values of the alternatives that have one. Raises UnknownError where none has."""
        every, unknown = [], UnknownError(self.key)
        for each in self.value:
            try:
                every.append(value(each))
            except UnknownError as error:
                unknown = error
        if not every:
            raise unknown
        return every


class Optional(Matcher):
    """What may be absent: the walk over an object's keys sees to that, and to where it may stand."""

    key = "$optional"

    def flaw(self) -> str:
        return "stands only as the direct value of an object's key"

    def reasons(self, got: Any, place: Place) -> list[str]:
        return mismatches(self.value, got, place)

    def describe(self) -> str:
        return describe(self.value)

    def inner(self) -> list[tuple[str, Any]]:
        return [("", self.value)]

    def example(self, pick: int) -> Any:
        return example(self.value, pick)


class Number(Matcher):
    """A number, give or take a tolerance."""

    key = "$number"
    is_named = True
    options = frozenset({"tolerance"})

    def __init__(self, written: Json) -> None:
        super().__init__(written)
        self._tolerance = written.get("tolerance", 0)

    def flaw(self) -> str:
        if type(self._tolerance) not in _NUMBERS or self._tolerance < 0:
            return f"expected a tolerance of 0 or more, found {show(self._tolerance)}"
        return "" if type(self.value) in _NUMBERS else f"expected a number, found {show(self.value)}"

    def accepts(self, got: Any) -> bool:
        if type(got) not in _NUMBERS or got - got != 0:  # inf and NaN are near no number
            return False
        return abs(_exact(got) - _exact(self.value)) <= _exact(self._tolerance)

    def describe(self) -> str:
        return f"{self.value} ± {self._tolerance}"


class Schema(Matcher):
    """What is valid by a JSON Schema."""

    key = "$schema"

    def flaw(self) -> str:
        return schema_problem(self.value)

    def accepts(self, got: Any) -> bool:
        return not schema_errors(self.value, got)


class Anything(Matcher):
    """Any value that is there."""

    key = "$anything"

    def flaw(self) -> str:
        return "" if self.value is True else f"expected true, found {show(self.value)}"

    def accepts(self, got: Any) -> bool:
        del got
        return True

    def describe(self) -> str:
        return "anything"


class Literal(Matcher):
    """Exactly a value, whatever its keys begin with."""

    key = "$literal"
    is_named = True

    def accepts(self, got: Any) -> bool:
        return identity(self.value) == identity(got)

    def describe(self) -> str:
        return show(self.value)


def _exact(number: float) -> Fraction:
    return Fraction(str(number))
