"""The quick look at a value says what jsonschema says, of our own schemas and of any with the same keywords."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gate.system import schema as shape
from gate.types import (
    Attribution,
    Check,
    Checkup,
    Contract,
    Determinism,
    Forced,
    Interval,
    Json,
    Judged,
    Judging,
    Means,
)
from tests.project import TOOL, a_case
from tests.reports import WHOLE, as_json, asked

CALL = {"id": "c", "type": "function", "function": {"name": "terminal", "arguments": {}}}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "done", "tool_call_id": "c", "name": "terminal"},
]
MORE = {"tags": ["a", "b"], "source": "mine", "max_tokens": 64, "replaces": "old", "system": "s", "system_suffix": "t"}
FOUND = Check("P01", "n", "found", "warn", "m", ("x",), "r")
INTERVAL = Interval(0.5, 0, 1)
CHECKUP = Checkup(
    *("", 0.5, 1, 0, (1, 5), {"a": None}, ((1, 2),), 1, 0, INTERVAL, 0.5, {"1-2": 1}, 0.1, ("f",)),
    tests={"t": Means(None, None), "u": Means(1, INTERVAL)},
)
JUDGING = Judging("", "", True, "", "", "", {}, "", "", {"r": CHECKUP}, 1.5, (), ("w",))
MADE = replace(
    WHOLE.made,
    attribution=Attribution("off", 0.0, {"why": 1}),
    determinism=Determinism(None, 1, margins={"a": None}),
    preflight=(FOUND, replace(FOUND, status="ok", found=())),
    suites={"a.py": "0" * 64},
    forced=(Forced("s", 1, "r"),),
    judge=JUDGING,
)
FULL = Contract("t", "c.jsonl", "1" * 64, ("a", "b"), 0.5, drop=1, bound=0.5, floors={"x": 1.0}, tagged={"x": ("a",)})
SCORED = replace(WHOLE.results[0], judged=Judged(1, (1,), "r", ruled=True))
GOOD: dict[str, list[Any]] = {
    "case": [a_case("a"), a_case("a", tools=[TOOL], messages=TALK, **MORE)],
    "report": [as_json(WHOLE), as_json(asked(FULL, results=(SCORED,), made=MADE))],
}
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from([0.0, 1.0, 0.5]) | st.sampled_from(["", "a", "ab"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner), max_leaves=6
)


def schema(name: str) -> Json:
    text = resources.files("gate").joinpath(f"schemas/{name}.json").read_text(encoding="utf-8")
    value: Json = json.loads(text)
    return value


def look_of(rules: Json) -> shape.Look:
    look = shape.look(rules)
    if look is None:
        pytest.fail(f"cannot be followed: {rules}")
    return look


OWN = {name: (look_of(schema(name)), Draft202012Validator(schema(name))) for name in GOOD}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_what_is_valid_gets_a_yes_at_once(name: str, value: Any) -> None:
    look, exact = OWN[name]
    assert [error.message for error in exact.iter_errors(value)] == []
    assert look(value)
    assert shape.error(name, value) is None


@settings(max_examples=300, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(GOOD)))
def test_a_changed_value_is_judged_as_jsonschema_judges_it(data: st.DataObject, name: str) -> None:
    value = copy.deepcopy(data.draw(st.sampled_from(GOOD[name])))
    for _ in range(data.draw(st.integers(1, 2))):
        change(value, data)
    look, exact = OWN[name]
    assert look(value) == exact.is_valid(value)
    assert (shape.error(name, value) is None) == exact.is_valid(value)


def change(value: Any, data: st.DataObject) -> None:
    """Replace, remove or add one part, somewhere in a value."""
    every = [part for part in inside(value) if part]
    place = data.draw(st.sampled_from(every))
    spot = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
    what = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if what == "remove":
        del place[spot]
    elif what == "replace" or isinstance(place, list):
        place[spot] = data.draw(
            VALUES
            | st.sampled_from(
                [place[other] for other in range(len(place))] if isinstance(place, list) else list(place.values())
            )
        )
    else:
        place[data.draw(st.sampled_from(["a", "raw", "tags", "score", "kappa"]))] = data.draw(VALUES)


def inside(value: Any) -> list[Any]:
    """Every object and list in a value, itself among them."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [] if parts is None else [value, *(found for part in parts for found in inside(part))]


def schemas() -> st.SearchStrategy[Any]:
    names, sizes = st.lists(st.sampled_from("ab"), unique=True), st.integers(0, 2)
    types = st.sampled_from(["object", "array", "string", "boolean", "null", "number", "integer"])
    fields: dict[str, st.SearchStrategy[Any]] = {
        "type": types | st.lists(types, min_size=1, max_size=3, unique=True),
        "required": names,
        "uniqueItems": st.booleans(),
        "const": st.sampled_from([1, 0, 1.0, "a", ""]),
        "enum": st.lists(st.sampled_from([1, 0, 0.5, "a", "ab"]), min_size=1, max_size=3, unique=True),
        "pattern": st.sampled_from(["^a", "b", "^$"]),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties"), sizes),
        **dict.fromkeys(("description", "format", "default"), st.sampled_from(["date", "a"])),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum"), st.sampled_from([-1, 0, 0.5, 1])),
        "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
    }

    def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        holding = {
            "properties": st.dictionaries(st.sampled_from("ab"), inner, min_size=1),
            "additionalProperties": inner,
            "items": inner,
            **dict.fromkeys(("oneOf", "anyOf"), st.lists(inner, min_size=1, max_size=3)),
            "if": inner,
            "then": inner,
        }
        return st.fixed_dictionaries({}, optional=fields | holding)

    return st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=fields), wider, max_leaves=6)


