"""A value is valid by a JSON Schema just where jsonschema says so, whichever library was asked, and within a time."""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, SchemaError

from gate.authoring.importers.bfcl import run
from gate.authoring.importers.result import Refused
from gate.cases import json_schema, loader
from gate.cases.json_schema import schema_errors, schema_problem
from gate.cases.matchers.matcher import UnknownError, example
from gate.errors import CaseError
from gate.types import Json

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "fixtures"
KEYS, TEXTS = st.sampled_from(["a", "b", "ab"]), st.sampled_from(["", "a", "ab", "b1", "1", "a\n", "٣", "é", "A_b"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 0.5, 1.5, 0.3, 2.0**60]) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
TYPES = st.sampled_from(["object", "array", "string", "boolean", "null", "number", "integer"])
PATTERNS = ["^a", "b$", "^$", r"^\d+$", r"\D", r"^\w+$", r"\s", "^[a-z]+$", "(?i)A", "a(?!b)", r"(?<=a)b", r"^\p{L}+$"]
"""What the engines of Rust, of Python and of `regex` read alike, and what they do not."""


def valid(schema: Json, value: Any) -> bool:
    return not schema_errors(schema, value)


def exactly(schema: Json, value: Any) -> bool:
    """What jsonschema says, with patterns of the library `regex`."""
    return bool(json_schema._validator_class()(schema).is_valid(value))


def schemas() -> st.SearchStrategy[Any]:
    sizes, numbers = st.integers(0, 2), st.sampled_from([-1, 0, 0.5, 1, 2])
    plain: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "required": st.lists(KEYS, unique=True),
        "uniqueItems": st.booleans(),
        "const": VALUES,
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "pattern": st.sampled_from(PATTERNS),
        "multipleOf": st.sampled_from([1, 2, 0.5, 0.1]),
        "dependentRequired": st.dictionaries(KEYS, st.lists(KEYS, unique=True), max_size=2),
        "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
        "format": st.just("date"),
        "minContains": sizes,
        "maxContains": sizes,
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), sizes),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), numbers),
    }

    def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        one = ("additionalProperties", "items", "if", "then", "else", "not", "contains", "propertyNames")
        some = ("oneOf", "anyOf", "allOf", "prefixItems")
        holding = {
            "properties": st.dictionaries(KEYS, inner, min_size=1),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=1),
            "dependentSchemas": st.dictionaries(KEYS, inner, max_size=1),
            **dict.fromkeys((*one, "unevaluatedProperties", "unevaluatedItems"), inner),
            **dict.fromkeys(some, st.lists(inner, min_size=1, max_size=3)),
        }
        return st.fixed_dictionaries({}, optional=plain | holding)

    return st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=plain), wider, max_leaves=6)


LEAVES = st.fixed_dictionaries(
    {}, optional={"type": TYPES, "minLength": st.just(1), "pattern": st.sampled_from(PATTERNS)}
)


@settings(max_examples=600, deadline=None)
@given(whole=schemas(), a=LEAVES, b=LEAVES, value=VALUES)
def test_any_schema_is_followed_as_jsonschema_does(whole: Any, a: Json, b: Json, value: Any) -> None:
    rules = (whole if isinstance(whole, dict) else {"oneOf": [whole]}) | {"$defs": {"a": a, "b": b}}
    assert valid(rules, value) == exactly(rules, value)


@settings(max_examples=600, deadline=None)
@given(whole=schemas(), data=st.data())
def test_what_is_no_schema_is_told_as_jsonschema_tells_it(whole: Any, data: st.DataObject) -> None:
    rules: Json = (whole if isinstance(whole, dict) else {"oneOf": [whole]}) | {"$defs": {"a": {}, "b": True}}
    inside = [part for _, part in json_schema.parts(rules) if isinstance(part, dict) and part]
    part = data.draw(st.sampled_from(inside))
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(VALUES)
    wrong = schema_problem(rules)
    try:
        Draft202012Validator.check_schema(rules)
    except SchemaError:
        assert wrong.startswith("invalid schema at ")
    else:
        assert not wrong.startswith("invalid schema at ")


