"""The session with the model: a server that cannot start is tried once, and not once for each question."""

from __future__ import annotations

import pytest

from gate.errors import AskError, ServeError
from gate.models.batch_invariance import AskMode
from gate.models.session import Host, Session
from gate.types import Question, Server

SERVER = Server("http://127.0.0.1:9/v1", "x", "unknown", {}, {})
QUESTION = Question([{"role": "user", "content": "x"}], [], 8)


def test_a_server_that_cannot_start_is_tried_once() -> None:
    tried = []

    def serve() -> Server:
        tried.append(1)
        raise ServeError("no memory")

    session = Session(Host(SERVER, AskMode("sequential", 1), serve=serve), timeout=1)
    for _ in range(3):
        with pytest.raises(ServeError, match="no memory"):
            session.answer(QUESTION)
    assert tried == [1]


def test_an_aborted_session_starts_no_server() -> None:
    session = Session(Host(SERVER, AskMode("sequential", 1), serve=lambda: pytest.fail("served")), timeout=1)
    session.abort()
    with pytest.raises(AskError, match="aborted"):
        session.answer(QUESTION)
