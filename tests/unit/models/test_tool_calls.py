"""Calls in every syntax are found; text that only resembles one is ignored."""
# ruff: noqa: E501  (one case a line)

from __future__ import annotations

from typing import Any

import pytest

from gate.models.tool_calls import find

Call = tuple[str, Any]


def calls(*pairs: Call) -> list[dict[str, Any]]:
    return [{"name": name, "arguments": arguments} for name, arguments in pairs]


LOOK = ("look_up", {"word": "tide"})
DSML = "｜DSML｜"

CALLS: list[tuple[str, str, list[Call]]] = [
    ("lfm2", '<|tool_call_start|>[look_up(word="tide")]<|tool_call_end|>', [LOOK]),
    ("lfm2", "Wait.<|tool_call_start|>[a(x=[1, 2.5], y={'k': None}), b()]<|tool_call_end|> ok", [("a", {"x": [1, 2.5], "y": {"k": None}}), ("b", {})]),
    ("lfm2", "<|tool_call_start|>[note(text='it\\'s (done)\nnow', ok=true)]<|tool_call_end|>", [("note", {"text": "it's (done)\nnow", "ok": True})]),
    ("lfm2", '<|tool_call_start|>[{"name": "look_up", "arguments": {"word": "tide"}}]<|tool_call_end|>', [LOOK]),
    ("lfm2 bare", "[look_up(word='tide')]", [LOOK]),
    ("lfm2 bare", '[look_up(word="tide"), b(n=-3)]<|tool_call_end|>', [LOOK, ("b", {"n": -3})]),
    ("lfm2 bare", "I look it up.\n\n[look_up(word='tide')]\n", [LOOK]),
    ("hermes", '<tool_call>\n{"name": "look_up", "arguments": {"word": "tide"}}\n</tool_call>', [LOOK]),
    ("hermes", '<tool_call>{"name": "a", "arguments": {}}</tool_call>\n<tool_call>{"name": "b", "arguments": {"t": "</tool_call>"}}</tool_call>', [("a", {}), ("b", {"t": "</tool_call>"})]),
    ("hermes", '<tool_call>{"arguments": {"word": "tide"}, "name": "look_up"}, {"name": "b"}</tool_call>', [LOOK, ("b", {})]),
    ("qwen3-coder", "<tool_call>\n<function=look_up>\n<parameter=word>\ntide\n</parameter>\n</function>\n</tool_call>", [LOOK]),
    ("qwen3-coder", "<function=f><parameter=n>3</parameter><parameter=l>[1, 2]</parameter></function>", [("f", {"n": "3", "l": [1, 2]})]),
    ("qwen3-coder", "<tool_call><function=a></function></tool_call> <tool_call><function=b></function></tool_call>", [("a", {}), ("b", {})]),
    ("llama3", '<|python_tag|>{"name": "look_up", "parameters": {"word": "tide"}}<|eom_id|>', [LOOK]),
    ("llama3", '<|python_tag|>{"name": "a", "parameters": {}}; {"name": "b", "parameters": {}}', [("a", {}), ("b", {})]),
    ("llama3", '<|python_tag|>brave_search.call(query="tide tables")<|eom_id|>', [("brave_search", {"query": "tide tables"})]),
    ("llama3", 'wolfram_alpha.call(query="1+1")', [("wolfram_alpha", {"query": "1+1"})]),
    ("llama3", '{"name": "look_up", "parameters": {"word": "tide"}}', [LOOK]),
    ("llama3", '{"type": "function", "name": "look_up", "parameters": {"word": "tide"}}', [LOOK]),
    ("llama3", '<function=look_up>{"word": "tide"}</function>', [LOOK]),
    ("mistral", '[TOOL_CALLS] [{"name": "look_up", "arguments": {"word": "tide"}, "id": "x1"}]</s>', [LOOK]),
    ("mistral", '[TOOL_CALLS]look_up[ARGS]{"word": "tide"}[TOOL_CALLS]b[ARGS]{}', [LOOK, ("b", {})]),
    ("mistral", 'Sure. [TOOL_CALLS]look_up{"word": "tide"}', [LOOK]),
    ("mistral", '[TOOL_CALLS]look_up[CALL_ID]abc123def[ARGS]{"word": "tide"}', [LOOK]),
    ("gemma 3", '```tool_code\nlook_up(word="tide")\n```', [LOOK]),
    ("gemma 3", "I check.\n```tool_code\nprint(look_up(word='tide'))\n```", [LOOK]),
    ("gemma 3", '```json\n{"name": "look_up", "parameters": {"word": "tide"}}\n```', [LOOK]),
    ("gemma 3", '```tool_call\n[{"name": "look_up", "arguments": {"word": "tide"}}]\n```', [LOOK]),
    ("functiongemma", "<start_function_call>call:look_up{word:<escape>tide<escape>}<end_function_call>", [LOOK]),
    ("functiongemma", "Ok <start_function_call>call:f{n:4,on:true,l:[<escape>a,}<escape>,2]}<end_function_call>", [("f", {"n": 4, "on": True, "l": ["a,}", 2]})]),
    ("functiongemma", "<start_function_call>call:a{}<end_function_call><start_function_call>call:b{o:{k:1.5}}<end_function_call>", [("a", {}), ("b", {"o": {"k": 1.5}})]),
    ("gemma 4", '<|tool_call>call:look_up{word:<|"|>tide<|"|>}<tool_call|>', [LOOK]),
    ("gemma 4", '<|tool_call>call:a{t:<|"|>say "}"<|"|>}call:b{n:null}<tool_call|>', [("a", {"t": 'say "}"'}), ("b", {"n": None})]),
    ("gemma 4", '<|channel>thought\nhm<channel|><|tool_call>call:get-it{mode:fast}<tool_call|>', [("get-it", {"mode": "fast"})]),
    ("glm", "<tool_call>look_up<arg_key>word</arg_key><arg_value>tide</arg_value></tool_call>", [LOOK]),
    ("glm", '<tool_call>f\n<arg_key>n</arg_key>\n<arg_value>3</arg_value>\n<arg_key>o</arg_key>\n<arg_value>{"a": []}</arg_value>\n</tool_call>', [("f", {"n": 3, "o": {"a": []}})]),
    ("glm", "<tool_call>f<arg_key>a<b</arg_key><arg_value>x > y & z</arg_value></tool_call>", [("f", {"a<b": "x > y & z"})]),
    ("longcat", "<longcat_tool_call>look_up\n<longcat_arg_key>word</longcat_arg_key>\n<longcat_arg_value>tide</longcat_arg_value>\n</longcat_tool_call>", [LOOK]),
    ("longcat", '<longcat_tool_call>{"name": "look_up", "arguments": {"word": "tide"}}</longcat_tool_call>', [LOOK]),
    ("longcat", "Hm <longcat_tool_call>f<longcat_arg_key>n</longcat_arg_key><longcat_arg_value>2</longcat_arg_value></longcat_tool_call>", [("f", {"n": 2})]),
    ("hunyuan", "<tool_calls><tool_call>look_up<tool_sep><arg_key>word</arg_key><arg_value>tide</arg_value></tool_call></tool_calls>", [LOOK]),
    ("hunyuan", "<tool_calls>\n<tool_call>today<tool_sep>\n</tool_call>\n</tool_calls>", [("today", {})]),
    ("hunyuan", "<tool_calls><tool_call>a<tool_sep></tool_call><tool_call>b<tool_sep></tool_call></tool_calls>", [("a", {}), ("b", {})]),
    ("laguna", "<tool_call>look_up\n<arg_key>word</arg_key>\n<arg_value>tide</arg_value>\n</tool_call>", [LOOK]),
    ("laguna", "Ok.<tool_call>f\n<arg_key>a</arg_key></tool_call>", [("f", {})]),
    ("laguna", "<tool_call>f<arg_key>a</arg_key><arg_key>b</arg_key><arg_value>1</arg_value></tool_call>", [("f", {"b": 1})]),
    ("deepseek 3", '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look_up\n```json\n{"word": "tide"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>', [LOOK]),
    ("deepseek 3", '<｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n```json\n{}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>b\n```json\n{}\n```', [("a", {}), ("b", {})]),
    ("deepseek 3", '<|tool_call_begin|>function<|tool_sep|>look_up\n```json\n{"word": "tide"}\n```', [LOOK]),
    ("deepseek 3.1", '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look_up<｜tool▁sep｜>{"word": "tide"}<｜tool▁call▁end｜>', [LOOK]),
    ("deepseek 3.1", 'x<｜tool▁call▁begin｜>a<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁call▁begin｜>b<｜tool▁sep｜>{"n": 1}', [("a", {}), ("b", {"n": 1})]),
    ("deepseek 3.1", "<｜tool▁call▁begin｜>查找<｜tool▁sep｜>{\"词\": \"潮\"}<｜tool▁call▁end｜>", [("查找", {"词": "潮"})]),
    ("dsml", f'<{DSML}function_calls><{DSML}invoke name="look_up"><{DSML}parameter name="word" string="true">tide</{DSML}parameter></{DSML}invoke></{DSML}function_calls>', [LOOK]),
    ("dsml", f'<{DSML}invoke name="f">\n<{DSML}parameter name="n" string="false">10</{DSML}parameter>\n</{DSML}invoke>', [("f", {"n": 10})]),
    ("dsml", f'<{DSML}invoke name="look_up">\n{{"word": "tide"}}\n</{DSML}invoke><{DSML}invoke name="b"/>', [LOOK, ("b", {})]),
    ("kimi k2", '<|tool_calls_section_begin|><|tool_call_begin|>functions.look_up:0<|tool_call_argument_begin|>{"word": "tide"}<|tool_call_end|><|tool_calls_section_end|>', [LOOK]),
    ("kimi k2", '<|tool_call_begin|>functions.a-b:0<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_call_begin|>c:1<|tool_call_argument_begin|>{}', [("a-b", {}), ("c", {})]),
    ("kimi k2", 'I look.<|tool_call_begin|>look_up:3 <|tool_call_argument_begin|> {"word": "tide"}', [LOOK]),
    ("minimax", '<minimax:tool_call>\n<invoke name="look_up">\n<parameter name="word">tide</parameter>\n</invoke>\n</minimax:tool_call>', [LOOK]),
    ("minimax", '<invoke name="a"></invoke><invoke name="b"><parameter name="o">{"k": 1}</parameter></invoke>', [("a", {}), ("b", {"o": {"k": 1}})]),
    ("minimax", "Ok <minimax:tool_call><invoke name='f'><parameter name='t'>a < b</parameter></invoke></minimax:tool_call>", [("f", {"t": "a < b"})]),
    ("minicpm", '<function name="f"><param name="t"><![CDATA[a < b]]></param></function>', [("f", {"t": "a < b"})]),
    ("granite", '<|tool_call|>[{"name": "look_up", "arguments": {"word": "tide"}}]', [LOOK]),
    ("granite", '<tool_call>[{"name": "look_up", "arguments": {"word": "tide"}}, {"name": "b", "arguments": {}}]', [LOOK, ("b", {})]),
    ("granite", '<function_call> {"name": "a", "arguments": {}} <function_call> {"name": "b", "arguments": {}}', [("a", {}), ("b", {})]),
    ("command-r", '<|START_ACTION|>[\n {"tool_call_id": "0", "tool_name": "look_up", "parameters": {"word": "tide"}}\n]<|END_ACTION|>', [LOOK]),
    ("command-r", '<|START_THINKING|>I look.<|END_THINKING|><|START_ACTION|>[{"tool_name": "a", "parameters": {}}]', [("a", {})]),
    ("command-r", 'Action: ```json\n[\n {"tool_name": "look_up", "parameters": {"word": "tide"}}\n]```', [LOOK]),
    ("harmony", '<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>{"word": "tide"}<|call|>', [LOOK]),
    ("harmony", '<|start|>assistant to=functions.look_up<|channel|>commentary json<|message|>{"word": "tide"}', [LOOK]),
    ("harmony", '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.a<|message|>{}<|call|>', [("a", {})]),
    ("harmony", 'commentary to=functions.look_up json{"word": "tide"}', [LOOK]),
    ("gigachat 3", '<|function_call|>{"name": "look_up", "arguments": {"word": "tide"}}', [LOOK]),
    ("gigachat 3", 'Ok.<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "look_up", "arguments": {"word": "tide"}}</s>', [LOOK]),
    ("gigachat 3", 'function call<|role_sep|>{"name": "a", "arguments": {}}', [("a", {})]),
    ("olmo 3", '<function_calls>look_up(word="tide")</function_calls>', [LOOK]),
    ("olmo 3", "<function_calls>fly(from='A', to='B')\nb(on=true, off=null)</function_calls>", [("fly", {"from": "A", "to": "B"}), ("b", {"on": True, "off": None})]),
    ("olmo 3", 'Ok.<function_calls>f(o={"a": {"b": [1]}})</function_calls>', [("f", {"o": {"a": {"b": [1]}}})]),
]  # fmt: skip

