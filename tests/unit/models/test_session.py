"""The way to the model: what cannot be served fails once, and not once for each question."""

from __future__ import annotations

import pytest

from gate.errors import AskError, ServeError
from gate.models.batch_invariance import AskMode
from gate.models.session import Host, Session
from gate.types import Question, Server

SERVER = Server("http://127.0.0.1:9/v1", "x", "unknown", {}, {})
QUESTION = Question([{"role": "user", "content": "x"}], [], 8)


def test_what_cannot_be_served_is_tried_once() -> None:
    tried = []

    def serve() -> Server:
        tried.append(1)
        raise ServeError("no memory")

    session = Session(Host(SERVER, AskMode("sequential", 1), serve=serve), timeout=1)
    for _ in range(3):
        with pytest.raises(ServeError, match="no memory"):
            session.answer(QUESTION)
    assert tried == [1]


def test_what_was_cut_serves_nothing() -> None:
    session = Session(Host(SERVER, AskMode("sequential", 1), serve=lambda: pytest.fail("served")), timeout=1)
    session.abort()
    with pytest.raises(AskError, match="cut"):
        session.answer(QUESTION)
