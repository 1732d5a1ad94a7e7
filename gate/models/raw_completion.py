"""Ask a served model raw: its own template's prompt in, its own text out, no parser and no grammar between.

llama-server renders and decodes by itself (/apply-template, /completion, /detokenize). mlx_lm.server answers
/v1/completions, but cuts tool calls out of the text there too: only the ids of the tokens tell all, and the
checkpoint's tokenizer turns them into text, in a child (gate.checkpoints.probes.prompts). Read for this:
mlx_lm/server.py (0.32.2), llama.cpp tools/server (b11434).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gate.errors import AskError
from gate.models.client import Client
from gate.system import parallel, platform, sandbox
from gate.system.sandbox import LimitError
from gate.types import Json, Question, Raw

AT_ONCE = 4
"""Requests at once: mlx_lm.server batches them, llama-server takes as many as it has slots."""

SECONDS = 180.0
MEMORY = 4 * 2**30
"""Limits of the child that loads a tokenizer: seconds, bytes."""

Asked = tuple[Raw, list[int]]


def prompts(client: Client, folder: Path | None, questions: Sequence[Question]) -> list[Raw]:
    """Each question with its prompt, or with the problem. `folder` holds the tokenizer of an MLX checkpoint."""
    bodies = [client.request(q.messages, tools=q.tools, max_tokens=q.max_tokens) for q in questions]
    try:
        rendered = _rendered(client, folder, bodies)
    except (AskError, LimitError) as error:
        rendered = [{"problem": f"the prompt could not be rendered: {error}"}] * len(bodies)
    return [_prompt(q, each) for q, each in zip(questions, rendered, strict=True)]


def answers(
    client: Client, folder: Path | None, raws: Sequence[Raw], *, alone: bool, tell: Callable[[int], None]
) -> list[Raw]:
    """Each prompt with the model's text: several at once, or one after the other and exactly as the chat was."""
    ask = partial(_ask, client, alone=alone)
    asked = parallel.map(ask, raws, at_once=1 if alone else AT_ONCE, tell=tell)
    if client.server.runtime != "mlx_lm" or folder is None or all(raw.problem for raw, _ in asked):
        return [raw for raw, _ in asked]
    try:
        texts = _child({"folder": str(folder), "tokens": [tokens for _, tokens in asked]}, len(asked))
    except LimitError as error:
        return [replace(raw, problem=raw.problem or f"the tokens could not be decoded: {error}") for raw, _ in asked]
    return [replace(raw, text=text) for (raw, _), text in zip(asked, texts, strict=True)]


def _rendered(client: Client, folder: Path | None, bodies: list[Json]) -> list[Json]:
    if client.server.runtime in ("llama.cpp", "scripted"):
        return parallel.map(partial(client.post_json, "/apply-template"), bodies, at_once=AT_ONCE)
    if client.server.runtime == "mlx_lm" and folder is not None:
        asked = [{"messages": body["messages"], "tools": body.get("tools", [])} for body in bodies]
        return _child({"folder": str(folder), "asked": asked}, len(asked))
    return [{"problem": _unknown(client.server.runtime)}] * len(bodies)


def _child(request: Json, count: int) -> list[Any]:
    environment = platform.model_environment(offline=True)
    made = sandbox.run(
        "gate.checkpoints.probes.prompts", request, seconds=SECONDS, memory=MEMORY, environment=environment
    )
    if not isinstance(made, list) or len(made) != count:
        raise LimitError("the tokenizer's process answered something else than it was asked")
    return made


def _unknown(runtime: str) -> str:
    if runtime == "mlx_lm":
        return "mlx_lm.server does not tell its prompts, and behind a URL there is no tokenizer to render them with"
    return "this server does not tell the prompts that it renders"


def _prompt(question: Question, rendered: Json) -> Raw:
    prompt = rendered.get("prompt")
    if not isinstance(prompt, str):
        return Raw(limit=question.max_tokens, problem=str(rendered.get("problem", "the server rendered no prompt")))
    return Raw(prompt=prompt, limit=question.max_tokens)


def _ask(client: Client, raw: Raw, *, alone: bool) -> Asked:
    """The raw answer; from mlx_lm.server its tokens, which become text all together."""
    if raw.problem:
        return raw, []
    try:
        if client.server.runtime == "llama.cpp":
            return _ask_llama(client, raw), []
        return _ask_text(client, raw, alone=alone)
    except AskError as error:
        return replace(raw, problem=f"no raw answer: {error}"), []
    except (KeyError, IndexError, TypeError) as error:
        return replace(raw, problem=f"the raw answer has another shape than it should: {error!r}"), []


def _ask_llama(client: Client, raw: Raw) -> Raw:
    """llama-server leaves special tokens out of the content: the tokens hold them, the one that ended it included."""
    body = {name: value for name, value in client.server.sampling.items() if "logprobs" not in name}
    body |= {"prompt": raw.prompt, "n_predict": raw.limit, "return_tokens": True}
    answer = client.post_json("/completion", body)
    ended = answer["stop_type"] == "eos"
    tokens = answer["tokens"][:-1] if ended else answer["tokens"]
    text = _text(client.post_json("/detokenize", {"tokens": tokens})["content"])
    return replace(raw, text=text, cut=answer["stop_type"] == "limit", tokens=answer.get("tokens_evaluated"))


def _ask_text(client: Client, raw: Raw, *, alone: bool) -> Asked:
    """/v1/completions. A seed makes mlx_lm.server serve the request alone, log-probabilities make it tell the ids."""
    body = {name: value for name, value in client.server.sampling.items() if name not in ("seed", "top_logprobs")}
    if alone and "seed" in client.server.sampling:
        body["seed"] = client.server.sampling["seed"]
    body |= {"model": client.server.model, "prompt": raw.prompt, "max_tokens": raw.limit, "logprobs": True}
    answer = client.post_json("/v1/completions", body)
    choice = answer["choices"][0]
    cut = choice["finish_reason"] == "length"
    tokens = _ids(choice) if client.server.runtime == "mlx_lm" else []
    raw = replace(raw, text=_text(choice["text"]), cut=cut, tokens=(answer.get("usage") or {}).get("prompt_tokens"))
    return raw, tokens if cut else tokens[:-1]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _ids(choice: Any) -> list[int]:
    return [step["id"] for step in choice["logprobs"]["content"]]
