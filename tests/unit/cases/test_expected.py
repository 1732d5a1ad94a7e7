"""What a case expects of calls and of an answer."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.cases import json_schema
from gate.cases.expected import MAX_CALLS, MAX_REASONS, ExpectedAnswer, ExpectedCalls, check, compare
from gate.errors import CaseError

Json = dict[str, Any]


def tool(name: str, properties: Json, *required: str, **more: Any) -> Json:
    parameters = {"type": "object", "properties": properties, "required": list(required), **more}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


def call(name: str, **arguments: Any) -> Json:
    return {"name": name, "arguments": arguments}


def asked(*calls: Json, **more: Any) -> Json:
    return {"calls": list(calls), **more}


TEXT = {"type": "string"}
TERMINAL = tool("terminal", {"command": TEXT, "timeout": {"type": "integer", "default": 30}}, "command")
BROWSER = tool("browser_navigate", {"url": TEXT}, "url")
SEARCH = tool(
    "search",
    {"q": TEXT, "n": {"type": "integer", "enum": [1, 2, 3]}, "filter": {"$ref": "#/$defs/filter"}},
    "q",
    **{"$defs": {"filter": {"type": "object", "properties": {"lang": {"type": "string", "default": "en"}}}}},
)
OPEN = tool("open", {"a": TEXT}, additionalProperties=True)
PING = {"type": "function", "function": {"name": "ping"}}
TOOLS = [TERMINAL, BROWSER, SEARCH, OPEN, PING]
PWD = call("terminal", command="pwd")


@pytest.mark.parametrize(
    ("expect", "calls"),
    [
        ({}, [PWD]),
        ({}, "anything"),
        (asked(), []),
        (asked(PWD), [PWD]),
        (asked(PWD), [{**PWD, "id": "call_1"}]),
        (asked(PWD), [call("terminal", command="pwd", timeout=30)]),
        (asked(PWD), [call("terminal", command="pwd", timeout=30.0)]),
        (asked(call("terminal", command="pwd", timeout=30)), [PWD]),
        (asked(call("terminal", command="pwd", timeout={"$optional": 5})), [PWD]),
        (asked(call("ping")), [call("ping")]),
        (asked({"name": "terminal", "arguments": {"$anything": True}}), [PWD]),
        (asked({"name": "search", "arguments": {"$any": [{"q": "a"}, {"q": "b"}]}}), [call("search", q="b")]),
        (asked(PWD, call("browser_navigate", url="u")), [call("browser_navigate", url="u"), PWD]),
        (asked(PWD, call("ping"), order="strict"), [PWD, call("ping")]),
        (asked(call("search", q="a", filter={})), [call("search", q="a", filter={"lang": "en"})]),
        (asked(call("open", b=5)), [call("open", b=5.0)]),
    ],
)
def test_calls_match(expect: Json, calls: Any) -> None:
    assert compare(expect, calls, TOOLS) == []


@pytest.mark.parametrize(
    ("expect", "calls", "reasons"),
    [
        (asked(PWD), [call("terminal", command="ls")], ['terminal.command: expected "pwd", got "ls"']),
        (asked(PWD), [], ['missing call: terminal(command="pwd")']),
        (asked(PWD), [PWD, call("browser_navigate", url="u")], ['unexpected call: browser_navigate(url="u")']),
        (asked(PWD), [PWD, PWD], ['unexpected call: terminal(command="pwd")']),
        (asked(PWD, PWD), [PWD], ['missing call: terminal(command="pwd")']),
        (asked(), [PWD], ['expected no call, got terminal(command="pwd")']),
        (asked(), [None], ["expected no call, got null(null)"]),
        (asked(PWD), [call("terminal", command="pwd", timeout=5)], ["terminal.timeout: expected nothing, got 5"]),
        (
            asked(PWD),
            [call("terminal", command="pwd", cwd="/")],
            ['terminal.cwd: expected nothing, got "/"', "terminal: unknown argument ('cwd' was unexpected)"],
        ),
        (
            asked({"name": "terminal", "arguments": {"$anything": True}}),
            [call("terminal", timeout="5")],
            ["terminal.timeout: \"5\" is not of type 'integer'", "terminal: 'command' is a required property"],
        ),
        (asked(call("open", b=5)), [call("open", b=5, c=6)], ["open.c: expected nothing, got 6"]),
        (
            asked(call("ping")),
            [call("ping", now=True)],
            ["ping.now: expected nothing, got true", "ping: unknown argument ('now' was unexpected)"],
        ),
        (
            asked(PWD),
            [{"name": "terminal", "arguments": '{"command": "pwd"'}],
            [r'terminal: arguments are not a JSON object: "{\"command\": \"pwd\""'],
        ),
        (
            asked(PWD),
            [{"name": "terminal", "arguments": json.dumps({"command": "pwd"})}],
            [r'terminal: arguments are not a JSON object: "{\"command\": \"pwd\"}"'],
        ),
        (asked(call("ping")), [{"name": "ping"}], ["ping: arguments are not a JSON object: null"]),
        (
            asked(PWD),
            [call("Terminal", command="pwd")],
            [
                'missing call: terminal(command="pwd")',
                'unexpected call: Terminal(command="pwd")',
                'unknown tool "Terminal"; offered: terminal, browser_navigate, search, open, ping',
            ],
        ),
        (
            asked(PWD, call("ping"), order="strict"),
            [call("ping"), PWD],
            [
                'expected terminal(command="pwd"), got ping()',
                'expected ping(), got terminal(command="pwd")',
            ],
        ),
        (asked(PWD, call("ping"), order="strict"), [PWD], ["missing call: ping()"]),
        (asked(PWD, order="strict"), [PWD, call("ping")], ["unexpected call: ping()"]),
        (asked(PWD), None, ["expected a list of calls, got null"]),
        (asked(), {}, ["expected a list of calls, got {}"]),
        (
            asked(PWD),
            [call("terminal", command="pwd", timeout=float("nan"))],
            ["terminal: the arguments cannot be compared: one has a number beyond every double, or none"],
        ),
    ],
)
def test_reasons_set_expected_beside_got(expect: Json, calls: Any, reasons: list[str]) -> None:
    assert compare(expect, calls, TOOLS) == reasons


def test_no_tool_offered_is_an_unknown_tool_even_where_the_case_expects_the_call() -> None:
    assert compare(asked(PWD), [PWD], []) == ['unknown tool "terminal"; offered: none']


def test_a_tool_that_closes_its_schema_gives_one_reason() -> None:
    tools = [tool("f", {"a": TEXT}, additionalProperties=False)]
    reasons = ["f.b: expected nothing, got 1", "f: unknown argument ('b' was unexpected)"]
    assert compare(asked(call("f")), [call("f", b=1)], tools) == reasons


def test_a_text_too_long_for_a_pattern_does_not_slip_past_a_negated_one() -> None:
    tools = [tool("f", {"a": {"not": {"pattern": "rm"}}})]
    expect = asked(call("f", a={"$anything": True}))
    assert compare(expect, [call("f", a="rm")], tools) != []
    assert compare(expect, [call("f", a="rm" * 10**6)], tools) != []


@pytest.mark.parametrize(("rule", "value"), [({"enum": [1]}, True), ({"const": 0}, False), ({"const": [1]}, [True])])
def test_a_tools_schema_tells_true_from_one(rule: Json, value: Any) -> None:
    assert compare(asked(call("f", a={"$anything": True})), [call("f", a=value)], [tool("f", {"a": rule})]) != []


def test_an_argument_beside_a_reference_or_combination_is_known() -> None:
    parameters = {"$ref": "#/$defs/x", "$defs": {"x": {"allOf": [{"properties": {"a": TEXT}}]}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    assert compare(asked(call("f", a="b")), [call("f", a="b")], tools) == []
    assert compare(asked(call("f", b="b")), [call("f", b="b")], tools) == ["f: unknown argument ('b' was unexpected)"]


def test_calls_are_paired_one_to_one_where_taking_the_first_that_fits_would_fail() -> None:
    wide = call("search", q={"$any": ["a", "b", "c"]})
    middle = call("search", q={"$any": ["a", "b"]})
    narrow = call("search", q="a")
    got = [call("search", q=text) for text in "abc"]
    for wanted in ([wide, middle, narrow], [narrow, wide, middle], [middle, narrow, wide]):
        for given_calls in (got, got[::-1], [got[1], got[0], got[2]]):
            assert compare(asked(*wanted), given_calls, TOOLS) == []
    assert compare(asked(wide, narrow), [got[1], got[2]], TOOLS) == ['search.q: expected "a", got "c"']


def test_what_is_left_is_paired_with_what_is_most_alike() -> None:
    wanted = [call("search", q="a", n=1), call("search", q="b", n=2)]
    got = [call("search", q="b", n=3), call("search", q="z", n=1)]
    assert compare(asked(*wanted), got, TOOLS) == [
        'search.q: expected "a", got "z"',
        "search.n: expected 2, got 3",
    ]


def test_a_runaway_model_is_answered_fast_and_short() -> None:
    start = time.perf_counter()
    wanted = [call("search", q={"$regex": f"{i}+"}) for i in range(10)]
    for expect in (asked(), asked(*wanted), asked(PWD, order="strict")):
        reasons = compare(expect, [call("search", q="x" * 1000)] * 20_000, TOOLS)
        assert len(reasons) == MAX_REASONS
        assert reasons[0] == f"got 20000 calls; only the first {MAX_CALLS} are compared"
        assert reasons[-1].endswith(" more")
    assert time.perf_counter() - start < 5


def test_more_calls_than_are_compared_never_match() -> None:
    pings = [call("ping")] * MAX_CALLS
    assert compare(asked(*pings), pings, TOOLS) == []
    assert compare(asked(*pings), [*pings, call("ping")], TOOLS) != []


def _deep(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "calls",
    [
        [None],
        [[]],
        [5],
        [{}],
        [{"name": None, "arguments": {}}],
        [{"name": ["terminal"], "arguments": {}}],
        [{"name": {}, "arguments": None}],
        [{"name": "terminal", "arguments": []}],
        [call("terminal", command=_deep(10_000))],
        [{"name": "terminal", "arguments": _deep(10_000)}],
        [{"name": "terminal\n\x1b[0m" * 10**5, "arguments": "\n" * 10**6}],
        [call("terminal", command="\n" * 10**6)],
        [call("terminal", **{"k\n" * 10**5: 1, "command": "\ud800"})],
        [call("terminal", command=10**400, timeout=10**5000)],
        [call("terminal", command=float("inf"))],
        [{"name": "terminal", "arguments": dict.fromkeys(map(str, range(10**5)), 1)}],
        [{"name": "terminal", "arguments": {1: 2, None: 3}}],
        [call("terminal", command=object())],
    ],
    ids=range(18),
)
def test_hostile_calls_give_reasons_on_short_lines(calls: Any) -> None:
    start = time.perf_counter()
    for expect in (asked(), asked(PWD), asked(PWD, order="strict")):
        reasons = compare(expect, calls, TOOLS)
        assert reasons
        assert all(reason.isprintable() and len(reason) <= 200 for reason in reasons)
    assert time.perf_counter() - start < 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("terminal"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["command", "timeout", "q"]) | st.text(max_size=3), inner, max_size=3)
        | st.fixed_dictionaries({"name": st.sampled_from(["terminal", "search"]), "arguments": inner})
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON | st.lists(JSON, max_size=4))
def test_no_json_makes_a_comparison_raise(calls: Any) -> None:
    for expect in (asked(), asked(PWD, call("search", q={"$contains": "a"})), asked(PWD, order="strict")):
        reasons = compare(expect, calls, TOOLS)
        assert all(reason.isprintable() and len(reason) <= 200 for reason in reasons)
        assert reasons or calls == [] or calls == expect["calls"]


@settings(deadline=None)
@given(JSON, JSON, JSON)
def test_no_json_makes_a_check_raise(expect: Any, calls: Any, tools: Any) -> None:
    for each in (expect, {"calls": calls}, {"answer": calls}, asked(call("terminal", command=calls))):
        assert all(line.isprintable() and len(line) <= 200 for line in [*check(each, tools), *check(each, TOOLS)])


def test_a_catastrophic_pattern_is_the_cases_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "SECONDS", 0.1)
    with pytest.raises(CaseError, match=r"\(a\|aa\)\+b"):
        compare(asked(call("terminal", command={"$regex": "(a|aa)+b"})), [call("terminal", command="a" * 60)], TOOLS)


def test_a_comparison_with_what_is_written_wrongly_is_refused() -> None:
    for expect, tools in [
        (asked(call("terminal", command={"$regexp": "a"})), TOOLS),
        (asked(PWD, order="sorted"), TOOLS),
        (asked(PWD), [tool("terminal", {"command": {"type": "txt"}})]),
        ([], TOOLS),
        (asked(PWD), None),
    ]:
        with pytest.raises(CaseError, match="fix the case"):
            compare(expect, [PWD], tools)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expect",
    [
        {},
        asked(),
        asked(PWD),
        asked(PWD, call("ping"), order="strict"),
        asked(call("terminal", command={"$regex": "pwd|ls"}, timeout={"$optional": 5})),
        asked({"name": "terminal", "arguments": {"$any": [{"command": "a"}, {"command": "b"}]}}),
        asked(call("open", anything={"$literal": {"$x": 1}})),
        {"answer": {"contains": ["a", ["b", "c"]], "not_contains": ["d"], "regex": "a+", "json_schema": {}}},
    ],
)
def test_a_sound_expectation_has_no_problems(expect: Json) -> None:
    assert check(expect, TOOLS) == []


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        (None, "expect: expected an object, found null"),
        ({"call": []}, "expect.call: unknown key"),
        ({"calls": None}, "calls: expected a list"),
        (asked(*[PWD] * (MAX_CALLS + 1)), "calls: expected a list of at most"),
        (asked(PWD, order="sorted"), "order: expected any or strict"),
        ({"order": "any"}, "order: expected any or strict, beside calls"),
        (asked({"name": "ping"}), 'calls[0]: expected {"name"'),
        (asked({**PWD, "id": 5}), "calls[0]: expected"),
        (asked({"name": "ping", "arguments": "{}"}), "calls[0]: expected"),
        (asked(PWD, call("search", q={"$regex": "("})), "calls[1].arguments.q.$regex: the pattern"),
        (asked(call("search", q="a", filter={"lang": {"$rgx": 1}})), "calls[0].arguments.filter.lang.$rgx: is no"),
        (asked(call("pwd")), 'calls[0].name: "pwd" is not offered; the tools are terminal'),
        (asked(call("terminal", command="a", cwd="/")), "calls[0].arguments: unknown argument ('cwd'"),
        (asked(call("terminal", command="a", cwd={"$anything": True})), "calls[0].arguments: unknown argument"),
        (asked(call("terminal", command=5)), "calls[0].arguments.command: 5 is not of type 'string'"),
        (asked(call("search", q={"$regex": "a"}, n=4)), "calls[0].arguments.n: 4 is not one of [1, 2, 3]"),
        (asked(call("search", q="a", filter={"lang": 5})), "calls[0].arguments.filter.lang: 5 is not of type"),
        (asked(call("terminal", timeout=5)), "calls[0].arguments.command: the tool requires it"),
        (
            asked(call("terminal", command={"$optional": "a"})),
            "calls[0].arguments.command.$optional: the tool requires",
        ),
        ({"answer": None}, "answer: expected an object"),
        ({"answer": {}}, "answer: expected an object with contains, not_contains"),
        ({"answer": {"contain": ["a"]}}, "answer.contain: unknown key"),
        ({"answer": {"contains": "a"}}, "answer.contains: expected a list of texts"),
        ({"answer": {"contains": []}}, "answer.contains: expected a list of texts"),
        ({"answer": {"contains": ["a", []]}}, "answer.contains: expected a list of texts"),
        ({"answer": {"contains": ["a", " "]}}, "answer.contains: expected a list of texts"),
        ({"answer": {"not_contains": [["a", 5]]}}, "answer.not_contains: expected a list of texts"),
        ({"answer": {"regex": "["}}, "answer.regex: the pattern"),
        ({"answer": {"json_schema": {"type": "x"}}}, "answer.json_schema: invalid schema"),
    ],
)
def test_a_problem_is_named_with_its_path(expect: Any, problem: str) -> None:
    lines = check(expect, TOOLS)
    assert len(lines) == 1
    assert lines[0].startswith(problem)


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        (None, "tools: expected a list, found null"),
        ([None], "tools[0]: expected"),
        ([{"type": "function", "name": "flat"}], "tools[0]: expected"),
        ([{"type": "web", "function": {"name": "a"}}], "tools[0]: expected"),
        ([PING, PING], "tools[1]: expected"),
        ([tool("a", {"b": {"type": "txt"}})], "tools[0].function.parameters: invalid schema at $.properties.b.type"),
        ([tool("a", {"b": {"$ref": "https://example.com/b"}})], "tools[0].function.parameters: invalid schema"),
        ([{"type": "function", "function": {"name": "a", "parameters": None}}], "tools[0].function.parameters:"),
    ],
)
def test_a_wrong_tool_is_named_with_its_path(tools: Any, problem: str) -> None:
    lines = check({}, tools)
    assert len(lines) == 1
    assert lines[0].startswith(problem)


def test_an_expectation_or_a_tool_that_was_changed_is_looked_at_again() -> None:
    expect, tools = asked(call("terminal", command="ls")), copy.deepcopy(TOOLS)
    assert check(expect, tools) == []
    tools[0]["function"]["parameters"]["type"] = 7
    assert "invalid schema" in check(expect, tools)[0]
    expect["calls"][0]["arguments"] = {"command": {"$regexp": "ls"}}
    assert "is not a matcher" in check(expect, TOOLS)[0]
    with pytest.raises(CaseError, match="is not a matcher"):
        compare(expect, [], TOOLS)


def test_tools_that_differ_in_1_and_true_are_told_apart() -> None:
    for const, fits in ((1, True), (True, False)):
        tools = [tool("f", {"n": {"const": const}})]
        assert (check(asked(call("f", n=1)), tools) == []) is fits
        assert (compare(asked(call("f", n=1)), [call("f", n=1)], tools) == []) is fits


def test_a_required_argument_with_a_default_need_not_be_named() -> None:
    tools = [tool("f", {"a": {"type": "integer", "default": 1}}, "a")]
    assert check(asked(call("f")), tools) == []
    assert compare(asked(call("f")), [call("f", a=1)], tools) == []
    assert compare(asked(call("f", a=1)), [call("f")], tools) == ["f: 'a' is a required property"]


def test_expected_calls_are_equal_from_either_side() -> None:
    expected = ExpectedCalls("c1", asked(PWD), TOOLS)
    for calls, equal in ([PWD], True), ([], False):
        assert (expected == calls) is (calls == expected) is equal
        assert (expected != calls) is (calls != expected) is not equal
    assert expected != "pwd"
    assert expected.reasons([]) == ['missing call: terminal(command="pwd")']
    assert expected == ExpectedCalls("c1", asked(PWD), TOOLS)
    assert expected != ExpectedCalls("c2", asked(PWD), TOOLS)
    with pytest.raises(TypeError, match="unhashable"):
        hash(expected)


def test_what_is_expected_is_shown_compactly() -> None:
    assert repr(ExpectedCalls("c", asked(PWD, call("ping")), TOOLS)) == '<calls: terminal(command="pwd"), ping()>'
    assert repr(ExpectedCalls("c", asked(), TOOLS)) == "<calls: none>"
    assert repr(ExpectedCalls("c", {}, TOOLS)) == '<calls: "not set">'
    assert repr(ExpectedAnswer("c", {"answer": {"regex": "a\n"}})) == r'<answer: {"regex": "a\n"}>'


def test_to_compare_with_what_is_not_set_names_the_case() -> None:
    with pytest.raises(CaseError, match=r"case c1: expect\.calls is not set; write it"):
        ExpectedCalls("c1", {"answer": {"contains": ["a"]}}, TOOLS).reasons([])
    with pytest.raises(CaseError, match=r"case c1: expect\.answer is not set"):
        _ = ExpectedAnswer("c1", asked()) == "a"
    with pytest.raises(CaseError, match="case c1: expect or tools are written wrongly"):
        _ = ExpectedCalls("c1", asked(call("f", a={"$no": 1})), TOOLS) == []


PERSON = {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ({"contains": ["paris", ["Seine", "loire"]]}, "PARIS lies on the seine."),
        ({"contains": ["caf\u00e9"]}, "The Cafe\u0301."),
        ({"not_contains": ["sorry"]}, "Gladly."),
        ({"regex": r"\d+"}, "about 42 of them"),
        ({"json_schema": PERSON}, ' {"name": "Ada"}\n'),
    ],
)
def test_an_answer_matches(answer: Json, content: str) -> None:
    assert ExpectedAnswer("c", {"answer": answer}) == content
    assert (content != ExpectedAnswer("c", {"answer": answer})) is False


@pytest.mark.parametrize(
    ("answer", "content", "reason"),
    [
        ({"contains": ["Rome"]}, "Paris", 'answer: expected contains "Rome", got "Paris"'),
        ({"contains": ["Paris", ["a1", "a2"]]}, "Paris", 'answer: expected contains ["a1", "a2"], got "Paris"'),
        ({"not_contains": ["Sorry"]}, "so SORRY", 'answer: expected not_contains "Sorry", got "so SORRY"'),
        ({"not_contains": [["no", "sorry"]]}, "sorry", "answer: expected not_contains"),
        ({"not_contains": ["sorry"]}, "", 'expected an answer in words, got ""'),
        ({"not_contains": ["sorry"]}, " \n", "expected an answer in words"),
        ({"not_contains": ["sorry"]}, None, "expected an answer in words, got null"),
        ({"not_contains": ["sorry"]}, ["a"], "expected an answer in words"),
        ({"regex": r"^\d+$"}, "about 42", "answer: expected a match of"),
        ({"json_schema": PERSON}, "Ada", "answer: expected JSON and nothing else"),
        ({"json_schema": PERSON}, '```json\n{"name": "Ada"}\n```', "answer: expected JSON and nothing else"),
        ({"json_schema": PERSON}, '{"name": "Ada", "name": "Eve"}', "answer: expected JSON and nothing else"),
        ({"json_schema": PERSON}, '{"name": 5}', "answer.name: 5 is not of type 'string'"),
        ({"json_schema": {}}, "NaN", "answer: has a number beyond"),
        ({"json_schema": {}}, "1e400", "answer: has a number beyond"),
        ({"json_schema": {}}, "[" * 100_000, "answer: expected JSON and nothing else"),
        ({"json_schema": {}}, "[" * 200 + "]" * 200, "answer: is nested deeper"),
        ({"json_schema": {}}, "9" * 5000, "answer: expected JSON and nothing else"),
        ({"regex": "a+b"}, "a" * 10**6, "answer: expected a match of"),
    ],
)
def test_an_answer_is_refused_on_one_line(answer: Json, content: Any, reason: str) -> None:
    reasons = ExpectedAnswer("c", {"answer": answer}).reasons(content)
    assert len(reasons) == 1
    assert reasons[0].startswith(reason)
    assert reasons[0].isprintable()
    assert len(reasons[0]) <= 200
    assert ExpectedAnswer("c", {"answer": answer}) != content


@pytest.mark.parametrize("content", ["<think>maybe 42?</think>I do not know.", "<think>42", "so 42</think>No."])
def test_what_was_only_thought_is_no_answer(content: str) -> None:
    assert ExpectedAnswer("x", {"answer": {"contains": ["42"]}}) != content
    assert ExpectedAnswer("x", {"answer": {"contains": ["42"]}}) == "<think>hm</think>It is 42."
