"""Asks the model of a run: an answer that is in the reply cache is not asked again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from gate.errors import AskError
from gate.models.client import Client, request
from gate.system.cache import Cache
from gate.types import AskMode, Json, Question, Reply, Server


@dataclass(frozen=True, slots=True)
class Host:
    """The model of a run, and how it is asked."""

    server: Server
    """Where it is served, or how it was served when its answers were cached."""
    mode: AskMode
    about: Json | None = None
    """What identifies its answers in the reply cache; None where nothing can, as for a URL."""
    serve: Callable[[], Server] | None = None
    """Serves it, the first time that something must be asked; None where it is served already."""


class Session:
    """Asks the model, or takes the answer from the cache. Safe to use from several threads."""

    def __init__(self, host: Host, *, timeout: float, cache: Cache | None = None) -> None:
        self.mode = host.mode
        self._host, self._timeout, self._cache = host, timeout, cache
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._failed: Exception | None = None
        self._cut = False

    def answer(self, question: Question, *, verified: bool = False, repeat: str = "1.1", fresh: bool = False) -> Reply:
        """One reply. Raises AskError, or what serving raises.

        `verified`: nothing else is under way, and this answer counts; `repeat`: which of several answers to one
        question; `fresh`: neither taken from the cache nor kept in it.
        """
        how = "sequential" if self.mode.name == "sequential" else "" if verified else "batched"
        asked = self._identity(question, how, repeat)
        cache = None if fresh else self._cache
        better = [self._identity(question, "", repeat)] if how == "batched" and self.mode.name == "verified" else []
        for each in (*better, asked):
            row, earlier = cache.look(each) if cache is not None else (None, False)
            if row:
                return replace(Reply(**row), cached=earlier)
        reply = self._connected().chat(question.messages, tools=question.tools, max_tokens=question.max_tokens, how=how)
        if self._cut:
            raise AskError("cut: the run has ended")  # mlx_lm's own way to fail looks the same
        reply = replace(reply, verified=verified)
        if cache is not None:
            cache.put(asked, msgspec.to_builtins(reply))
        return reply

    def abort(self) -> None:
        """End what is under way."""
        self._cut = True
        if self._client is not None:
            self._client.abort()

    def flush(self) -> None:
        """Write what is to be cached."""
        if self._cache is not None:
            self._cache.flush()

    def close(self) -> None:
        """Write what is to be cached, and let go of the server."""
        if self._cache is not None:
            self._cache.close()
        if self._client is not None:
            self._client.close()

    def _identity(self, question: Question, how: str, repeat: str) -> Json:
        """What identifies an answer: all that is asked, but for the name that a server was given for this run."""
        body = request(
            self._host.server, question.messages, tools=question.tools, max_tokens=question.max_tokens, how=how
        )
        return {"chat": {key: value for key, value in body.items() if key != "model"}, "how": how, "repeat": repeat}

    def _connected(self) -> Client:
        with self._lock:
            if self._cut:
                raise AskError("cut: the run has ended")
            if self._failed is not None:
                raise self._failed  # not once more for each question
            if self._client is None:
                try:
                    server = self._host.serve() if self._host.serve is not None else self._host.server
                except Exception as error:
                    self._failed = error
                    raise
                self._client = Client(server, timeout=self._timeout)
            return self._client
