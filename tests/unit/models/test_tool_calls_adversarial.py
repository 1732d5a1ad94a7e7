"""No text makes the readers raise or take more than linear time."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.models.tool_calls import find

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}}
]
PIECES = [
    *("<tool_call>", "</tool_call>", "<|tool_call_start|>", "<|tool_call_end|>", "<function=f>", "<parameter=a>"),
    *(
        "</parameter>",
        "</function>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "[TOOL_CALLS]",
        "[ARGS]",
    ),
    *(
        "<|python_tag|>",
        "<start_function_call>",
        "call:f{",
        "<escape>",
        '<|"|>',
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
    ),
    *("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|channel|>commentary to=functions.f", "<|message|>"),
    *('<invoke name="f">', '<parameter name="a">', "<think>", "</think>", "```", "```json\n", "`", "~~~", "\n", " "),
    *("{", "}", "[", "]", "(", ")", '"', "'", "\\", ":", ",", "=", "f", "1", "f(a=1)", '{"name": "f", "arguments": '),
    *('{"name": "f", "arguments": {"a": 1}}', "\x00", "\ud800", "é", "“", "”", "null", "-", "to=functions.f", "print("),
]
UNITS = [
    *("<tool_call>", "[", "{", "(", "\\", '"', "'", "`", "``` ", "```json\n", "<think>", "</think>", "\x00", "\ud800"),
    *(
        '{"',
        '{\\"',
        '"{',
        "{'",
        '{"a":',
        '{"name":"f","arguments":',
        '[{"a":',
        "[f(a=1),",
        "[f(a=",
        "f(",
        "\nf(",
        "\nf{",
    ),
    *(
        "<tool_call>{",
        '<tool_call>{\\"',
        '<tool_call>{"name":"f","arguments":{',
        "<tool_call>x<arg_key>",
        "<tool_call>x {",
    ),
    *("[TOOL_CALLS]", "[TOOL_CALLS]f[ARGS]{", "<function=f><parameter=a>", "<function=f>{", '<invoke name="f">'),
    *(
        "<start_function_call>call:f{a:<escape>",
        "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{",
        "<|channel|>",
        "to=functions.f ",
    ),
    *("{'name':\"", '[ {"', "{([", "\ncall:f{a:", "```\n~~~\n", "Action:```json\n"),
]
SIZE = 5_000


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.sampled_from([None, TOOLS]))
def test_markup_in_any_order_never_raises(text: str, tools: list[dict[str, Any]] | None) -> None:
    for call in find(text, tools):
        assert set(call) == {"name", "arguments"}
        assert isinstance(call["name"], str)
        assert isinstance(call["arguments"], dict | str)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.sampled_from([None, TOOLS]))
def test_any_text_never_raises(text: str, tools: list[dict[str, Any]] | None) -> None:
    assert isinstance(find(text, tools), list)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_a_call_is_found_after_any_words(words: str) -> None:
    text = "".join(letter for letter in words if letter.isalnum() or letter == " ") + "<tool_call>f<arg_key>a</arg_key>"
    assert find(text + "<arg_value>1</arg_value></tool_call>") == [{"name": "f", "arguments": {"a": 1}}]


def seconds(text: str) -> float:
    """The CPU time of this process, without a collection of the garbage that other tests have left."""
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        find(text)
        find(text, TOOLS)
        return time.process_time() - began
    finally:
        gc.enable()


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_four_times_the_text_takes_about_four_times_as_long(unit: str) -> None:
    short, long = unit * (SIZE // len(unit)), unit * (4 * SIZE // len(unit))
    assert min(seconds(long) for _ in range(2)) < 8 * min(seconds(short) for _ in range(2)) + 0.06


@pytest.mark.parametrize("unit", ["<tool_call>", "[", "{{", "\\", '"'], ids=ascii)
def test_a_megabyte_is_read_in_seconds(unit: str) -> None:
    assert seconds(unit * (1_000_000 // len(unit))) < 10


@pytest.mark.parametrize(
    ("opening", "closing"), [('{"a":', "}"), ("[", "]"), ('{"name":"f","arguments":', "}"), ("[f(a=", ")]"), ("(", ")")]
)
@pytest.mark.parametrize("marker", ["", "<tool_call>", "<|tool_call_start|>", "<start_function_call>call:f"])
def test_deep_nesting_never_raises(opening: str, closing: str, marker: str) -> None:
    for tools in (None, TOOLS):
        assert len(find(marker + opening * 1_500 + "1" + closing * 1_500, tools)) <= 1


def test_deep_arguments_in_a_string_stay_text() -> None:
    deep = "[" * 500 + "]" * 500
    (call,) = find(f'<tool_call>{{"name": "f", "arguments": "{deep}"}}</tool_call>')
    assert call["arguments"] == deep


def test_a_call_after_adversarial_text_is_found() -> None:
    text = "{" * 5_000 + "\\" * 5_000 + '\n<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    assert find(text) == [{"name": "f", "arguments": {}}]


def test_numbers_that_json_lacks_leave_the_arguments_as_text() -> None:
    for number in ("NaN", "Infinity", "1e999", "9" * 5_000):
        (call,) = find(f'<tool_call>{{"name": "f", "arguments": {{"a": {number}}}}}</tool_call>')
        assert call["arguments"] == f'{{"a": {number}}}'
