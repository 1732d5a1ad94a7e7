"""Raw completions: the prompt of the checkpoint's own template, and the model's text without parser and grammar.

Each runtime defines how to get them (gate.models.runtime.RawView).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gate.errors import AskError
from gate.models import runtime
from gate.models.client import Client, request
from gate.system import parallel
from gate.system.sandbox import LimitError
from gate.types import Json, Question, Raw

AT_ONCE = 4
"""Requests at once: mlx_lm.server batches them, llama-server serves as many as it has slots."""

RawAnswer = tuple[Raw, list[int]]
"""An answer, and its token ids where the runtime decodes them."""


def prompts(client: Client, folder: Path | None, questions: Sequence[Question]) -> list[Raw]:
    """Render each question into a Raw with its prompt or problem. `folder` holds the checkpoint's tokenizer, if any."""
    bodies = [request(client.server, q.messages, tools=q.tools, max_tokens=q.max_tokens) for q in questions]
    view = runtime.by_name(client.server.runtime).raw
    try:
        if view is None:
            rendered: list[Json] = [{"problem": "this server does not reveal the prompts that it renders"}] * len(
                bodies
            )
        else:
            rendered = view.render(client, folder, bodies)
    except (AskError, LimitError) as error:
        rendered = [{"problem": f"the prompt could not be rendered: {error}"}] * len(bodies)
    return [_prompt(q, each) for q, each in zip(questions, rendered, strict=True)]


def answers(
    client: Client, folder: Path | None, raws: Sequence[Raw], *, sequential: bool, tell: Callable[[int], None]
) -> list[Raw]:
    """Complete each prompt: several at once, or one at a time with the seed of the chat requests.

    `tell` is called with the number of prompts that are done.
    """
    view = runtime.by_name(client.server.runtime).raw
    if view is None:
        return list(raws)
    ask = partial(_ask, client, view.ask, sequential)
    completed = parallel.map(ask, raws, at_once=1 if sequential else AT_ONCE, tell=tell)
    if view.decode is None or folder is None or all(raw.problem for raw, _ in completed):
        return [raw for raw, _ in completed]
    try:
        texts = view.decode(folder, [tokens for _, tokens in completed])
    except LimitError as error:
        why = f"the tokens could not be decoded: {error}"
        return [replace(raw, problem=raw.problem or why) for raw, _ in completed]
    return [replace(raw, text=text) for (raw, _), text in zip(completed, texts, strict=True)]


def applied_template(client: Client, _folder: Path | None, bodies: list[Json]) -> list[Json]:
    """Render prompts with llama-server's /apply-template."""
    return parallel.map(partial(client.post_json, "/apply-template"), bodies, at_once=AT_ONCE)


def completion(client: Client, raw: Raw, *, sequential: bool) -> tuple[Raw, Json]:
    """Complete a prompt by /v1/completions: the answer, and its choice with log-probabilities.

    `sequential`: send the seed, with which some servers compute a request by itself. Raises AskError.
    """
    body = {name: value for name, value in client.server.sampling.items() if name not in ("seed", "top_logprobs")}
    if sequential and "seed" in client.server.sampling:
        body["seed"] = client.server.sampling["seed"]
    body |= {"model": client.server.model, "prompt": raw.prompt, "max_tokens": raw.limit, "logprobs": True}
    answer = client.post_json("/v1/completions", body)
    choice = answer["choices"][0]
    count = (answer.get("usage") or {}).get("prompt_tokens")
    return replace(raw, text=text(choice["text"]), cut=choice["finish_reason"] == "length", tokens=count), choice


def text(value: Any) -> str:
    """The value if it is a string. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value


def _prompt(question: Question, rendered: Json) -> Raw:
    prompt = rendered.get("prompt")
    if not isinstance(prompt, str):
        return Raw(limit=question.max_tokens, problem=str(rendered.get("problem", "the server rendered no prompt")))
    return Raw(prompt=prompt, limit=question.max_tokens)


def _ask(client: Client, ask: Callable[[Client, Raw, bool], RawAnswer], sequential: bool, raw: Raw) -> RawAnswer:
    """The raw answer; its problem where there is none."""
    if raw.problem:
        return raw, []
    try:
        return ask(client, raw, sequential)
    except AskError as error:
        return replace(raw, problem=f"no raw answer: {error}"), []
    except (KeyError, IndexError, TypeError) as error:
        return replace(raw, problem=f"the raw answer has an unexpected shape: {error!r}"), []
