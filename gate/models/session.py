"""A session with the model of a run: answers come from the reply cache, or from the server."""

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
    """The model of a run, and its ask mode."""

    server: Server
    """The running server, or the one whose answers were cached."""
    mode: AskMode
    about: Json | None = None
    """The identity of its answers in the reply cache; None where there is none, as for a URL."""
    serve: Callable[[], Server] | None = None
    """Starts the server, for the first question that is not cached; None where it is running already."""


class Session:
    """Answers questions from the cache or by asking the model. Safe to use from several threads."""

    def __init__(self, host: Host, *, timeout: float, cache: Cache | None = None) -> None:
        self.mode = host.mode
        self._host, self._timeout, self._cache = host, timeout, cache
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._failed: Exception | None = None
        self._aborted = False

    def answer(self, question: Question, *, verified: bool = False, repeat: str = "1.1", fresh: bool = False) -> Reply:
        """Answer one question. Raises AskError, or what starting the server raises.

        `verified`: no other request is under way, so this answer counts; `repeat`: tells several answers to the same
        question apart; `fresh`: bypass the cache.
        """
        mode = "sequential" if self.mode.name == "sequential" else "" if verified else "batched"
        identity = self._identity(question, mode, repeat)
        cache = None if fresh else self._cache
        # a verified answer of an earlier run is better than a batched one
        better = [self._identity(question, "", repeat)] if mode == "batched" and self.mode.name == "verified" else []
        for each in (*better, identity):
            row, from_earlier_run = cache.look(each) if cache is not None else (None, False)
            if row:
                return replace(Reply(**row), cached=from_earlier_run)
        client = self._connected()
        reply = client.chat(question.messages, tools=question.tools, max_tokens=question.max_tokens, mode=mode)
        if self._aborted:  # the reply may be the fault of a closed connection (Runtime.closing)
            raise AskError("aborted: the run has ended")
        reply = replace(reply, verified=verified)
        if cache is not None:
            cache.put(identity, msgspec.to_builtins(reply))
        return reply

    def abort(self) -> None:
        """End the requests under way, and refuse new ones."""
        self._aborted = True
        if self._client is not None:
            self._client.abort()

    def flush(self) -> None:
        """Write the cached answers to disk."""
        if self._cache is not None:
            self._cache.flush()

    def close(self) -> None:
        """Write the cached answers to disk, and disconnect from the server."""
        if self._cache is not None:
            self._cache.close()
        if self._client is not None:
            self._client.close()

    def _identity(self, question: Question, mode: str, repeat: str) -> Json:
        """The key of an answer: the whole request but for the model's name, which may be new in each run."""
        body = request(
            self._host.server, question.messages, tools=question.tools, max_tokens=question.max_tokens, mode=mode
        )
        return {"chat": {key: value for key, value in body.items() if key != "model"}, "mode": mode, "repeat": repeat}

    def _connected(self) -> Client:
        with self._lock:
            if self._aborted:
                raise AskError("aborted: the run has ended")
            if self._failed is not None:
                raise self._failed  # starting the server is not tried again for each question
            if self._client is None:
                try:
                    server = self._host.serve() if self._host.serve is not None else self._host.server
                except Exception as error:
                    self._failed = error
                    raise
                self._client = Client(server, timeout=self._timeout)
            return self._client
