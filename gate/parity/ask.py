"""Serve one hop after the other and ask each the same prompts: one model in memory at a time."""

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
"""Log-probabilities wanted at each token: the most that mlx_lm.server gives (its `_validate("top_logprobs", …)`)."""
CONTEXT = 4096
ANSWER_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """One fixed prompt of gate/parity/prompts.json."""

    id: str
    messages: list[Json]
    tools: list[Json]
    max_tokens: int


def prompts(count: int | None = None) -> tuple[Prompt, ...]:
    """The fixed prompts, or `count` of them evenly spread; those with the same tools follow each other.

    So a server's prefix cache has read their system text and tools only once.
    """
    text = resources.files("gate.parity").joinpath("prompts.json").read_text(encoding="utf-8")
    data = json.loads(text)
    tools = {"": []} | data["tools"]
    every = [Prompt(p["id"], p["messages"], tools[p.get("tools", "")], p["max_tokens"]) for p in data["prompts"]]
    kept = len(every) if count is None else min(count, len(every))
    return tuple(every[index * len(every) // kept] for index in range(kept))


def ask(checkpoint: Checkpoint, asked: Sequence[Prompt], *, name: str, say: Say) -> Hop:
    """Serve a checkpoint, ask every prompt in turn, and stop it whatever happens. Raises ServeError and AskError."""
    begun = time.monotonic()
    try:
        with (
            served(checkpoint, say, context=CONTEXT) as server,
            closing(_Listener(_widened(server), timeout=ANSWER_SECONDS)) as client,
        ):
            answers = []
            for number, prompt in enumerate(asked, start=1):
                say(f"asking {name} {number}/{len(asked)}")
                answers.append(_answer(client, prompt))
    except (ServeError, AskError) as error:
        raise type(error)(f"{name}: {error}") from error
    kind = checkpoint.kind.name
    return Hop(name, kind, checkpoint.where, _size(checkpoint), time.monotonic() - begun, tuple(answers))


class _Listener(Client):
    """A client that keeps the last body as it came: a Reply leaves the log-probabilities out."""

    heard = ""

    def _post(self, body: Json) -> tuple[int, str]:
        self.heard = ""
        status, self.heard = super()._post(body)
        return status, self.heard


def _answer(client: _Listener, prompt: Prompt) -> Answer:
    client.heard = ""
    reply = client.chat(prompt.messages, tools=prompt.tools, max_tokens=prompt.max_tokens)
    count = reply.usage.get("prompt_tokens")
    return Answer(
        prompt=prompt.id,
        tools=bool(prompt.tools),
        steps=steps(client.heard, best=by_name(client.server.runtime).any_of_best),
        text=_text(reply),
        calls=tuple(reply.calls),
        finish=reply.finish,
        prompt_tokens=count if isinstance(count, int) else None,
    )


def _text(reply: Reply) -> str:
    """Reasoning, content and calls as one text; what the server could not read stands for a failed answer."""
    calls = [json.dumps(call, ensure_ascii=False, sort_keys=True) for call in reply.calls]
    said = [part for part in (reply.reasoning, reply.content, *calls) if part]
    return "\n".join(said) or reply.fault


def _widened(server: Server) -> Server:
    """The server asked for TOP log-probabilities a token, where it takes that many."""
    if "top_logprobs" not in server.sampling:
        return server
    wider = replace(server, sampling=server.sampling | {"top_logprobs": TOP})
    with Client(wider, timeout=ANSWER_SECONDS) as client:
        return wider if client.ping()[0] == 200 else server


def _size(checkpoint: Checkpoint) -> int | None:
    if checkpoint.path is None:
        return None
    return sum(path.stat().st_size for path in checkpoints.files(checkpoint).values())
