"""Conversations in ShareGPT's form, and agents' traces in Hermes' marks, as OpenAI's messages and tools.

Hermes' traces write tools and calls as text: <tools>[…]</tools> in the system prompt, <tool_call>{…}</tool_call> where
the model calls, <tool_response>{…}</tool_response> where a tool answers. The prompt's own lines about them are left
out: a checkpoint's chat template says them in its own words.
"""

from __future__ import annotations

import ast
import json
import re
from collections import deque
from typing import Any

from gate.errors import CaseError
from gate.models import tool_calls
from gate.system.text import show
from gate.types import Json

ROLES = {
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model", "chatgpt", "bot", "function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response", "ipython"), "tool"),
}
"""ShareGPT's `from`, and who is meant."""
MAX_TOOLS = 1_000_000
"""Characters of a <tools> block that is read."""
_TOOLS = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
_CALLS = re.compile(r"<(tool_call|think|scratch_pad)>.*?(?:</\1>|\Z)", re.DOTALL)
_RESULT = re.compile(r"<tool_response>(.*?)(?:</tool_response>|\Z)", re.DOTALL)
_MARK = re.compile(r"</?(?:tools|tool_call|tool_response)>")


def messages(row: Json) -> tuple[list[Json], list[Json]]:
    """(messages, tools) of a conversation in any of the forms. Raises CaseError."""
    row = row["request"] if isinstance(row.get("request"), dict) else row
    given = next(
        (row[key] for key in ("messages", "conversations", "conversation") if isinstance(row.get(key), list)), None
    )
    if not given or not all(isinstance(turn, dict) for turn in given):
        raise CaseError(
            f"is not a conversation: neither messages nor conversations; its keys are {show(list(row), 80)}"
        )
    if isinstance(row.get("system"), str) and row["system"]:
        given = [{"role": "system", "content": row["system"]}, *given]
    tools = _listed(row.get("tools")) or [{"function": each} for each in _listed(row.get("functions"))]
    turns = [_turn(turn) for turn in given]
    tools = tools or [tool for turn in turns if turn["role"] == "system" for tool in _offered(turn["content"] or "")]
    return _structured(turns, tools), tools


def _turn(turn: Json) -> Json:
    """A turn with role and content; who speaks in ShareGPT's words has a `value`."""
    if "from" not in turn:
        if not isinstance(turn.get("role"), str):
            raise CaseError(f"a turn says neither role nor from: {show(list(turn))}")
        return dict(turn)
    role = ROLES.get(str(turn["from"]).lower())
    if role is None or not isinstance(turn.get("value"), str):
        raise CaseError(
            f"a turn of {show(turn['from'])} with a value of {show(turn.get('value'))}: expected {', '.join(ROLES)}"
        )
    text = turn["value"]
    if str(turn["from"]).lower() in ("function_call", "tool_call") and "<tool_call>" not in text:
        text = f"<tool_call>\n{text}\n</tool_call>"
    return {"role": role, "content": text}


def _structured(turns: list[Json], tools: list[Json]) -> list[Json]:
    """Calls and results that are written as text become what the API has for them."""
    made: list[Json] = []
    open_: deque[Json] = deque()
    count = 0
    for turn in turns:
        text = turn.get("content")
        if turn["role"] == "system" and isinstance(text, str):
            made += [{**turn, "content": rest}] if (rest := _without(text)) else []
        elif turn["role"] == "assistant" and isinstance(text, str) and not turn.get("tool_calls"):
            calls = _called(text, tools, count)
            count += len(calls)
            open_.extend(calls)
            words = _CALLS.sub("", text).strip() if calls else text
            made.append({**turn, "content": words} | ({"tool_calls": calls} if calls else {}))
        elif turn["role"] in ("tool", "user") and isinstance(text, str) and (open_ or "<tool_response>" in text):
            made += _results(turn, text, open_)
        else:
            made.append(turn)
    return made


def _called(text: str, tools: list[Json], before: int) -> list[Json]:
    if "<tool_call>" not in text:
        return []
    calls = tool_calls.find(text, tools or None)
    if not calls:
        raise CaseError(f"a <tool_call> cannot be read: {show(text[text.index('<tool_call>') :], 100)}")
    return [
        {"id": f"call_{number}", "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for number, call in enumerate(calls, start=before + 1)
    ]


def _results(turn: Json, text: str, open_: deque[Json]) -> list[Json]:
    """A message for each result, for the call that it names, else for the next that has none."""
    if turn["role"] == "user" and "<tool_response>" not in text:
        open_.clear()
        return [turn]
    if turn.get("tool_call_id"):
        return [turn]
    made = []
    for block in _RESULT.findall(text) or [text]:
        name, content = _result(block.strip())
        call = next((each for each in open_ if each["function"]["name"] == name), open_[0] if open_ else None)
        if call is None:
            raise CaseError(f"a tool's result that no call asked for: {show(block.strip(), 80)}")
        open_.remove(call)
        made.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    return made


def _result(block: str) -> tuple[str, str]:
    """(name of the tool, what it answered): Hermes wraps both in an object."""
    value = _value(block)
    if not isinstance(value, dict) or "content" not in value or not value.keys() <= {"name", "content", "tool_call_id"}:
        return "", block
    content = value["content"]
    return str(value.get("name", "")), content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _offered(system: str) -> list[Json]:
    """The tools of the first <tools> block that holds some."""
    for block in _TOOLS.findall(system):
        value = _value(block.strip())
        if value is None:  # one tool a line
            value = [_value(line) for line in block.strip().splitlines() if line.strip()]
        if tools := _listed(value):
            return tools
    return []


def _listed(value: Any) -> list[Json]:
    """Tools in OpenAI's form, from a list, one object or a JSON text; bare functions are wrapped."""
    value = _value(value) if isinstance(value, str) else value
    every = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    objects = [each for each in every if isinstance(each, dict)]
    return [
        each if isinstance(each.get("function"), dict) else {"type": "function", "function": each} for each in objects
    ]


def _without(system: str) -> str:
    """A system prompt without the lines from its first mark of tools to its last."""
    marks = list(_MARK.finditer(system))
    if not marks or not _TOOLS.search(system):
        return system
    start = system.rfind("\n", 0, marks[0].start()) + 1
    end = system.find("\n", marks[-1].end())
    return f"{system[:start].rstrip()}\n\n{system[end:].lstrip() if end >= 0 else ''}".strip()


def _value(text: str) -> Any:
    """What a text holds as JSON, or as Python writes it, which many traces do; None where it is neither."""
    if len(text) > MAX_TOOLS:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None
