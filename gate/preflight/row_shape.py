"""What is wrong with the turns of one training row: their shape, the last of them, the calls in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gate.cases import training_rows
from gate.cases.json_schema import breach, schema_errors, schema_problem, unfit
from gate.errors import CaseError
from gate.system.text import one_line, show
from gate.types import Json

ROLES = ("system", "developer", "user", "assistant", "tool")


def misshapen(value: Json, format_: str) -> list[str]:
    """What of a row no template can be expected to render; empty when it is sound."""
    if format_ == "text":
        return (
            [] if _spoken(value["text"]) else [f"text: expected a text that is not empty, found {show(value['text'])}"]
        )
    found = list(_tools_faults(value.get("tools")))
    if format_ == "completions":
        keys = training_rows.FORMATS["completions"]
        blank = [f"{key}: expected a text that is not empty, found {show(value[key])}" for key in keys]
        return found + [line for key, line in zip(keys, blank, strict=True) if not _spoken(value[key])]
    messages = value["messages"]
    if not isinstance(messages, list) or not messages:
        return [*found, f"messages: expected a list that is not empty, found {show(messages)}"]
    for number, message in enumerate(messages):
        before = messages[number - 1] if number else None
        found += [one_line(f"messages[{number}]: {fault}") for fault in _message_faults(message, before)]
    return found


def unanswered(value: Json, format_: str) -> str:
    """The role in which a sound row ends when it is not the assistant's; empty when it is."""
    turns = training_rows.messages(value, format_)
    return turns[-1]["role"] if turns and turns[-1]["role"] != "assistant" else ""


def bad_calls(value: Json, format_: str) -> Iterator[str]:
    """The calls of a sound row that name no tool it offers, or that the tool's schema refuses."""
    offered = offers(value)
    for number, message in enumerate(training_rows.messages(value, format_)):
        for name, arguments in training_rows.calls(message):
            for fault in _call_faults(name, training_rows.parsed(arguments), offered):
                yield one_line(f"messages[{number}] calls {name}: {fault}")


def offers(value: Json) -> dict[str, Any]:
    """The schemas of the tools that a row offers, by name; without a schema, an object of any kind."""
    functions = [_function(tool) for tool in value.get("tools") or []]
    return {function["name"]: function.get("parameters") or {} for function in functions}


def _tools_faults(tools: Any) -> Iterator[str]:
    if tools is not None and not isinstance(tools, list):
        yield f"tools: expected a list, found {show(tools)}; mlx-lm hands it to the template as it is"
        return
    for number, tool in enumerate(tools or []):
        function = _function(tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            yield f"tools[{number}]: expected a function with a name, found {show(tool)}"


def _function(tool: Any) -> Any:
    return tool["function"] if isinstance(tool, dict) and isinstance(tool.get("function"), dict) else tool


def _message_faults(message: Any, before: Any) -> Iterator[str]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        role = message.get("role") if isinstance(message, dict) else message
        yield f"expected an object with a role of {', '.join(ROLES)}; found {show(role)}"
        return
    content, called = message.get("content"), message.get("tool_calls")
    if not (content is None or isinstance(content, str) or _text_parts(content)):
        yield f"content: expected a text, found {show(content)}"
    if called and message["role"] != "assistant":
        yield f"a turn of {message['role']} cannot call tools"
    elif called:
        yield from _called_faults(called)
    elif not content and message["role"] != "tool":
        yield f"the turn of {message['role']} says nothing"
    if message["role"] == "tool" and not (
        isinstance(before, dict) and (before.get("role") == "tool" or training_rows.calls(before))
    ):
        yield "a tool answers, and no call stands before it"


def _called_faults(called: Any) -> Iterator[str]:
    objects = isinstance(called, list) and all(isinstance(call, dict) for call in called)
    if not objects:
        yield f"tool_calls: expected a list of objects, found {show(called)}"
        return
    for name, arguments in training_rows.calls({"tool_calls": called}):
        if not isinstance(name, str) or not name:
            yield f"tool_calls: expected a name, found {show(name)}"
        if not isinstance(training_rows.parsed(arguments), dict):
            yield f"arguments of {show(name)}: expected an object, or an object as JSON text; found {show(arguments)}"


def _call_faults(name: str, arguments: Json, offered: dict[str, Any]) -> Iterator[str]:
    if name not in offered:
        yield f"the row offers {', '.join(offered) or 'no tools'}"
    elif flaw := schema_problem(offered[name]) or unfit(arguments):
        yield flaw
    else:
        try:
            yield from (breach(error, "arguments") for error in schema_errors(offered[name], arguments))
        except CaseError as error:
            yield str(error)


def _spoken(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _text_parts(content: Any) -> bool:
    parts = content if isinstance(content, list) else [None]
    return all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts)


def canonical(value: Json, format_: str) -> str:
    """What mlx-lm trains of a row, as one text: equal for rows that teach the same."""
    keys = (*training_rows.FORMATS[format_], "tools")
    return json.dumps([format_, [value.get(key) for key in keys]], sort_keys=True, separators=(",", ":"))
