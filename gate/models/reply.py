"""Parses the responses of OpenAI-compatible servers into Reply values.

Servers differ: in the field that holds reasoning, in what they return for a call that they cannot parse. Sources:
mlx_lm/server.py (0.32.2), llama.cpp tools/server and common/chat.cpp (b11434), the OpenAI API reference.
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
"""Finish reasons of an answer that the model ended itself."""
MODEL_FAULTS = ("output that does not match the expected", "Failed to parse tool call arguments")
"""Error messages of llama-server's HTTP 500 when it cannot parse the *model's* text (common/chat.cpp)."""


def read(status: int, text: str, *, seconds: float, tools: list[Json]) -> Reply:
    """Parse an HTTP status and body into a Reply. Raises AskError when the failure is not the model's.

    `seconds`: how long the request took. `tools`: those of the request, to recognize calls in the text.
    """
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
        leaks=[_json_safe(leak) for leak in tool_calls.find(content, tools)],
        finish=finish,
        fault=_fault(content, calls, finish),
        usage=usage,
        seconds=seconds,
        status=status,
        margin=_margin(choice, usage.get("completion_tokens")),
        raw=_without_logprobs(body),
    )


def steps(text: str) -> list[Step]:
    """The steps of a body's first choice that have log-probabilities. Raises AskError where there is no choice."""
    return _steps(first_choice(text))


def first_choice(text: str) -> Json:
    """A body's first choice. Raises AskError where there is none, or none with a message."""
    return _choice(loads(text), text)


def distributions(choice: Json) -> list[tuple[Json, list[Json]]]:
    """Each step of a choice, and its candidate tokens that have a log-probability, the most likely first.

    Servers list candidates in any order, and write minus infinity as a very low number or as null.
    """
    steps = [step if isinstance(step, dict) else {} for step in _listed(choice.get("logprobs"), "content")]
    listed = [filter(has_logprob, _listed(step, "top_logprobs")) for step in steps]
    return [(step, sorted(top, key=lambda token: -token["logprob"])) for step, top in zip(steps, listed, strict=True)]


def has_logprob(token: Any) -> bool:
    """Does a token have a log-probability? Rounding may raise one slightly above 0."""
    value = token.get("logprob") if isinstance(token, dict) else None
    return isinstance(value, (int, float)) and value <= 0.01


def failed(fault: str, seconds: float, status: int = 0, raw: str = "") -> Reply:
    """The Reply for an answer that the server could not return."""
    return Reply("", "", [], [], "", fault, {}, seconds, status, None, raw)


def loads(text: str) -> Any:
    """Parse JSON from a server; None where it does not parse. NaN and infinities become None."""
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
        return "finish_reason is tool_calls, but there are none: the server could not parse what the model wrote"
    if not calls and not content.strip():
        return "empty answer"
    return ""


def _choice(body: Any, text: str) -> Json:
    choices = body.get("choices") if isinstance(body, dict) and not body.get("error") else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise AskError(f"the answer is not a chat completion: {_error(body, text)}")
    if not isinstance(choices[0].get("message"), dict):
        raise AskError(f"the answer has no message: {_error(body, text)}")
    choice: Json = choices[0]
    return choice


def _content(value: Any) -> str:
    """Text of a content field: a string, null, or a list of typed parts."""
    if isinstance(value, list):
        texts = [part.get("text") for part in value if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return value if isinstance(value, str) else ""


def _calls(message: Json) -> list[Json]:
    """Tool calls as served. A malformed call is a call without a name, never "no call"."""
    served = message.get("tool_calls") or []
    served = served if isinstance(served, list) else [served]
    functions = [call.get("function") if isinstance(call, dict) else None for call in served]
    if isinstance(message.get("function_call"), dict):
        functions.append(message["function_call"])
    return [_call(function if isinstance(function, dict) else {}) for function in functions]


def _call(function: Json) -> Json:
    name = function.get("name")
    return {"name": name if isinstance(name, str) else "", "arguments": _arguments(function.get("arguments"))}


def _arguments(served: Any) -> Any:
    """The arguments as an object; unchanged where they are none, repeat a key (parsers disagree) or hold NaN."""
    if not isinstance(served, str):
        return served
    try:
        parsed = jsonl.loads(served, where="arguments")
    except CaseError:
        return served
    return parsed if isinstance(parsed, dict) else served


def _json_safe(call: Json) -> Json:
    """The call; its arguments as text where they hold a number that JSON cannot represent."""
    try:
        json.dumps(call, allow_nan=False)
    except ValueError:
        return call | {"arguments": str(call["arguments"])}
    return call


def _margin(choice: Json, written: Any) -> float | None:
    """The smallest gap; None where steps are missing, since one of these could have a smaller gap.

    llama-server omits steps that end inside a character (server-context.cpp, process_token): of 40 tokens of emoji it
    lists 13. `written`: the number of tokens; the last one, which ended the answer, may be missing.
    """
    steps, listed = _steps(choice), len(_listed(choice.get("logprobs"), "content"))
    whole = len(steps) == listed and (not isinstance(written, int) or listed >= written - 1)
    return min((gap for _, gap in steps), default=None) if whole else None


def _steps(choice: Json) -> list[Step]:
    """Every step whose two most likely tokens are listed, with the gap between these.

    The gap is 0 where the best token was not taken: a grammar refused it, and the candidates after the grammar are not
    listed (llama.cpp, server-context.cpp: the probabilities are those before sampling).
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
    items = value.get(key) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _without_logprobs(body: Json) -> str:
    """The body without the log-probabilities, which make up most of it; `margin` summarizes them."""
    choices = [{k: v for k, v in c.items() if k != "logprobs"} for c in body["choices"] if isinstance(c, dict)]
    return json.dumps(body | {"choices": choices}, ensure_ascii=False)


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _error(body: Any, text: str) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return one_line(str(message or text or "(empty body)"), 500)
