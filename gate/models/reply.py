"""Normalise what OpenAI-compatible servers send into one Reply.

Read for this: mlx_lm/server.py (0.32.2), llama.cpp tools/server and common/chat.cpp (b11434), the OpenAI API
reference. Every server differs in something: where reasoning stands, what an unparsable call becomes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from gate.errors import AskError, CaseError
from gate.models import tool_calls
from gate.system import jsonl
from gate.system.text import one_line
from gate.types import Json, Reply, Step

ENDINGS = ("stop", "tool_calls", "function_call", "eos", "end_turn")
"""Finish reasons of an answer that ended by itself."""
MODEL_FAULTS = ("output that does not match the expected", "Failed to parse tool call arguments")
"""llama-server answers HTTP 500 with these when the *model's* text does not parse (common/chat.cpp)."""


def read(status: int, text: str, *, seconds: float, tools: list[Json]) -> Reply:
    """A Reply from an HTTP status and body. Raises AskError when it says nothing about the model."""
    body = loads(text)
    if status == 500 and any(fault in text for fault in MODEL_FAULTS):
        return failed(f"the server could not parse what the model wrote: {_error(body, text)}", seconds, status, text)
    if status != 200:
        raise AskError(f"HTTP {status}: {_error(body, text)}")
    choice = _choice(body, text)
    message = choice["message"]
    content, usage = _content(message.get("content")), body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    calls = _calls(message)
    finish = str(choice.get("finish_reason") or "")
    return Reply(
        content=content,
        reasoning=_content(message.get("reasoning_content") or message.get("reasoning")),
        calls=calls,
        leaks=[_plain(leak) for leak in tool_calls.find(content, tools)],
        finish=finish,
        fault=_fault(content, calls, finish),
        usage=usage,
        seconds=seconds,
        status=status,
        margin=_margin(choice, usage.get("completion_tokens")),
        raw=_without_logprobs(body),
    )


def steps(text: str) -> list[Step]:
    """The steps of the first choice of a body, as far as they are told. Raises AskError where there is no choice."""
    return _steps(first_choice(text))


def first_choice(text: str) -> Json:
    """The first choice of a body, with a message in it. Raises AskError."""
    return _choice(loads(text), text)


def distributions(choice: Json) -> list[tuple[Json, list[Json]]]:
    """Each step of a choice as it was served, with its listed tokens that have a log-probability, the best first.

    Servers list them in any order; minus infinity comes as a very low number or as null.
    """
    steps = [step if isinstance(step, dict) else {} for step in _listed(choice.get("logprobs"), "content")]
    listed = [filter(has_logprob, _listed(step, "top_logprobs")) for step in steps]
    return [(step, sorted(top, key=lambda token: -token["logprob"])) for step, top in zip(steps, listed, strict=True)]


def has_logprob(token: Any) -> bool:
    """Is it a token with a log-probability? Rounding may lift one a little above 0."""
    value = token.get("logprob") if isinstance(token, dict) else None
    return isinstance(value, (int, float)) and value <= 0.01


def failed(fault: str, seconds: float, status: int = 0, raw: str = "") -> Reply:
    """The Reply of a model whose answer did not come through the server."""
    return Reply("", "", [], [], "", fault, {}, seconds, status, None, raw)


def loads(text: str) -> Any:
    """JSON from a server, None where it is none; numbers that JSON does not have become null."""
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_float=_number)
    except (ValueError, RecursionError):
        return None


def _fault(content: str, calls: list[Json], finish: str) -> str:
    if finish == "length":
        return "cut at max_tokens"
    if finish not in ENDINGS:
        return f"did not end by itself: finish_reason {finish[:40]!r}"
    if finish == "tool_calls" and not calls:
        return "the server said tool_calls and gave none: it could not parse what the model wrote"
    if not calls and not content.strip():
        return "empty answer"
    return ""


def _choice(body: Any, text: str) -> Json:
    choices = body.get("choices") if isinstance(body, dict) and not body.get("error") else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise AskError(f"the answer is no chat completion: {_error(body, text)}")
    if not isinstance(choices[0].get("message"), dict):
        raise AskError(f"the answer holds no message: {_error(body, text)}")
    choice: Json = choices[0]
    return choice


def _content(value: Any) -> str:
    """Text of a content field: a string, null, or a list of typed parts."""
    if isinstance(value, list):
        texts = [part.get("text") for part in value if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return value if isinstance(value, str) else ""


def _calls(message: Json) -> list[Json]:
    """Tool calls as served. What has another shape is a call without a name, never "no call"."""
    given = message.get("tool_calls") or []
    given = given if isinstance(given, list) else [given]
    functions = [call.get("function") if isinstance(call, dict) else None for call in given]
    if isinstance(message.get("function_call"), dict):
        functions.append(message["function_call"])
    return [_call(function if isinstance(function, dict) else {}) for function in functions]


def _call(function: Json) -> Json:
    name = function.get("name")
    return {"name": name if isinstance(name, str) else "", "arguments": _arguments(function.get("arguments"))}


def _arguments(given: Any) -> Any:
    """An object, or what came: also where a key stands twice (parsers take one or the other), and for NaN."""
    if not isinstance(given, str):
        return given
    try:
        parsed = jsonl.loads(given, where="arguments")
    except CaseError:
        return given
    return parsed if isinstance(parsed, dict) else given


def _plain(call: Json) -> Json:
    """A call that JSON can hold: a number beyond every double becomes part of a text."""
    try:
        json.dumps(call, allow_nan=False)
    except ValueError:
        return call | {"arguments": str(call["arguments"])}
    return call


def _margin(choice: Json, written: Any) -> float | None:
    """The smallest gap; None where it could be that of a step that is not told.

    llama-server leaves out steps that end inside a character (server-context.cpp, process_token): of 40 tokens of emoji
    it tells 13. `written`: how many tokens there were, of which the last one, the end, need not be told.
    """
    steps, listed = _steps(choice), len(_listed(choice.get("logprobs"), "content"))
    whole = len(steps) == listed and (not isinstance(written, int) or listed >= written - 1)
    return min((gap for _, gap in steps), default=None) if whole else None


def _steps(choice: Json) -> list[Step]:
    """Every step whose two best tokens are told.

    The gap is that between them, and 0 where another token was taken: a grammar has refused these, and what it chose
    among is not told (llama.cpp, server-context.cpp: the probabilities are those before sampling).
    """
    steps = []
    for step, top in distributions(choice):
        best = [token for token in top if -1e30 < token["logprob"] <= 0][:2]
        if len(best) == 2:
            gap = best[0]["logprob"] - best[1]["logprob"]
            steps.append((str(step.get("token")), gap if _name(step) == _name(best[0]) else 0.0))
    return steps


def _name(token: Json) -> Any:
    return token.get("id", token.get("token"))


def _listed(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _without_logprobs(body: Json) -> str:
    """The body as received, less the log-probabilities: they are most of it, and their sum is `margin`."""
    choices = [{k: v for k, v in c.items() if k != "logprobs"} for c in body["choices"] if isinstance(c, dict)]
    return json.dumps(body | {"choices": choices}, ensure_ascii=False)


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _error(body: Any, text: str) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return one_line(str(message or text or "(empty body)"), 500)
