"""What was found out about a value is remembered for equal ones, and for no other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.system.memoize import memoized

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def counted(most: int = 4) -> tuple[Any, list[Any]]:
    """A function that remembers, and all that it looked at."""
    seen: list[Any] = []

    @memoized(most)
    def look(value: Any) -> str:
        """What it is."""
        seen.append(value)
        return repr(value)

    return look, seen


def test_an_equal_value_is_looked_at_once() -> None:
    look, seen = counted()
    assert look([{"a": 1}]) == look([{"a": 1}]) == "[{'a': 1}]"
    assert seen == [[{"a": 1}]]
    assert look.__doc__ == "What it is."


@pytest.mark.parametrize("other", [True, 1.0, "1", [1], (1,), {"1": 1}, None])
def test_what_python_or_json_could_take_for_the_same_is_not(other: Any) -> None:
    look, _ = counted()
    look(1), look([1]), look({1: 1})
    assert look(other) == repr(other)
    assert look([other]) == repr([other])


def test_a_value_that_was_changed_is_looked_at_again() -> None:
    look, _ = counted()
    value = {"a": [1]}
    look(value)
    value["a"].append(2)
    assert look(value) == "{'a': [1, 2]}"


def test_what_is_no_plain_value_is_looked_at_each_time() -> None:
    look, seen = counted()
    odd = [object()]
    assert look(odd) == look(odd) == repr(odd)
    circle: list[Any] = []
    circle.append(circle)
    assert look(circle) == "[[...]]"
    assert len(seen) == 3


def test_only_the_last_ones_are_remembered() -> None:
    look, seen = counted(most=2)
    for value in (1, 2, 3, 1, 1):
        look(value)
    assert seen == [1, 2, 3, 1]


LOOK, _ = counted(most=1000)


@given(VALUES)
def test_every_value_gets_what_was_found_of_itself(value: Any) -> None:
    assert LOOK(value) == repr(value)
