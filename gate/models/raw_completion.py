"""Ask a served model raw: its own template's prompt in, its own text out, no parser and no grammar between.

How that is done is the runtime's to say (gate.models.runtime.RawView).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gate.errors import AskError
from gate.models import runtime
from gate.models.client import Client
from gate.system import parallel
from gate.system.sandbox import LimitError
from gate.types import Json, Question, Raw

AT_ONCE = 4
"""Requests at once: mlx_lm.server batches them, llama-server takes as many as it has slots."""

Asked = tuple[Raw, list[int]]


def prompts(client: Client, folder: Path | None, questions: Sequence[Question]) -> list[Raw]:
    """Each question with its prompt, or with the problem. `folder` holds the tokenizer of an MLX checkpoint."""
    bodies = [client.request(q.messages, tools=q.tools, max_tokens=q.max_tokens) for q in questions]
    view = runtime.named(client.server.runtime).raw
    try:
        if view is None:
            rendered: list[Json] = [{"problem": "this server does not tell the prompts that it renders"}] * len(bodies)
        else:
            rendered = view.render(client, folder, bodies)
    except (AskError, LimitError) as error:
        rendered = [{"problem": f"the prompt could not be rendered: {error}"}] * len(bodies)
    return [_prompt(q, each) for q, each in zip(questions, rendered, strict=True)]


def answers(
    client: Client, folder: Path | None, raws: Sequence[Raw], *, sequential: bool, tell: Callable[[int], None]
) -> list[Raw]:
    """Each prompt with the model's text: several at once, or one after the other and exactly as the chat was."""
    view = runtime.named(client.server.runtime).raw
    if view is None:
        return list(raws)
    ask = partial(_ask, client, view.ask, sequential)
    asked = parallel.map(ask, raws, at_once=1 if sequential else AT_ONCE, tell=tell)
    if view.decode is None or folder is None or all(raw.problem for raw, _ in asked):
        return [raw for raw, _ in asked]
    try:
        texts = view.decode(folder, [tokens for _, tokens in asked])
    except LimitError as error:
        return [replace(raw, problem=raw.problem or f"the tokens could not be decoded: {error}") for raw, _ in asked]
    return [replace(raw, text=text) for (raw, _), text in zip(asked, texts, strict=True)]


def applied_template(client: Client, _folder: Path | None, bodies: list[Json]) -> list[Json]:
    """Prompts as the server itself renders them, by llama-server's /apply-template."""
    return parallel.map(partial(client.post_json, "/apply-template"), bodies, at_once=AT_ONCE)


def completion(client: Client, raw: Raw, *, sequential: bool) -> tuple[Raw, Json]:
    """The answer to a prompt by /v1/completions, and its choice with log-probabilities; `sequential`: with the seed."""
    body = {name: value for name, value in client.server.sampling.items() if name not in ("seed", "top_logprobs")}
    if sequential and "seed" in client.server.sampling:
        body["seed"] = client.server.sampling["seed"]
    body |= {"model": client.server.model, "prompt": raw.prompt, "max_tokens": raw.limit, "logprobs": True}
    answer = client.post_json("/v1/completions", body)
    choice = answer["choices"][0]
    count = (answer.get("usage") or {}).get("prompt_tokens")
    return replace(raw, text=text(choice["text"]), cut=choice["finish_reason"] == "length", tokens=count), choice


def text(value: Any) -> str:
    """The value, which must be a text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _prompt(question: Question, rendered: Json) -> Raw:
    prompt = rendered.get("prompt")
    if not isinstance(prompt, str):
        return Raw(limit=question.max_tokens, problem=str(rendered.get("problem", "the server rendered no prompt")))
    return Raw(prompt=prompt, limit=question.max_tokens)


def _ask(client: Client, ask: Callable[[Client, Raw, bool], Asked], sequential: bool, raw: Raw) -> Asked:
    """The raw answer, or the problem."""
    if raw.problem:
        return raw, []
    try:
        return ask(client, raw, sequential)
    except AskError as error:
        return replace(raw, problem=f"no raw answer: {error}"), []
    except (KeyError, IndexError, TypeError) as error:
        return replace(raw, problem=f"the raw answer has another shape than it should: {error!r}"), []
