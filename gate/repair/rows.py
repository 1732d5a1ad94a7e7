"""Training rows as a repair makes them: chat, structured calls, one row for each assistant turn."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gate.cases import answer
from gate.cases import expected as expect
from gate.cases.matchers.matcher import UnknownError, named_value
from gate.repair.misses import FINAL, NO_TOOL
from gate.types import Case, Json

SLOTS, TEACHER, ANSWERS, KEPT = "slots", "teacher", "answers", "kept"
"""Where a row comes from: phrases with slots, a teacher, a person's wording, phrases of what already passed."""
ORIGINS = (SLOTS, TEACHER, ANSWERS, KEPT)


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation that ends in the assistant's turn."""

    messages: list[Json]
    tools: list[Json]
    category: str
    origin: str
    case: str = ""
    """The mark of the missed case that it repairs; empty for what is kept."""


def as_json(row: Row, *, as_text: bool) -> Json:
    """A row as its file holds it; `as_text`: arguments as JSON texts in place of objects."""
    messages = [_as_text(message) for message in row.messages] if as_text else row.messages
    return {"messages": messages} | ({"tools": row.tools} if row.tools else {}) | {"category": row.category}


def request_texts(row: Row) -> list[str]:
    """Every text of the user."""
    return [str(message["content"] or "") for message in row.messages if message["role"] == "user"]


def turns(row: Row) -> Iterator[Row]:
    """The row once for each assistant turn, cut behind it, each with the category of its own last turn."""
    for number, message in enumerate(row.messages):
        if message["role"] == "assistant":
            until = row.messages[: number + 1]
            yield replace(row, messages=until, category=_category(until))


def spoken(content: str, calls: Sequence[Json] = ()) -> Json:
    """An assistant's message."""
    made = [{"type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}} for c in calls]
    return {"role": "assistant", "content": content} | ({"tool_calls": made} if made else {})


def head(messages: Sequence[Json]) -> list[Json]:
    """The instructions with which a conversation begins."""
    number = next((n for n, each in enumerate(messages) if each["role"] not in ("system", "developer")), len(messages))
    return list(messages[:number])


def calls(case: Case) -> list[Json]:
    """The calls that a case wants, a concrete one for each. Raises UnknownError where a matcher names no value."""
    made = [{"name": each["name"], "arguments": named_value(each["arguments"])} for each in case.expect["calls"]]
    if reasons := expect.compare(case.expect, made, case.tools):
        raise UnknownError(reasons[0])
    return made


def faults(case: Case, content: str, called: list[Json]) -> list[str]:
    """Why an answer is not what a case expects; empty when it is."""
    found = expect.compare(case.expect, called, case.tools)
    if "answer" in case.expect:
        found += list(answer.reasons(case.expect["answer"], content))
    return found or ([] if called or content.strip() else ["it is empty"])


def _category(messages: list[Json]) -> str:
    made = messages[-1].get("tool_calls")
    if made:
        return str(made[0]["function"]["name"])
    return FINAL if len(messages) > 1 and messages[-2]["role"] == "tool" else NO_TOOL


def _as_text(message: Json) -> Json:
    if not message.get("tool_calls"):
        return message
    made = copy.deepcopy(message["tool_calls"])
    for call in made:
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return message | {"tool_calls": made}
