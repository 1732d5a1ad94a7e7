"""A malformed or disguised call is found, and an explanation of the syntax yields none."""
# ruff: noqa: E501  (one case a line)

from __future__ import annotations

from typing import Any

import pytest

from gate.models.tool_calls import find

LOOK = {"name": "look_up", "arguments": {"word": "tide"}}
OBJECT = '{"name": "look_up", "arguments": {"word": "tide"}}'
HERMES = f"<tool_call>{OBJECT}</tool_call>"
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}, "count": {"type": "integer"}}}}},
    {"type": "function", "function": {"name": "now", "parameters": {}}},
]  # fmt: skip

DISGUISED = {
    "capitals": "<TOOL_CALL>" + OBJECT,
    "spaces in the tag": f"< tool_call >\n\n  {OBJECT}\n",
    "attributes in the tag": f'<tool_call id="1">{OBJECT}</tool_call>',
    "an escaped underscore": f"<tool\\_call>{OBJECT}</tool\\_call>",
    "another spelling": f"<toolcall>{OBJECT}</toolcall>",
    "no closing tag": f"<tool_call>{OBJECT}",
    "a missing brace": '<tool_call>{"name": "look_up", "arguments": {"word": "tide"}</tool_call>',
    "a brace too many": "<tool_call>" + OBJECT + "}</tool_call>",
    "a list that is not closed": f"[TOOL_CALLS] [{OBJECT}",
    "a broken object beside it": f'<tool_call>[{{"name": "look_up", "arguments": {{...}}}}, {OBJECT}]</tool_call>',
    "Python's repr": "<tool_call>{'name': 'look_up', 'arguments': {'word': 'tide'}}</tool_call>",
    "doubled braces": "<tool_call>{" + OBJECT + "}</tool_call>",
    "all braces doubled": "<tool_call>" + OBJECT.replace("{", "{{").replace("}", "}}") + "</tool_call>",
    "curly quotes": '<tool_call>{“name”: “look_up”, “arguments”: {“word”: “tide”}}</tool_call>',
    "a trailing comma": '<tool_call>{"name": "look_up", "arguments": {"word": "tide",},}</tool_call>',
    "arguments in a string": '<tool_call>{"name": "look_up", "arguments": "{\\"word\\": \\"tide\\"}"}</tool_call>',
    "arguments in single quotes": "<functioncall> {\"name\": \"look_up\", \"arguments\": '{\"word\": \"tide\"}'}",
    "a fence inside the tag": f"<tool_call>\n```json\n{OBJECT}\n```\n</tool_call>",
    "Python inside the tag": "<tool_call>[look_up(word='tide')]</tool_call>",
    "a name before the object": '<tool_call>look_up\n{"word": "tide"}\n</tool_call>',
    "Qwen3-Coder cut short": "<tool_call>\n<function=look_up>\n<parameter=word>\ntide",
    "GLM cut short": "<tool_call>look_up<arg_key>word</arg_key><arg_value>tide",
    "GLM without an end of value": "<tool_call>look_up<arg_key>word</arg_key><arg_value>tide</tool_call>",
    "LFM2 cut short": '<|tool_call_start|>[look_up(word="tide")',
    "LFM2 without brackets": '<|tool_call_start|>look_up(word="tide")<|tool_call_end|>',
    "Gemma 4 without the end of a string": '<|tool_call>call:look_up{word:<|"|>tide}',
    "an unclosed thought": f"<think>Now I call. {HERMES}",
    "after a thought that was not opened": f"I think <tool_call>no</tool_call></think>{HERMES}",
    "a stray backtick": f"Use a ` here. {HERMES}",
    "a stray fence": f"```\n{HERMES}",
    "a block quote": f"> {HERMES}",
    "after code that is shown": f"```python\nlook_up()\n```\n{HERMES}",
    "after a zero-width space": f"\u200b{HERMES}\u200b",
}  # fmt: skip

WITH_TOOLS = {
    "a bare object in prose": f"I will call {OBJECT} now.",
    "a bare object without its last brace": OBJECT[:-1],
    "a bare array that is not closed": f"[{OBJECT}",
    "a bare repr": "{'name': 'look_up', 'arguments': {'word': 'tide'}}",
    "a whole message that is a JSON string": '"{\\"name\\": \\"look_up\\", \\"arguments\\": {\\"word\\": \\"tide\\"}}"',
    "the OpenAI shape": '{"tool_calls": [{"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{\\"word\\": \\"tide\\"}"}}]}',
    "the Anthropic shape": '{"type": "tool_use", "name": "look_up", "input": {"word": "tide"}}',
    "a name space": '{"name": "functions.look_up", "arguments": {"word": "tide"}}',
    "a bare list in prose": "Here: [look_up(word='tide')] and so on.",
    "a bare list that is not closed": "[look_up(word='tide')",
    "a positional argument": '[look_up("tide")]',
    "a call alone on its line": "Let me see.\nlook_up(word='tide')\n",
    "Mistral without its first token": 'look_up[ARGS]{"word": "tide"}',
    "Mistral without tokens": 'look_up{"word": "tide"}',
    "Kimi without tokens": 'functions.look_up:0{"word": "tide"}',
    "Gemma 4 without tokens": 'call:look_up{word:<|"|>tide<|"|>}',
    "markup in a fence that is the whole message": f"```xml\n{HERMES}\n```",
    "markup in backticks that are the whole message": f"`{HERMES}`",
    "Python in a fence that is the whole message": "```\nlook_up(word='tide')\n```",
    "a list in a python fence that is the whole message": "<think>Hm.</think>\n```python\n[look_up(word='tide')]\n```",
    "a json fence with text around": f"Sure:\n```json\n{OBJECT}\n```\nDone.",
    "a json fence in capitals": f"```JSON\n{OBJECT}\n```",
    "a json fence on one line": f"```json {OBJECT}```",
    "a json fence that is not closed": f"```json\n{OBJECT}",
    "a json fence of tildes": f"~~~json\n{OBJECT}\n~~~",
    "a name space in a tool_code fence": "```tool_code\nprint(default_api.look_up(word='tide'))\n```",
    "markup in a tool_call fence": f"```tool_call\n{HERMES}\n```",
    "GLM's loose form": "<tool_call>look_up word=tide</tool_call>",
    "Kimi's call by number": '<|tool_call_begin|>0<|tool_call_argument_begin|>{"word": "tide"}<|tool_call_end|>',
}  # fmt: skip