def asked(case: Any) -> list[tuple[Json, Any]]:
    """(schema of the tool, arguments that a case expects, and such that are wrong) of each call."""
    pairs = []
    offered = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in case.tools}
    for call in case.expect.get("calls", []):
        try:
            made = example(call["arguments"], 0)
        except UnknownError:
            made = dict.fromkeys(call["arguments"], "x")
        wrong = [{}, made | {"more": 1}, {key: [value] for key, value in made.items()}]
        pairs += [(offered[call["name"]], each) for each in (made, *wrong)]
    return pairs


def test_the_projects_own_cases_are_judged_as_jsonschema_judges_them() -> None:
    pairs = [
        pair for name in loader.files(FIXTURES) for case in loader.load(name, FIXTURES).cases for pair in asked(case)
    ]
    assert len(pairs) > 400
    assert [valid(*pair) for pair in pairs] == [exactly(*pair) for pair in pairs]
    assert {valid(*pair) for pair in pairs} == {True, False}


def test_what_bfcl_asks_is_judged_as_jsonschema_judges_it() -> None:
    pytest.importorskip("bfcl_eval", reason="the benchmark's data: pip install -e .[dev]")
    rows = [row for _, row in run.read(None) if not isinstance(row, Refused)]
    pairs = [pair for row in rows[::3] for pair in asked(loader.parse(row | {"split": "dev"}, FIXTURES))]
    assert len(pairs) > 1000
    assert [valid(*pair) for pair in pairs] == [exactly(*pair) for pair in pairs]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_that_of_the_library_regex_wherever_it_stands(pattern: str) -> None:
    texts = ["", "a", "ab", "b1", "1", "a\n", "٣", "é", "A_b", " ", "\u3000"]
    for rules in ({"pattern": pattern}, {"not": {"pattern": pattern}}, {"properties": {"a": {"pattern": pattern}}}):
        values = [{"a": text} for text in texts] if "properties" in rules else texts
        assert [valid(rules, value) for value in values] == [exactly(rules, value) for value in values]


def test_a_pattern_that_only_regex_reads_is_followed_and_one_that_python_does_not_is_told() -> None:
    for pattern in ("a++b", "(?>a|ab)c", r"(?P<x>a)(?P=x)"):
        assert schema_problem({"pattern": pattern}) == ""
        assert valid({"pattern": pattern}, "aab abc") == exactly({"pattern": pattern}, "aab abc")
    assert schema_problem({"pattern": r"^\p{L}+$"}).startswith("invalid schema at $.pattern")


@pytest.mark.parametrize(
    "rules", [{"pattern": "^(a|aa)+b$"}, {"properties": {"x": {"not": {"pattern": "^(a|aa)+b$"}}}}]
)
def test_patterns_are_bounded_in_time(rules: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "SECONDS", 0.1)
    begun = time.perf_counter()
    with pytest.raises(CaseError, match=r"the pattern .* fails on"):
        schema_errors(rules, "a" * 60 if "pattern" in rules else {"x": "a" * 60})
    assert time.perf_counter() - begun < 3


@pytest.mark.parametrize(
    "rules",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "properties": {"x": {"$ref": "#/$defs/a"}}},
        {"properties": {"x": {"$ref": "#/properties/x"}}},
        {"properties": {"x": {"$ref": "#/$defs/gone"}}},
        {"properties": {"x": {"$ref": "http://127.0.0.1:9/x"}}},
    ],
)
def test_a_reference_in_circles_or_to_nothing_is_the_cases_fault(rules: Json) -> None:
    with pytest.raises(CaseError, match="leads nowhere or in circles"):
        schema_errors(rules, {"x": 1})


def test_a_reference_to_a_definition_takes_the_quick_way() -> None:
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}
    look = json_schema._look(tree)
    assert look is not None
    assert look([[], [[]]])
    assert not valid(tree, [[], [1]])
    assert json_schema._look({"multipleOf": 0.1}) is None
    assert valid({"multipleOf": 0.1}, 0.3) == exactly({"multipleOf": 0.1}, 0.3)


def test_thousands_of_values_are_judged_at_once() -> None:
    tools = json.loads((FIXTURES / "tools/hermes.json").read_text())
    terminal = next(tool for tool in tools if tool["function"]["name"] == "terminal")["function"]["parameters"]
    begun = time.process_time()
    assert all(valid(terminal, {"command": str(number)}) for number in range(10_000))
    assert time.process_time() - begun < 2
    assert list(islice(Draft202012Validator(terminal).iter_errors({"command": "x"}), 1)) == []
