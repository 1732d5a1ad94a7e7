"""What a conversation asks, as texts to compare: its last request, what came since, and all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from gate.cases import training_rows
from gate.cases.normalize import appearance, unspaced
from gate.types import Json

WORDS = 5
"""Fewer words may stand in a longer text by chance, and said after an earlier turn they ask nothing without it."""
END = ": "
"""Behind the kind of what is asked: no mark (gate.cases.loader.marks) has it."""


def asking(messages: Sequence[Json]) -> str:
    """What a conversation asks last, by its appearance, and whether it goes on from a tool's result."""
    kind = "result" if messages and messages[-1]["role"] == "tool" else "request"
    return f"{kind}{END}{appearance(since_request(messages))}"


def since_request(messages: Sequence[Json]) -> str:
    """From the last user message on: what a tool answered since then makes it another question."""
    users = [number for number, message in enumerate(messages) if message["role"] == "user"]
    enough = users and (len(users) == 1 or len((messages[users[-1]]["content"] or "").split()) >= WORDS)
    return _joined(messages[users[-1] :] if enough else messages)


def ways(messages: Sequence[Json]) -> list[str]:
    """What a case may be known by: its last request with what came since, that request alone, and all of it."""
    kind, end, whole = asking(messages).partition(END)
    users = [appearance(str(each["content"] or "")) for each in messages if each["role"] == "user"]
    texts = [whole, *([] if kind == "result" else users[-1:]), appearance(_joined(messages))]
    return list(dict.fromkeys(f"{kind}{end}{text}" for text in texts if text))


def case_texts(messages: Sequence[Json]) -> Iterator[str]:
    """What a case may be found by in other texts: its last user message, where that asks something, and all of it."""
    users = [message["content"] or "" for message in messages if message["role"] == "user"]
    if users and (len(users) == 1 or len(users[-1].split()) >= WORDS):
        yield users[-1]
    yield _joined(messages)


def row_texts(messages: Sequence[Json]) -> Iterator[str]:
    """Of a training row every user message, and every prompt that an assistant turn answers."""
    for number, message in enumerate(messages):
        if message.get("role") == "user":
            yield _text(message.get("content"))
        elif message.get("role") == "assistant":
            yield _joined(messages[:number])


def long(text: str) -> bool:
    """Has a folded text so many words that it is not said by chance? Some languages do not part their words."""
    return len(text.split()) >= WORDS or len(unspaced(text)) >= 4 * WORDS


def _joined(messages: Sequence[Json]) -> str:
    """What was said and called, without the instructions."""
    said = (message for message in messages if message.get("role") not in ("system", "developer"))
    return "\n".join(filter(None, (part for message in said for part in _parts(message))))


def _parts(message: Json) -> Iterator[str]:
    yield _text(message.get("content"))
    for name, arguments in training_rows.calls(message):
        yield f"{name} {json.dumps(training_rows.parsed(arguments), sort_keys=True, ensure_ascii=False)}"


def _text(content: Any) -> str:
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