TEXT, LIST = {"type": "string"}, {"type": "array"}
PLAIN: list[Json] = [
    *[{"type": each} for each in ("object", "array", "string", "boolean", "null", "number", "integer")],
    *[{"type": ["null", "integer"]}, {"required": ["a", "b"]}, {"required": []}, {"items": TEXT}, {"items": False}],
    *[{"uniqueItems": True}, {"uniqueItems": False}, {"const": 1}, {"const": "a"}, {"enum": ["a", 0, 0.5]}],
    *[{"pattern": "^a"}, {"pattern": "b"}, {"minLength": 1}, {"maxLength": 1}, {"minItems": 2}, {"maxItems": 1}],
    *[{"minProperties": 1}, {"minimum": 1}, {"maximum": 1}, {"exclusiveMinimum": 1}, {"minimum": 0.5}],
    *[{"properties": {"a": TEXT}}, {"additionalProperties": TEXT}, {"properties": {"a": True}, "title": "t"}],
    *[{"properties": {"a": TEXT}, "additionalProperties": False}, {"properties": {"a": False}}],
    *[{"oneOf": [TEXT, {"minLength": 2}]}, {"oneOf": [TEXT, LIST, {"const": "a"}]}, {"oneOf": [False]}],
    *[{"anyOf": [TEXT, {"minItems": 2}]}, {"anyOf": [False]}, {"format": "date", "default": 1, "examples": [{}]}],
    *[{"if": TEXT, "then": {"minLength": 2}}, {"if": {"required": ["a"]}, "then": {"minProperties": 2}}],
    *[{"if": TEXT}, {"then": TEXT}, {"$ref": "#/$defs/a", "$defs": {"a": TEXT}}, {}],
]
EACH: list[Any] = [
    *[None, True, False, 0, 1, 2, -1, 0.0, 0.5, 1.0, 1.5, 2**70, "", "a", "b", "ab", "ba", "a\n", [], [1], ["a"]],
    *[["a", "b"], ["a", "a"], [1, 1], [1, True], [1, 1.0], [0, False], [[1], [1]], [{"a": 1}, {"a": 1}], [None, None]],
    *[["a", 1], {}, {"a": 1}, {"a": "x"}, {"b": "x"}, {"a": "x", "b": 1}, {"a": "x", "b": "y", "c": "z"}],
]


@pytest.mark.parametrize("rules", PLAIN, ids=str)
def test_each_keyword_says_of_each_value_what_jsonschema_says(rules: Json) -> None:
    look, exact = look_of(rules), Draft202012Validator(rules)
    assert [look(value) for value in EACH] == [exact.is_valid(value) for value in EACH]


LEAVES = st.fixed_dictionaries({}, optional={"type": st.sampled_from(["string", "array"]), "minLength": st.just(1)})


@settings(max_examples=500, deadline=None)
@given(whole=schemas(), a=LEAVES, b=LEAVES, value=VALUES)
def test_any_schema_of_these_keywords_is_followed_as_jsonschema_does(whole: Any, a: Json, b: Json, value: Any) -> None:
    rules = (whole if isinstance(whole, dict) else {"oneOf": [whole]}) | {"$defs": {"a": a, "b": b}}
    assert look_of(rules)(value) == Draft202012Validator(rules).is_valid(value)


@pytest.mark.parametrize(
    "rules",
    [
        {"properties": {"a": {"not": {}}}},
        {"const": [1]},
        {"enum": [None]},
        {"multipleOf": 2},
        {"not": {"const": [True]}},
    ],
)
def test_keywords_that_our_own_schemas_have_not_are_followed_too(rules: Json) -> None:
    look, exact = look_of(rules), Draft202012Validator(rules)
    assert [look(value) for value in EACH] == [exact.is_valid(value) for value in EACH]


@pytest.mark.parametrize(
    "rules",
    [
        {"$ref": "#/$defs/a", "$defs": {}},
        {"$ref": "http://127.0.0.1:9/x"},
        {"type": "integr"},
        {"pattern": "("},
        {"enum": 1},
    ],
)
def test_a_schema_that_cannot_be_followed_is_left_to_jsonschema(rules: Json) -> None:
    assert shape.look(rules) is None


def test_a_tuple_is_an_array() -> None:
    row = a_case("a", tags=("x", "y"))
    assert shape.error("case", row) is None
    found = shape.error("case", row | {"id": "a b"})
    assert found is not None
    assert found.json_path == "$.id"


@pytest.mark.parametrize("value", [object(), {1: 2}, "\ud800", {1, 2}, b"a"])
def test_what_is_no_json_gets_no_yes(value: Any) -> None:
    assert not look_of({})(value)


def test_a_definition_that_holds_itself_is_followed() -> None:
    rules = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    assert look_of(rules)([[], [[]]])
    assert not look_of(rules)([[], [1]])
