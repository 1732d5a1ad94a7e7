"""The one way by which a run's questions reach the model: what is known already is not asked again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from gate.errors import AskError
from gate.models.batch_invariance import Way
from gate.models.client import Client, request
from gate.system.cache import Cache
from gate.types import Json, Question, Reply, Server


@dataclass(frozen=True, slots=True)
class Host:
    """The model of a run: how to ask it, and how that is to be done."""

    server: Server
    """Where it is served, or how it was when its answers became known."""
    way: Way
    about: Json | None = None
    """By what its answers are known again (gate.models.reply_cache); None where they are not: of a URL."""
    serve: Callable[[], Server] | None = None
    """Serve it now, the first time that something must be asked; None where it is served already."""


class Asking:
    """Asks, or remembers. Safe to use from several threads."""

    def __init__(self, host: Host, *, timeout: float, known: Cache | None = None) -> None:
        self.way = host.way
        self._host, self._timeout, self._known = host, timeout, known
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._failed: Exception | None = None
        self._cut = False

    def answer(self, question: Question, *, settled: bool = False, time: str = "1.1", anew: bool = False) -> Reply:
        """One reply. Raises AskError, or what serving raises.

        `settled`: nothing else is under way, and that answer counts; `time`: which of several answers to one question;
        `anew`: neither kept nor remembered.
        """
        how = "alone" if self.way.name == "alone" else "" if settled else "together"
        asked = self._asked(question, how, time)
        store = None if anew else self._known
        better = [self._asked(question, "", time)] if how == "together" and self.way.name == "settled" else []
        for each in (*better, asked):
            row, earlier = store.look(each) if store is not None else (None, False)
            if row:
                return replace(Reply(**row), cached=earlier)
        given = self._connected().chat(question.messages, tools=question.tools, max_tokens=question.max_tokens, how=how)
        if self._cut:
            raise AskError("cut: the run has ended")  # mlx_lm's own way to fail looks the same
        given = replace(given, settled=settled)
        if store is not None:
            store.put(asked, msgspec.to_builtins(given))
        return given

    def abort(self) -> None:
        """End what is under way."""
        self._cut = True
        if self._client is not None:
            self._client.abort()

    def keep(self) -> None:
        """Write what is to be remembered."""
        if self._known is not None:
            self._known.flush()

    def close(self) -> None:
        """Keep what was answered, and let go of the server."""
        if self._known is not None:
            self._known.close()
        if self._client is not None:
            self._client.close()

    def _asked(self, question: Question, how: str, time: str) -> Json:
        """What is asked, but for the name that a server was given for this run."""
        body = request(
            self._host.server, question.messages, tools=question.tools, max_tokens=question.max_tokens, how=how
        )
        return {"chat": {key: value for key, value in body.items() if key != "model"}, "how": how, "time": time}

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
