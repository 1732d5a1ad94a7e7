"""A miss's stage follows from what was expected, what was served and what the model wrote raw."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gate.grading import attribution
from gate.types import Question, Raw, Reply, Result
from tests.project import TOOL

CALL = {"name": "terminal", "arguments": {"command": "ls"}}
WANTED: dict[str, Any] = {"calls": [CALL]}
NO_CALL: dict[str, Any] = {"calls": []}
PARIS: dict[str, Any] = {"calls": [], "answer": {"contains": ["Paris"]}}
WRITTEN = f"<tool_call>{json.dumps(CALL)}</tool_call>"
WRONG = WRITTEN.replace('"ls"', '"dir"')
OFFERED = json.dumps(TOOL["function"])
PROMPT = f"<|im_start|>system\n{OFFERED}<|im_end|>\n<|im_start|>user\nls<|im_end|>\n<|im_start|>assistant\n"
QUESTION = Question([{"role": "user", "content": "ls"}], [TOOL], 64)


def reply(content: str = "", **more: Any) -> Reply:
    plain = Reply(content, "", [], [], "stop", "", {}, 0.1, 200, None, "{}")
    return replace(plain, **more)


def stage(expect: dict[str, Any], served: Reply, text: str, *, cut: bool = False, prompt: str = PROMPT) -> str:
    return attribution.stage(expect, served, QUESTION, Raw(prompt, 64, text, cut))


PROSE = reply("I will not.")
LEAK = reply(WRITTEN, leaks=[CALL])
UNPARSED = reply(fault="the server could not parse what the model wrote", status=500)
GAVE_NONE = reply(finish="tool_calls", fault="the server said tool_calls and gave none")
CLOSED = reply(fault="the server closed the connection", status=0)
EMPTY = reply(fault="empty answer")
CUT = reply("x", finish="length", fault="cut at max_tokens")
OTHER_CALL = reply(calls=[CALL | {"arguments": {"command": "dir"}}], finish="tool_calls")


@pytest.mark.parametrize(
    ("expect", "served", "text", "wanted"),
    [
        (WANTED, PROSE, "I will not.", "model"),
        (WANTED, OTHER_CALL, WRONG, "model"),
        (WANTED, LEAK, WRONG, "model"),
        (WANTED, UNPARSED, '<tool_call>{"name": "terminal", "arg', "model"),
        (WANTED, CLOSED, '<tool_call>{"name": "terminal"}</tool_call>', "model"),
        (WANTED, EMPTY, "", "model"),
        (WANTED, OTHER_CALL, WRITTEN + WRONG, "model"),
        (NO_CALL, OTHER_CALL, WRITTEN, "model"),
        (NO_CALL, EMPTY, "", "model"),
        (NO_CALL, EMPTY, "<think>hm</think>", "model"),
        (PARIS, reply("Rome."), "Rome.", "model"),
        (PARIS, reply("Rome."), "<think>Paris?</think>Rome.", "model"),
        (WANTED, LEAK, WRITTEN, "parser"),
        (WANTED, UNPARSED, WRITTEN, "parser"),
        (WANTED, GAVE_NONE, WRITTEN, "parser"),
        (WANTED, EMPTY, WRITTEN, "parser"),
        (WANTED, OTHER_CALL, f"Here:\n{WRITTEN}", "parser"),
        (WANTED, reply("Here:"), f"Here:\n{WRITTEN}", "parser"),
        (NO_CALL, OTHER_CALL, "You could run `dir`.", "parser"),
        (PARIS, UNPARSED, "It is Paris.", "parser"),
        (PARIS, GAVE_NONE, "It is Paris.", "parser"),
        (WANTED, CLOSED, WRITTEN, "server"),
        (PARIS, EMPTY, "It is Paris.", "server"),
        (WANTED, PROSE, WRITTEN, "server"),
        (PARIS, reply("Rome."), "It is Paris.", "server"),
        (NO_CALL, reply("Hi.", finish="abort", fault="did not end by itself"), "Hi.", "server"),
    ],
)
def test_right_or_wrong_raw_tells_the_servers_fault_from_the_models(
    expect: dict[str, Any], served: Reply, text: str, wanted: str
) -> None:
    assert stage(expect, served, text) == wanted


@pytest.mark.parametrize(
    ("expect", "text", "cut", "wanted"),
    [
        (WANTED, f"{WRITTEN}<|im_end|>\n<|im_start|>user\nThanks", False, "stop"),
        (WANTED, f"{WRITTEN}<|im_end|>\n<|im_start|>user\nThanks", True, "stop"),
        (WANTED, WRITTEN * 3, True, "stop"),
        (WANTED, f"{WRITTEN}\nUser: and now", False, "stop"),
        (PARIS, "It is Paris.</s><s>[INST] And", True, "stop"),
        (PARIS, "It is Paris. It is Paris. It is", True, "stop"),
        (NO_CALL, "Hello.<end_of_turn>\n<start_of_turn>user", False, "stop"),
        (NO_CALL, "Hello.<|end|><|start|>user", False, "stop"),
        (WANTED, '<tool_call>{"name": "terminal", "argum', True, "length"),
        (WANTED, "First, let me think about", True, "length"),
        (NO_CALL, "Once upon a time", True, "length"),
        (PARIS, "Well, France is a country whose", True, "length"),
        (WANTED, WRONG + " and", True, "model"),
        (NO_CALL, WRITTEN + " and", True, "model"),
        (WANTED, "<|im_start|>user\nls", False, "model"),
        (
            PARIS,
            "<|channel|>analysis<|message|>Paris<|end|><|start|>assistant<|channel|>final<|message|>No",
            0,
            "model",
        ),
    ],
)
def test_where_the_right_thing_ends_tells_stop_from_length(
    expect: dict[str, Any], text: str, cut: bool, wanted: str
) -> None:
    assert stage(expect, CUT, text, cut=cut) == wanted


def test_two_calls_of_which_one_is_there_at_the_cut_is_length() -> None:
    assert stage({"calls": [CALL, CALL]}, CUT, f'{WRITTEN}<tool_call>{{"name', cut=True) == "length"


def test_a_leak_is_the_parsers_even_where_the_model_ran_on() -> None:
    assert stage(WANTED, LEAK, f"{WRITTEN}<|im_end|>\n<|im_start|>user\nls", cut=True) == "parser"


@pytest.mark.parametrize(
    ("expect", "served", "text", "cut", "wanted"),
    [
        ({}, PROSE, "I will not.", False, "model"),
        ({}, PROSE, " I  will not.\n", False, "model"),
        ({}, reply("It is.", reasoning="hm"), "<think>hm</think>It is.", False, "model"),
        ({}, reply(calls=[CALL]), WRITTEN, False, "model"),
        ({}, EMPTY, "", False, "model"),
        ({}, PROSE, "I will.", False, "server"),
        ({}, EMPTY, "Hello.", False, "server"),
        ({}, CLOSED, "", False, "server"),
        ({}, LEAK, WRITTEN, False, "parser"),
        ({}, UNPARSED, WRITTEN, False, "parser"),
        ({}, UNPARSED, "Hello.", False, "server"),
        ({}, CUT, "x", True, "length"),
        ({}, reply("Hello.<|im_end|>"), "Hello.<|im_end|>\n<|im_start|>user", False, "stop"),
        (NO_CALL, PROSE, "I will not.", False, "model"),
        (PARIS, reply("It is Paris."), "It is Paris.", False, "model"),
        (WANTED, reply(calls=[CALL]), WRITTEN, False, "model"),
    ],
)
def test_what_the_expectation_does_not_tell_is_told_by_the_two_texts(
    expect: dict[str, Any], served: Reply, text: str, cut: bool, wanted: str
) -> None:
    """Nothing is expected of the reply, or the reply is as expected and the test asserts something else."""
    assert stage(expect, served, text, cut=cut) == wanted


BARE = "<|im_start|>user\nls<|im_end|>\n<|im_start|>assistant\n"


def test_a_wrong_answer_to_a_prompt_without_the_tools_is_the_templates() -> None:
    assert stage(WANTED, PROSE, "I will not.", prompt=BARE) == "template"
    assert stage({}, PROSE, "I will not.", prompt=BARE) == "template"
    assert stage(WANTED, CUT, "I will", cut=True, prompt=BARE) == "template"


def test_a_right_raw_answer_to_a_prompt_without_the_tools_is_not() -> None:
    assert stage(WANTED, LEAK, WRITTEN, prompt=BARE) == "parser"


def test_a_tools_name_in_the_request_is_no_tool_in_the_prompt() -> None:
    asked = Question([{"role": "user", "content": "pwd in terminal"}], [TOOL], 64)
    about = "what the tool terminal is for"
    assert attribution.lacks(asked, "user: pwd in terminal") == ["the tool terminal", about]
    assert attribution.lacks(asked, 'tools: {"name": "terminal"}\nuser: pwd in terminal') == [about]
    assert attribution.lacks(asked, f"tools: {OFFERED}\nuser: pwd in terminal") == []


def test_a_message_that_the_template_drops_is_lacking_but_not_what_the_model_said_before() -> None:
    said = {"system": "Answer briefly.", "user": "Where is Rome?", "assistant": "<think>hm</think> Italy."}
    asked = Question([{"role": role, "content": content} for role, content in said.items()], [], 64)
    assert attribution.lacks(asked, "Answer briefly. User: Where is Rome?") == []
    assert attribution.lacks(asked, "Answer briefly. User:") == ["what the user said"]
    assert attribution.lacks(asked, "User: Where is Rome?") == ["the system prompt"]


RESULT = '{"files": ["käse.txt", "b.md"],\n "total": 2}'


@pytest.mark.parametrize(
    ("prompt", "there"),
    [
        (RESULT, True),
        (json.dumps(RESULT), True),
        (json.dumps(RESULT, ensure_ascii=False), True),
        ("{'files': ['käse.txt', 'b.md'], 'total': 2}", True),
        ("", False),
        ("2 files", False),
    ],
)
def test_a_tools_result_may_be_rendered_in_another_way_but_must_be_there(prompt: str, there: bool) -> None:
    asked = Question([{"role": "user", "content": "?"}, {"role": "tool", "content": RESULT}], [], 64)
    assert bool(attribution.lacks(asked, f"tool: {prompt}\nassistant:")) is not there


def test_an_escaped_result_in_another_script_is_there() -> None:
    asked = Question([{"role": "tool", "content": "東京 は 晴れ"}], [], 64)
    assert attribution.lacks(asked, json.dumps({"result": "東京 は 晴れ"})) == []
    assert attribution.lacks(asked, "tool:") == ["the result of a tool"]
    assert attribution.lacks(Question([{"role": "tool", "content": [{"type": "text", "text": "x"}]}], [], 64), "") == []


def a_result(*replies: Reply, hit: bool = False, expect: dict[str, Any] | None = None) -> Result:
    return Result("t", "c", "dev", hit, hit, (), "?", WANTED if expect is None else expect, replies)


def judged(result: Result, text: str, *, constrained: bool = True, prompt: str = PROMPT) -> tuple[str, bool | None]:
    told = attribution.judged(result, QUESTION, Raw(prompt, 64, text), constrained=constrained)
    return told.stage, told.raw


def test_a_hit_whose_raw_text_is_wrong_is_the_grammars_where_there_is_one() -> None:
    hit = a_result(reply(calls=[CALL]), hit=True)
    assert judged(hit, WRITTEN) == ("", True)
    assert judged(hit, f"{WRITTEN}<|im_end|>") == ("", True)
    assert judged(hit, "terminal ls") == ("grammar", False)
    assert judged(hit, "terminal ls", constrained=False) == ("server", False)


def test_a_hit_that_the_expectation_does_not_tell_is_compared_by_text() -> None:
    assert judged(a_result(reply("Hi."), hit=True, expect={}), "Hi.") == ("", True)
    assert judged(a_result(reply("Hi."), hit=True, expect={}), "Ho.") == ("", None)


def test_a_miss_is_a_hit_raw_where_only_the_server_is_at_fault() -> None:
    assert judged(a_result(LEAK), WRITTEN) == ("parser", True)
    assert judged(a_result(PROSE), "I will not.") == ("model", False)
    assert judged(a_result(EMPTY, expect={}), "Hello.") == ("server", None)


def test_of_several_requests_the_last_is_judged_and_by_its_text_alone() -> None:
    assert judged(a_result(PROSE, reply(calls=[CALL])), WRITTEN) == ("model", False)
    assert judged(a_result(reply(calls=[CALL]), PROSE), WRITTEN) == ("server", None)


def test_reasoning_that_the_template_opens_is_no_answer() -> None:
    thinking = a_result(reply("Rome."), expect=PARIS)
    assert judged(thinking, "Paris or Rome?</think>Rome.", prompt=f"{PROMPT}<think>\n") == ("model", False)
    assert judged(thinking, "Paris or Rome", prompt=f"{PROMPT}<think>\n") == ("model", False)


def test_a_pattern_that_takes_too_long_tells_nothing() -> None:
    slow: dict[str, Any] = {"answer": {"regex": "(a+)+$"}}
    assert judged(a_result(reply("b"), expect=slow), "a" * 60 + "!") in (("", None), ("model", False))
