"""One Reply from every server; model failures are misses, everything else that goes wrong is a break."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gate.errors import AskError
from gate.models import reply
from gate.types import Reply


def read(
    message: dict[str, Any], *, finish: str | None = "stop", status: int = 200, written: int = 1, **choice: Any
) -> Reply:
    usage = {"completion_tokens": written}
    body = {"choices": [{"message": message, "finish_reason": finish, **choice}], "usage": usage}
    return reply.read(status, json.dumps(body), seconds=0.5, tools=[])


def call(arguments: Any, name: str = "f") -> dict[str, Any]:
    return {"tool_calls": [{"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}]}


def test_plain_text_is_content_without_fault() -> None:
    got = read({"content": "Paris."})
    assert (got.content, got.calls, got.leaks, got.fault, got.finish) == ("Paris.", [], [], "", "stop")
    assert (got.usage, got.seconds, got.status) == ({"completion_tokens": 1}, 0.5, 200)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_stands_in_either_field(name: str) -> None:
    assert read({"content": "4", name: "2+2"}).reasoning == "2+2"


def test_content_in_parts_is_joined() -> None:
    assert read({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}).content == "ab"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("{}", {}),
        ('{"a": 1', '{"a": 1'),
        ('"{\\"a\\": 1}"', '"{\\"a\\": 1}"'),
        ("[1]", "[1]"),
        ("", ""),
        (None, None),
    ],
    ids=["string", "object", "empty-object", "cut", "double-encoded", "list", "empty", "null"],
)
def test_arguments_are_an_object_or_stay_as_they_came(arguments: Any, expected: Any) -> None:
    assert read(call(arguments), finish="tool_calls").calls == [{"name": "f", "arguments": expected}]


def test_arguments_with_a_key_twice_or_without_a_number_stay_as_they_came() -> None:
    for text in ('{"command": "rm", "command": "ls"}', '{"a": NaN}', '{"a": 1e999}'):
        assert read(call(text), finish="tool_calls").calls == [{"name": "f", "arguments": text}]


@pytest.mark.parametrize("odd", [{"function": {"name": "f"}}, "f()", 7])
def test_calls_of_another_shape_are_never_no_call(odd: Any) -> None:
    assert read({"content": "Hi", "tool_calls": odd}).calls


@pytest.mark.parametrize("finish", ["content_filter", "error", None])
def test_an_answer_that_did_not_end_by_itself_is_a_fault(finish: str | None) -> None:
    assert "did not end by itself" in read({"content": "Hi"}, finish=finish).fault


def test_odd_parts_and_log_probabilities_are_passed_over() -> None:
    got = read({"content": [{"type": "text", "text": 5}, "x", {"text": "ok"}]}, logprobs={"content": [None, 3]})
    assert (got.content, got.margin) == ("ok", None)


def test_the_older_function_call_field_is_a_call() -> None:
    assert read({"function_call": {"name": "f", "arguments": "{}"}}).calls == [{"name": "f", "arguments": {}}]


@pytest.mark.parametrize("broken", [{"tool_calls": [None]}, {"tool_calls": [{"function": None}]}, {"tool_calls": [7]}])
def test_a_malformed_call_is_a_call_without_a_name(broken: dict[str, Any]) -> None:
    assert read(broken).calls == [{"name": "", "arguments": None}]


@pytest.mark.parametrize(
    ("message", "finish", "fault"),
    [
        ({"content": None}, "stop", "empty answer"),
        ({"content": " \n"}, "stop", "empty answer"),
        ({"content": "", "reasoning": "hm"}, "stop", "empty answer"),
        ({"content": "x"}, "length", "cut at max_tokens"),
        (call("{}"), "length", "cut at max_tokens"),
        ({"content": "x", "tool_calls": []}, "tool_calls", "finish_reason is tool_calls, but there are none"),
    ],
)
def test_a_failure_of_the_model_is_a_fault(message: dict[str, Any], finish: str, fault: str) -> None:
    assert fault in read(message, finish=finish).fault


def test_a_call_in_the_text_is_a_leak() -> None:
    got = read({"content": 'Sure. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'})
    assert got.leaks == [{"name": "f", "arguments": {"a": 1}}]
    assert got.calls == []


def test_llama_servers_parse_error_is_the_models_failure() -> None:
    body = {"error": {"code": 500, "message": "The model produced output that does not match the expected peg-native"}}
    got = reply.read(500, json.dumps(body), seconds=1, tools=[])
    assert "could not parse what the model wrote" in got.fault
    assert got.status == 500


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, '{"error": "template: undefined variable"}'),
        (400, '{"error": {"message": "Unable to generate parser for this template"}}'),
        (500, '{"error": {"message": "out of memory"}}'),
        (503, "<html>busy</html>"),
        (200, "not json"),
        (200, "[]"),
        (200, '{"error": "model not loaded"}'),
        (200, '{"choices": []}'),
        (200, '{"error": {"message": "overloaded"}, "choices": [{"message": {"content": "Hi"}}]}'),
        (200, '{"choices": [{"text": "x"}]}'),
        (200, '{"choices": [null]}'),
    ],
)
def test_anything_else_is_a_break(status: int, text: str) -> None:
    with pytest.raises(AskError):
        reply.read(status, text, seconds=0, tools=[])


def logprobs(*pairs: tuple[float, ...]) -> dict[str, Any]:
    return {"content": [{"top_logprobs": [{"logprob": value} for value in pair]} for pair in pairs]}


def test_the_margin_is_the_smallest_gap_in_whatever_order_the_tokens_come() -> None:
    """mlx_lm.server does not sort them (server.py, _format_top_logprobs uses argpartition)."""
    assert read({"content": "x"}, logprobs=logprobs((-0.1, -4.0), (-2.0, -1.5))).margin == pytest.approx(0.5)


def test_a_step_at_which_the_best_token_was_not_taken_shows_no_gap() -> None:
    """llama-server lists probabilities from before the grammar (server-context.cpp, populate_token_probs), which may
    have refused the best token: the candidates after it are not listed."""
    best = [{"id": 7, "token": "a", "logprob": -0.1}, {"id": 8, "token": "b", "logprob": -3.0}]
    taken, refused = ({"id": id_, "token": "a", "top_logprobs": best} for id_ in (7, 9))
    assert read({"content": "x"}, logprobs={"content": [taken]}).margin == pytest.approx(2.9)
    assert read({"content": "x"}, logprobs={"content": [taken, refused]}).margin == 0
    named = [
        {"token": name, "top_logprobs": [{"token": "a", "logprob": -1}, {"token": "b", "logprob": -2}]} for name in "ab"
    ]
    assert read({"content": "x"}, logprobs={"content": named[:1]}).margin == 1
    assert read({"content": "x"}, logprobs={"content": named}).margin == 0


@pytest.mark.parametrize(("written", "margin"), [(2, 1.0), (3, 1.0), (4, None)])
def test_missing_steps_leave_no_margin(written: int, margin: float | None) -> None:
    """Of an emoji's tokens llama-server lists only the last; the end of the answer may be missing."""
    assert read({"content": "x"}, written=written, logprobs=logprobs((-1.0, -2.0), (-1.0, -3.0))).margin == margin


def test_a_step_without_a_second_token_leaves_no_margin() -> None:
    steps = logprobs((-0.1, -4.0), (-0.1,))
    assert read({"content": "x"}, logprobs=steps).margin is None


@pytest.mark.parametrize("served", [None, {"content": []}, {"content": [{}]}, logprobs((-0.1,)), logprobs((-0.1, 3.0))])
def test_without_log_probabilities_there_is_no_margin(served: Any) -> None:
    assert read({"content": "x"}, logprobs=served).margin is None


def test_the_raw_body_is_kept_less_its_log_probabilities() -> None:
    got = read({"content": "x", "extra": 1}, logprobs=logprobs((-0.1, -4.0)))
    assert json.loads(got.raw)["choices"] == [{"message": {"content": "x", "extra": 1}, "finish_reason": "stop"}]
