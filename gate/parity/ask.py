"""Serves the hops one after the other, and asks each the same prompts: only one model is in memory at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import resources

from gate.checkpoints import checkpoint as checkpoints
from gate.errors import AskError, ServeError
from gate.models.client import Client
from gate.models.runtime import by_name
from gate.models.serving.start import served
from gate.parity.answer import Answer, Hop, steps
from gate.types import Checkpoint, Json, Reply, Say, Server

TOP = 11
"""Log-probabilities requested at each step: the most that mlx_lm.server allows (its `_validate("top_logprobs", …)`)."""
CONTEXT = 4096
ANSWER_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of gate/parity/prompts.json."""

    id: str
    messages: list[Json]
    tools: list[Json]
    max_tokens: int


def prompts(count: int | None = None) -> tuple[Prompt, ...]:
    """Load the fixed prompts, or `count` of them evenly spread.

    Those with the same tools follow each other, so that a server processes their system text and tools only once.
    """
    text = resources.files("gate.parity").joinpath("prompts.json").read_text(encoding="utf-8")
    data = json.loads(text)
    tools = {"": []} | data["tools"]
    fixed = [Prompt(p["id"], p["messages"], tools[p.get("tools", "")], p["max_tokens"]) for p in data["prompts"]]
    kept = len(fixed) if count is None else min(count, len(fixed))
    return tuple(fixed[index * len(fixed) // kept] for index in range(kept))


def ask(checkpoint: Checkpoint, questions: Sequence[Prompt], *, name: str, say: Say) -> Hop:
    """Serve a checkpoint, and ask every prompt in turn; the server is always stopped. Raises ServeError and AskError.

    `name`: what the hop is called in messages and tables. `say`: shows progress.
    """
    begun = time.monotonic()
    try:
        with (
            served(checkpoint, say, context=CONTEXT) as server,
            closing(_RecordingClient(_with_top_logprobs(server), timeout=ANSWER_SECONDS)) as client,
        ):
            answers = []
            for number, prompt in enumerate(questions, start=1):
                say(f"asking {name} {number}/{len(questions)}")
                answers.append(_answer(client, prompt))
    except (ServeError, AskError) as error:
        raise type(error)(f"{name}: {error}") from error
    kind = checkpoint.kind.name
    return Hop(name, kind, checkpoint.where, _size(checkpoint), time.monotonic() - begun, tuple(answers))


class _RecordingClient(Client):
    """A client that keeps the last response body: a Reply has no log-probabilities."""

    body = ""

    def _post(self, body: Json) -> tuple[int, str]:
        self.body = ""
        status, self.body = super()._post(body)
        return status, self.body


def _answer(client: _RecordingClient, prompt: Prompt) -> Answer:
    reply = client.chat(prompt.messages, tools=prompt.tools, max_tokens=prompt.max_tokens)
    count = reply.usage.get("prompt_tokens")
    return Answer(
        prompt=prompt.id,
        tools=bool(prompt.tools),
        steps=steps(client.body, best=by_name(client.server.runtime).any_of_best),
        text=_text(reply),
        calls=tuple(reply.calls),
        finish=reply.finish,
        prompt_tokens=count if isinstance(count, int) else None,
    )


def _text(reply: Reply) -> str:
    """Reasoning, content and calls as one text; the fault where there is none of them."""
    calls = [json.dumps(call, ensure_ascii=False, sort_keys=True) for call in reply.calls]
    return "\n".join(part for part in (reply.reasoning, reply.content, *calls) if part) or reply.fault


def _with_top_logprobs(server: Server) -> Server:
    """The server with TOP log-probabilities a step in its requests, if it accepts that many."""
    if "top_logprobs" not in server.sampling:
        return server
    wider = replace(server, sampling=server.sampling | {"top_logprobs": TOP})
    with Client(wider, timeout=ANSWER_SECONDS) as client:
        return wider if client.ping()[0] == 200 else server


def _size(checkpoint: Checkpoint) -> int | None:
    if checkpoint.path is None:
        return None
    return sum(path.stat().st_size for path in checkpoints.files(checkpoint).values())
