"""One expected value against one given value."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gate.cases import json_schema
from gate.cases.json_schema import MAX_DEPTH, MAX_TEXT, MAX_VALUES, unfit
from gate.cases.matchers.matcher import Place, mismatches, problems
from gate.errors import CaseError
from gate.system.text import join, one_line, show

ANYTHING = {"$anything": True}


def fits(expected: Any, got: Any, schema: Any = None) -> bool:
    assert problems(expected, "x") == []
    return mismatches(expected, got, Place("x", schema, schema)) == []


ACCEPTED = [
    (1, 1),
    (1, 1.0),
    (0, -0.0),
    (2**53 + 1, 2**53 + 1),
    ("é", "é"),
    (None, None),
    ([1, [2]], [1, [2.0]]),
    ({}, {}),
    ({"a": {"b": [1]}}, {"a": {"b": [1]}}),
    ({"$any": [1, {"$regex": "a+"}]}, "aaa"),
    ({"$any": [1, {"$regex": "a+"}]}, 1.0),
    ({"$any": [{"a": {"$optional": 1}}]}, {}),
    ({"a": {"$optional": 1}}, {}),
    ({"a": {"$optional": 1}}, {"a": 1}),
    ({"a": {"$optional": {"$regex": "b"}}}, {"a": "b"}),
    ({"$regex": "a|ab"}, "ab"),
    ({"$regex": "(?i)PWD"}, "pwd"),
    ({"$contains": "b"}, "abc"),
    ({"$contains": 2}, [1, 2.0]),
    ({"$contains": {"$regex": "b+"}}, ["a", "bb"]),
    ({"$contains": {"a": 1}}, [{"a": 1}]),
    ({"$text": "New York"}, "new-york."),
    ({"$text": "Straße"}, "STRASSE"),
    ({"$text": "caf\u00e9"}, "Cafe\u0301"),
    ({"$number": 3.1, "tolerance": 0.01}, 3.11),
    ({"$number": 3.1, "tolerance": 0.01}, 3.09),
    ({"$number": 5}, 5.0),
    ({"$number": 2**60}, 2**60),
    ({"$schema": {"type": "integer", "minimum": 3}}, 3),
    ({"$schema": {}}, None),
    (ANYTHING, None),
    (ANYTHING, {"deep": [1]}),
    ({"$literal": {"$regex": "a"}}, {"$regex": "a"}),
    ([{"a": ANYTHING}, {"$number": 1}], [{"a": []}, 1]),
    ({"$literal": {}}, {}),
]

REFUSED = [
    (1, "1"),
    ("1", 1),
    (1, True),
    (True, 1),
    (0, False),
    (False, None),
    ([1], [True]),
    ({"a": [0]}, {"a": [False]}),
    (2**53, 2**53 + 1),
    (float(2**53), 2**53 + 1),
    ("é", "e\u0301"),
    ("a", "A"),
    ("a", "a "),
    (None, 0),
    ([], {}),
    ([1, 2], [2, 1]),
    ([1], [1, 1]),
    ([1], [[1]]),
    ({"a": None}, {}),
    ({}, {"a": None}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": {}}, {"a": {"b": 1}}),
    ({"$any": [1, {"$regex": "a+"}]}, True),
    ({"$any": [{"a": {"$optional": 1}}]}, {"a": 2}),
    ({"a": {"$optional": 1}}, {"a": None}),
    ({"$regex": "a"}, "ab"),
    ({"$regex": "a"}, "a\n"),
    ({"$regex": "1"}, 1),
    ({"$regex": "True"}, True),
    ({"$regex": "a"}, ["a"]),
    ({"$regex": "a*"}, "a" * (MAX_TEXT + 1)),
    ({"$contains": "b"}, "ABC"),
    ({"$contains": "b"}, ["abc"]),
    ({"$contains": "b"}, {"b": 1}),
    ({"$contains": 1}, "1"),
    ({"$contains": 1}, [True]),
    ({"$contains": {"$regex": "b"}}, "b"),
    ({"$contains": 1}, []),
    ({"$text": "a"}, "ab"),
    ({"$text": "5"}, 5),
    ({"$text": "a"}, ["a"]),
    ({"$number": 3.1, "tolerance": 0.01}, 3.12),
    ({"$number": 1}, True),
    ({"$number": 1}, "1"),
    ({"$number": 1}, None),
    ({"$number": 2**60}, 2**60 + 1),
    ({"$number": float(2**60)}, 2**60 + 1),
    ({"$schema": {"type": "integer"}}, True),
    ({"$schema": {"type": "string", "pattern": "^a"}}, "b"),
    ({"$literal": {"$regex": "a"}}, "a"),
    ({"$literal": {"a": 1}}, {"a": True}),
    ({"$literal": {"a": {"$optional": 1}}}, {}),
]


@pytest.mark.parametrize(("expected", "got"), ACCEPTED)
def test_a_value_is_accepted(expected: Any, got: Any) -> None:
    assert fits(expected, got)


@pytest.mark.parametrize(("expected", "got"), REFUSED)
def test_a_value_is_refused_with_a_reason(expected: Any, got: Any) -> None:
    assert not fits(expected, got)


DECLARED = {
    "type": "object",
    "properties": {
        "limit": {"type": "integer", "default": 10},
        "options": {"$ref": "#/$defs/options"},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/options"}},
        "flag": True,
        "shape": {"default": {"a": 1}},
        "loop": {"$ref": "#/$defs/loop"},
        "none": {"type": ["string", "null"], "default": None},
    },
    "$defs": {
        "options": {"properties": {"page": {"default": 1}, "a~/b": {}}},
        "loop": {"$ref": "#/$defs/loop"},
    },
}


@pytest.mark.parametrize(
    ("expected", "got", "fit"),
    [
        ({}, {"limit": 10}, True),
        ({}, {"limit": 10.0}, True),
        ({}, {"limit": 11}, False),
        ({}, {"limit": True}, False),
        ({}, {"flag": True}, False),
        ({}, {"none": None}, True),
        ({}, {"none": ""}, False),
        ({}, {"shape": {"a": 1}}, True),
        ({}, {"shape": {}}, False),
        ({"limit": 10}, {}, True),
        ({"limit": ANYTHING}, {}, True),
        ({"limit": 11}, {}, False),
        ({"limit": {"$optional": 11}}, {}, True),
        ({"limit": {"$optional": 11}}, {"limit": 10}, False),
        ({"options": {}}, {"options": {"page": 1}}, True),
        ({"options": {}}, {"options": {"page": 2}}, False),
        ({"options": {"page": 1}}, {"options": {}}, True),
        ({}, {"options": {"page": 1}}, False),
        ({}, {"options": {}}, False),
        ({"$any": [{"options": {"page": 1}}, {"flag": 1}]}, {"options": {}}, True),
        ({"rows": [{}, {"page": 1}]}, {"rows": [{"page": 1}, {}]}, True),
        ({"rows": [{}]}, {"rows": [{"page": 2}]}, False),
        ({"loop": {}}, {"loop": {"page": 1}}, False),
        ({"$literal": {}}, {"limit": 10}, False),
    ],
)
def test_a_declared_default_counts_as_given(expected: Any, got: Any, fit: bool) -> None:
    assert fits(expected, got, DECLARED) is fit


def test_the_items_of_a_tuple_schema_lend_no_defaults() -> None:
    schema = {"prefixItems": [{}], "items": {"properties": {"page": {"default": 1}}}}
    assert not fits([{}], [{"page": 1}], schema)


def test_reasons_name_the_path_and_set_expected_beside_got() -> None:
    expected = {"a": [{"b": "pwd"}], "the key": 1, "c": {"$regex": "x"}}
    assert mismatches(expected, {"a": [{"b": "ls"}], "the key": None, "d": 5}, Place("terminal")) == [
        'terminal.a[0].b: expected "pwd", got "ls"',
        'terminal["the key"]: expected 1, got null',
        "terminal.c: expected /x/, got nothing",
        "terminal.d: expected nothing, got 5",
    ]


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"$regexp": "a"}, "x.$regexp: is not a matcher"),
        ({"$regex": "a", "b": 1}, 'x.$regex: a matcher stands alone, found also ["b"]'),
        ({"$regex": "a", "tolerance": 1}, "x.$regex: a matcher stands alone"),
        ({"a": [{"$regex": "("}]}, "x.a[0].$regex: the pattern"),
        ({"$regex": "(" * 5000}, "x.$regex: the pattern"),
        ({"$regex": 5}, "x.$regex: expected a pattern, found 5"),
        ({"$regex": ""}, "x.$regex: expected a pattern"),
        ({"$any": []}, "x.$any: expected a list of some"),
        ({"$any": 5}, "x.$any: expected a list of some"),
        ({"$any": [{"$text": 5}]}, "x.$any[0].$text: nothing to compare in 5"),
        ({"$any": [{"$optional": 5}]}, "x.$any[0].$optional: stands only"),
        ({"$optional": 5}, "x.$optional: stands only"),
        ([{"$optional": 5}], "x[0].$optional: stands only"),
        ({"a": {"$optional": {"$optional": 5}}}, "x.a.$optional: stands only"),
        ({"a": {"$optional": 1, "b": 2}}, "x.a.$optional: a matcher stands alone"),
        ({"$contains": ""}, "x.$contains: every text contains the empty one"),
        ({"$contains": {"$regex": "["}}, "x.$contains.$regex: the pattern"),
        ({"$text": "-.-"}, "x.$text: nothing to compare"),
        ({"$number": True}, "x.$number: expected a number, found true"),
        ({"$number": "1"}, "x.$number: expected a number"),
        ({"$number": 1, "tolerance": -1}, "x.$number: expected a tolerance of 0 or more, found -1"),
        ({"$number": 1, "tolerance": "0"}, "x.$number: expected a tolerance"),
        ({"$number": float("inf")}, "x: has a number beyond"),
        ({"$schema": {"type": "integr"}}, "x.$schema: invalid schema at $.type"),
        ({"$schema": True}, "x.$schema: expected a schema object"),
        ({"$schema": {"pattern": "("}}, "x.$schema: invalid schema at $.pattern"),
        ({"$schema": {"$ref": "http://127.0.0.1:9/x"}}, "x.$schema: invalid schema: "),
        (
            {"$schema": {"properties": {"a": {"$ref": "#/$defs/a"}}}},
            "x.$schema: invalid schema: '/$defs/a' does not exist",
        ),
        ({"$schema": {"$ref": "#"}}, "x.$schema: invalid schema: a schema's $ref"),
        ({"$anything": 1}, "x.$anything: expected true, found 1"),
        ({"a": float("nan")}, "x: has a number beyond"),
        ({"a": {1: 2}}, "x: has a key that is not a text"),
    ],
)
def test_a_matcher_written_wrongly_is_named_with_its_path(expected: Any, problem: str) -> None:
    found = problems(expected, "x")
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_schema_may_have_a_property_called_ref() -> None:
    assert problems({"$schema": {"properties": {"$ref": {"type": "string"}}, "$schema": "http://unknown/"}}, "x") == []


@settings(max_examples=2000, deadline=None)
@given(st.from_regex(json_schema._SURELY_PATTERN, fullmatch=True))
def test_what_surely_is_a_pattern_compiles(pattern: str) -> None:
    assert regex.compile(pattern).pattern == pattern


def test_common_patterns_surely_are_and_others_are_compiled() -> None:
    for pattern in (r"cat \./notes\.txt", r"\bls\b.*-la?", r"\d\d:\d\d", "ü+ ,;#&~-", r"a\$b"):
        assert json_schema._SURELY_PATTERN.fullmatch(pattern)
    for pattern in ("a**", "a|b", "(", "[", "a{2}", "\\", r"\q", r"\b*", "+", "a\n" * 1001):
        assert not json_schema._SURELY_PATTERN.fullmatch(pattern)


def test_a_pattern_that_backtracks_without_end_is_the_cases_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "SECONDS", 0.1)
    for expected in ({"$regex": "(a|aa)+b"}, {"$schema": {"pattern": "^(a|aa)+b$"}}):
        with pytest.raises(CaseError, match=r"\(a\|aa\)\+b"):
            mismatches(expected, "a" * 60, Place("x"))


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        (_nested(MAX_DEPTH - 1), ""),
        (_nested(MAX_DEPTH), "is nested deeper than"),
        (_nested(10_000), "is nested deeper than"),
        ([0] * MAX_VALUES, "has more than"),
        (dict.fromkeys(map(str, range(10**6)), 1), "has more than"),
        (float("inf"), "has a number beyond"),
        ([float("nan")], "has a number beyond"),
        (10**400, "has a number beyond"),
        ([10**5000], "has a number beyond"),
        ({1: 2}, "has a key that is not a text"),
        (["a" * (MAX_TEXT + 1)], "has a key that is not a text, or a text of more than"),
        ({"a" * (MAX_TEXT + 1): 1}, "has a key that is not a text, or a text of more than"),
        ([object()], "has a object"),
        ({"a": (1,)}, "has a tuple"),
        ("\ud800", ""),
        (True, ""),
    ],
)
def test_what_cannot_be_compared_is_told(value: Any, flaw: str) -> None:
    assert unfit(value).startswith(flaw)
    assert bool(unfit(value)) == bool(flaw)


def test_a_recursive_schema_is_followed_to_the_greatest_depth() -> None:
    tree = {
        "$ref": "#/$defs/tree",
        "$defs": {"tree": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/tree"}}]}},
    }
    assert sys.getrecursionlimit() <= 1000
    assert fits({"$schema": tree}, _nested(MAX_DEPTH - 1))


def test_texts_stay_on_one_line_and_short() -> None:
    assert show("a\n\x1b[31m\u2028\u202e\ud800") == r'"a\n\u001b[31m\u2028\u202e\ud800"'
    assert show("é" * 99, 10) == '"éééééééé…'
    assert len(one_line("\x00" * 10**6)) == 200
    assert show({1, 2}) == "<set, not JSON>"
    assert show(_nested(10_000), 5) == "[[[[…"
    assert "int" in show(10**5000)
    assert join("a", "b c\n") == r'a["b c\n"]'


def test_a_megabyte_is_shown_quickly() -> None:
    start = time.process_time()  # of this process alone: the machine may be busy
    assert mismatches({"$text": "a"}, "b\n" * 500_000, Place("x"))[0].endswith("…")
    assert time.process_time() - start < 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
@example(math.inf)
@example(-math.inf)
@example(math.nan)
def test_every_value_fits_itself_as_a_literal_and_no_value_raises(value: Any) -> None:
    if not unfit(value):
        assert fits({"$literal": value}, value)
    for expected, _ in ACCEPTED:
        assert all(line.isprintable() for line in mismatches(expected, value, Place("x", DECLARED, DECLARED)))


@given(JSON)
def test_checking_any_expectation_gives_short_lines(value: Any) -> None:
    assert all(line.isprintable() and len(line) <= 200 for line in problems(value, "x"))