EXPLAINED = {
    "backticks": f"Hermes writes `{HERMES}` and waits.",
    "two backticks": f"Hermes writes ``{HERMES}`` and waits.",
    "a fence": f"For example:\n```xml\n{HERMES}\n```\nThen it waits.",
    "a fence of tildes": f"For example:\n~~~\n{HERMES}\n~~~\nThen it waits.",
    "a fence of LFM2": 'Like this:\n```\n<|tool_call_start|>[look_up(word="tide")]<|tool_call_end|>\n```\n',
    "a python fence": "```python\nlook_up(word='tide')\n```",
    "a function in a python fence": "Run this:\n```python\nresult = look_up(word='tide')\nprint(result)\n```",
    "a call in a sentence": "Use look_up(word='tide') for that.",
    "a call in a list": "- look_up(word='tide')\n- now()",
    "a thought": f"<think>{HERMES}</think>It is fine.",
    "a thought in other tags": f"[THINK]{HERMES}[/THINK]It is fine.",
    "a thought that was not opened": f"{HERMES}</think>It is fine.",
    "an ellipsis": '<tool_call>{"name": "look_up", "arguments": {...}}</tool_call>',
    "a placeholder for the name": '<tool_call>{"name": "...", "arguments": {"word": "tide"}}</tool_call>',
    "a bare object in backticks": f"Send `{OBJECT}` to it.",
    "a bare object of an unknown tool": '{"name": "other", "arguments": {"word": "tide"}}',
    "a bare list of an unknown tool": "[other(word='tide')]",
    "a json fence of an unknown tool": '```json\n{"name": "other", "arguments": {}}\n```',
    "a json fence that holds more": f"```json\n{OBJECT}\nand more\n```",
    "the definition of a tool": '{"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}}',
    "a record named like a tool": '{"name": "now", "value": 3}',
    "a call inside data": f'{{"log": {{"first": {OBJECT}}}}}',
    "arguments that are no object": '{"name": "look_up", "arguments": ["tide"]}',
    "a bare object that is cut in its arguments": '{"name": "look_up", "arguments": {"word": ',
    "a link": "See [now()](https://example.org).",
    "the name of a tool": "now",
}  # fmt: skip


@pytest.mark.parametrize("text", DISGUISED.values(), ids=DISGUISED.keys())
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["without tools", "with tools"])
def test_a_disguised_call_is_found(text: str, tools: list[dict[str, Any]] | None) -> None:
    assert find(text, tools) == [LOOK]


@pytest.mark.parametrize("text", WITH_TOOLS.values(), ids=WITH_TOOLS.keys())
def test_a_call_is_recognized_by_an_offered_tool(text: str) -> None:
    assert [call | {"name": "look_up"} for call in find(text, TOOLS)] == [LOOK]


@pytest.mark.parametrize("text", EXPLAINED.values(), ids=EXPLAINED.keys())
def test_an_explanation_is_no_call(text: str) -> None:
    assert find(text, TOOLS) == []


def test_an_empty_list_offers_no_tool() -> None:
    assert find(OBJECT, []) == []
    assert find(OBJECT) == [LOOK]


def test_an_explicit_call_counts_also_when_its_tool_is_unknown() -> None:
    assert find('<tool_call>{"name": "made_up", "arguments": {}}</tool_call>', TOOLS) == [{"name": "made_up", "arguments": {}}]  # fmt: skip


def test_calls_come_in_order_of_appearance_across_syntaxes() -> None:
    text = f"One [TOOL_CALLS]a[ARGS]{{}} two {HERMES} three <function=b></function> four {OBJECT}"
    assert [call["name"] for call in find(text, TOOLS)] == ["a", "look_up", "b", "look_up"]


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ('<tool_call>{"name": "f", "arguments": {"a": "unfin', '{"a": "unfin'),
        ('<tool_call>{"name": "f", "arguments": {"a": nonsense}}</tool_call>', '{"a": nonsense}'),
        ('<|tool_call_start|>[f(a="unfin', 'a="unfin'),
        ('[TOOL_CALLS]f[ARGS]{"a": ', '{"a":'),
        ('<tool_call>{"name": "f", "arguments": "a b"}</tool_call>', "a b"),
        ('<tool_call>{"name": "f", "arguments": [1]}</tool_call>', "[1]"),
        ('<tool_call>{"name": "f", ', ""),
    ],
)
def test_arguments_that_do_not_parse_stay_text(text: str, raw: str) -> None:
    assert find(text) == [{"name": "f", "arguments": raw}]


def test_a_truncated_name_is_no_call() -> None:
    assert find('<tool_call>{"name": "loo') == []
