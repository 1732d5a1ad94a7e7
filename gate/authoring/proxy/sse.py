"""A streamed chat completion, put together from its server-sent events to the one object that was streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gate.errors import CaseError
from gate.system import jsonl
from gate.types import Json

DONE = "[DONE]"
"""What OpenAI's streams end with; not every server writes it."""
_LINE = re.compile(r"\r\n|\n|\r")  # str.splitlines would cut at U+2028 too, which may stand in JSON


@dataclass(frozen=True, slots=True)
class Joined:
    """What a stream held."""

    answer: Json
    """A chat.completion; empty when no event could be read."""
    rest: str
    """The data of the events that are no JSON object."""
    ended: bool
    """Is its end there?"""


class _Pieces(list[str]):
    """A text that is still coming: joined once, because adding to a long text again and again copies it each time."""


def joined(text: str) -> Joined:
    """The one chat.completion that was streamed.

    Source: platform.openai.com/docs/api-reference/chat-streaming; html.spec.whatwg.org, "Interpreting an event stream".
    """
    whole: Json = {}
    choices: dict[int, Json] = {}
    rest: list[str] = []
    ended = False
    for data in events(text):
        if data.strip() == DONE:
            ended = True
        elif (event := _object(data)) is None:
            rest.append(data)
        else:
            _add_event(whole, choices, event)
    if whole or choices:
        whole |= {"object": "chat.completion", "choices": [_finished(choices[number]) for number in sorted(choices)]}
    ended = ended or (bool(choices) and all(choice["finish_reason"] for choice in choices.values()))
    return Joined(whole, "\n".join(rest), ended)


def events(text: str) -> Iterator[str]:
    """The data of each event. One that was cut off comes too: what has arrived is kept."""
    data: list[str] = []
    for line in _LINE.split(text.removeprefix("\ufeff")):
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)


def _object(data: str) -> Json | None:
    try:
        value = jsonl.loads(data, where="an event")
    except CaseError:
        return None
    return value if isinstance(value, dict) else None


def _add_event(whole: Json, choices: dict[int, Json], event: Json) -> None:
    """Add a chunk: its choices by their index; of all else (id, model, usage, timings) the latest but null."""
    given = event.pop("choices", None)
    whole.update((key, value) for key, value in event.items() if value is not None)
    for each in given if isinstance(given, list) else []:
        if isinstance(each, dict):
            index = each.get("index")
            index = index if type(index) is int else 0
            _add_choice(choices.setdefault(index, _new_choice(index)), each)


def _new_choice(index: int) -> Json:
    return {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}


def _add_choice(choice: Json, given: Json) -> None:
    for key, value in given.items():
        if key in ("delta", "message", "logprobs"):
            if isinstance(value, dict) and key == "logprobs":
                _add_lists(choice.setdefault(key, {}), value)
            elif isinstance(value, dict):
                _add_delta(choice["message"], value)
        elif key != "index" and value is not None:
            choice[key] = value


def _add_delta(message: Json, delta: Json) -> None:
    """Texts are joined under whatever name they have: content, reasoning, reasoning_content, refusal."""
    for key, value in delta.items():
        if key == "tool_calls":
            for each in value if isinstance(value, list) else []:
                _add_call(message.setdefault(key, []), each)
        elif key == "function_call":
            if isinstance(value, dict):
                _add_function(message.setdefault(key, {}), value)
        elif isinstance(value, str) and key != "role":
            _add_text(message, key, value)
        elif isinstance(value, list):
            _add_lists(message, {key: value})
        elif value is not None:
            message[key] = value


def _add_call(calls: list[Json], given: Any) -> None:
    """Add a part to the call that it belongs to, or begin one."""
    if not isinstance(given, dict):
        return
    call = _meant(calls, given)
    if call is None:
        calls.append(call := {})
    for key, value in given.items():
        if key == "function":
            if isinstance(value, dict):
                _add_function(call.setdefault(key, {}), value)
        elif value is not None and value != "":
            call[key] = value


def _meant(calls: list[Json], given: Json) -> Json | None:
    """The call that a part goes on with: the latest of its index. Some servers give every call the same index, or none.

    Then another id begins another call; and without an index, so does a name.
    """
    index, named = given.get("index"), given.get("id")
    call = next((each for each in reversed(calls) if each.get("index") == index), None)
    if call is None or (named and call.get("id") and call["id"] != named):
        return None
    function = given.get("function")
    begins = index is None and not named and isinstance(function, dict) and bool(function.get("name"))
    return None if begins else call


def _add_function(function: Json, given: Json) -> None:
    """A name comes once, also where a server repeats it with every part; arguments come in pieces."""
    for key, value in given.items():
        if key == "arguments" and isinstance(value, str):
            _add_text(function, key, value)
        elif value is not None and value != "":
            function[key] = value


def _add_text(holder: Json, key: str, text: str) -> None:
    if not isinstance(holder.get(key), _Pieces):
        holder[key] = _Pieces()
    holder[key].append(text)


def _add_lists(holder: Json, given: Json) -> None:
    for key, value in given.items():
        if isinstance(value, list) and type(holder.get(key)) is list:
            holder[key].extend(value)
        elif value is not None:
            holder[key] = value


def _finished(choice: Json) -> Json:
    """The choice as it is without streaming: texts whole, calls without the index of their parts."""
    message = _whole(choice["message"])
    if "function_call" in message:
        message["function_call"] = _whole(message["function_call"])
    if "tool_calls" in message:
        message["tool_calls"] = [_finished_call(call) for call in message["tool_calls"]]
    return choice | {"message": message}


def _finished_call(call: Json) -> Json:
    kept = {key: value for key, value in call.items() if key != "index"}
    return kept | ({"function": _whole(kept["function"])} if "function" in kept else {})


def _whole(holder: Json) -> Json:
    return {key: "".join(value) if isinstance(value, _Pieces) else value for key, value in holder.items()}