NEGATIVES: list[tuple[str, str]] = [
    ("lfm2", "Calls stand between <|tool_call_start|> and <|tool_call_end|>."),
    ("lfm2", "It writes `<|tool_call_start|>[f(a=1)]<|tool_call_end|>` for a call."),
    ("lfm2 bare", "The list [f(a=1)] stands in a sentence."),
    ("lfm2 bare", "[img-1] shows [x for x in y] and [f(x)]."),
    ("lfm2 bare", "[search(page=1)](https://example.org)"),
    ("hermes", "The model wraps calls in <tool_call> and </tool_call> tags."),
    ("hermes", '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'),
    ("hermes", "A tag that never ends: <tool_call and then words."),
    ("qwen3-coder", "It writes <function=name> and then <parameter=key> for each argument."),
    ("qwen3-coder", "Like so:\n```xml\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n```\nThat is all."),
    ("llama3", "<|python_tag|>print(1 + 1)"),
    ("llama3", '{"name": "Ada Lovelace", "born": 1815}'),
    ("llama3", "Function.prototype.call(this)"),
    ("mistral", "Mistral puts [TOOL_CALLS] before the token(s) of a call."),
    ("mistral", "[TOOL_CALLS]name[ARGS]{arguments}"),
    ("gemma 3", '```json\n{"city": "Oslo", "degrees": 3}\n```'),
    ("gemma 3", 'A call looks like this:\n```json\n{"name": "f", "arguments": {"a": 1}}\n```'),
    ("gemma 3", "```python\nlook_up(word='tide')\n```"),
    ("functiongemma", "<start_function_call>call:name{arguments}<end_function_call>"),
    ("functiongemma", "Press <start> now, then call: home{0}."),
    ("gemma 4", "<|channel>I could write <|tool_call>call:f{a:1}<tool_call|><channel|>No."),
    ("gemma 4", "<|tool_call> opens and <tool_call|> closes."),
    ("glm", "Pairs: <arg_key>size</arg_key><arg_value>4</arg_value>."),
    ("glm", "<tool_call>text that is not a name</tool_call>"),
    ("longcat", "<longcat_tool_call> is its tag, and <longcat_arg_key> another."),
    ("longcat", "`<longcat_tool_call>f<longcat_arg_key>a</longcat_arg_key></longcat_tool_call>`"),
    ("hunyuan", "Text with <tool_calls> in it."),
    ("hunyuan", "It broke off at <tool_cal"),
    ("laguna", "Between <tool_call> </tool_call> there was nothing."),
    ("laguna", "<tool_call>\n<arg_key>size</arg_key><arg_value>4</arg_value>\n</tool_call>"),
    ("deepseek 3", '<｜tool▁output▁begin｜>{"name": "tide", "metres": 3}<｜tool▁output▁end｜>'),
    ("deepseek 3", "It broke off at <｜tool▁call▁beg"),
    ("deepseek 3.1", "<｜tool▁call▁begin｜> opens a call."),
    ("deepseek 3.1", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"),
    ("dsml", f"<{DSML}function_calls> wraps <{DSML}invoke name=\"f\"> elements."),
    ("dsml", f"`<{DSML}invoke name=\"f\"></{DSML}invoke>`"),
    ("kimi k2", "A section ends with <|tool_calls_section_end|> there."),
    ("kimi k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_end|>"),
    ("minimax", '<invoke name="f"> opens a call there.'),
    ("minimax", "<minimax:tool_call> is the outer tag."),
    ("granite", "Granite answers with <|tool_call|> and a list."),
    ("granite", '<|tool_call|>["a", 1]'),
    ("command-r", "<|START_ACTION|>[to be filled in]<|END_ACTION|>"),
    ("command-r", "After `Action:` comes a list."),
    ("harmony", "<|channel|>analysis<|message|>It is low tide.<|end|><|start|>assistant<|channel|>final<|message|>Low."),
    ("harmony", '<|channel|>analysis<|message|>to=functions.f json{"a": 1}?<|end|><|start|>assistant<|channel|>final<|message|>No.'),
    ("harmony", "The header says to=functions.NAME there."),
    ("gigachat 3", 'assistant<|role_sep|>\n{"name": "Ada"}'),
    ("gigachat 3", '<|function_call|>{"city": "Oslo"}'),
    ("olmo 3", "<function_calls>none today</function_calls>"),
    ("olmo 3", "<function_calls> wraps the calls (see above)."),
    ("prose", ""),
    ("prose", "The tide is high (3.2 m) [1]; see {appendix}."),
    ("answer", '[{"name": "Ada"}, {"name": "Bob", "arguments": "none"}]'),
    ("answer", '{"result": {"name": "f", "arguments": {"a": 1}}}'),
    ("answer", '{"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}'),
    ("code", "```js\nconst x = {name: 'f', arguments: {}};\n```"),
    ("code", "def f(a=1):\n    return [g(a=a)]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(*case, id=f"{syntax}-{n}") for n, (syntax, *case) in enumerate(CALLS)]
)
def test_a_call_is_found(text: str, expected: list[Call]) -> None:
    assert find(text) == calls(*expected)


@pytest.mark.parametrize("text", [pytest.param(text, id=f"{syntax}-{n}") for n, (syntax, text) in enumerate(NEGATIVES)])
def test_text_without_a_call_yields_none(text: str) -> None:
    assert find(text) == []
