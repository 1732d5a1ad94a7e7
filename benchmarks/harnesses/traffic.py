"""Parses the relay's record after the timed run: each request with its answer. Framing is h11's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import h11

from benchmarks.harnesses.relay import Chunk, Connection
from gate.types import Json

_READY = h11.Response(status_code=200, headers=[(b"Content-Length", b"0")])
"""Replaces an answer when only requests are read: h11 requires alternation."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    begun: float
    """Arrival of the request and of the answer's last bytes, in seconds of time.perf_counter."""
    ended: float
    path: str
    status: int
    """0 without a complete answer."""
    body: Json
    """The request's JSON object; {} if it has none."""
    usage: Json
    """The tokens that the server counted, as {"prompt_tokens", "cached_tokens", "completion_tokens"}."""


def exchanges(connections: Sequence[Connection]) -> list[Exchange]:
    """Every request of every connection, in order of arrival."""
    return sorted((each for one in connections for each in _exchanges(one)), key=lambda exchange: exchange.begun)


@dataclass(slots=True)
class _Message:
    """A request or an answer, as far as it has been read."""

    begun: float
    ended: float
    head: h11.Request | h11.Response
    body: bytes = b""


def _exchanges(connection: Connection) -> Iterator[Exchange]:
    requests = list(_requests(connection.asked))
    answers = iter(list(_answers(connection.answered, len(requests))))
    for request in requests:
        answer, path = (
            next(answers, None),
            request.head.target.decode() if isinstance(request.head, h11.Request) else "",
        )
        if answer is None or not isinstance(answer.head, h11.Response):
            yield Exchange(request.begun, request.begun, path, 0, _object(request.body), {})
        else:
            status, usage = answer.head.status_code, _usage(answer.body)
            yield Exchange(request.begun, answer.ended, path, status, _object(request.body), usage)


def _requests(chunks: Sequence[Chunk]) -> Iterator[_Message]:
    wire = h11.Connection(h11.SERVER)
    for message in _messages(wire, chunks):
        yield message
        wire.send(_READY)
        wire.send(h11.EndOfMessage())
        if wire.our_state is not h11.DONE:
            return
        wire.start_next_cycle()


def _answers(chunks: Sequence[Chunk], count: int) -> Iterator[_Message]:
    """The answers to `count` requests. An answer that ends with its connection is complete, too."""
    wire = h11.Connection(h11.CLIENT)
    ended = [(chunks[-1][0], b"")] if chunks else []
    _ask(wire)
    for number, message in enumerate(_messages(wire, [*chunks, *ended]), start=1):
        yield message
        if number == count or wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
            return
        wire.start_next_cycle()
        _ask(wire)


def _ask(wire: h11.Connection) -> None:
    wire.send(h11.Request(method="POST", target="/", headers=[("Host", "127.0.0.1"), ("Content-Length", "0")]))
    wire.send(h11.EndOfMessage())


def _messages(wire: h11.Connection, chunks: Sequence[Chunk]) -> Iterator[_Message]:
    """The complete messages of one direction; the caller prepares the wire for the next one."""
    message: _Message | None = None
    for when, data in chunks:
        wire.receive_data(data)
        while isinstance(event := _event(wire), h11.Request | h11.Response | h11.Data | h11.EndOfMessage):
            if isinstance(event, h11.Request | h11.Response):
                message = _Message(when, when, event)
            elif message and isinstance(event, h11.Data):
                message.body += event.data
            elif message:
                message.ended = when
                yield message


def _event(wire: h11.Connection) -> object:
    try:
        return wire.next_event()
    except h11.RemoteProtocolError:  # cut off in the middle
        return None


def _usage(answer: bytes) -> Json:
    lines = [line.removeprefix(b"data:") for line in answer.splitlines() if line.startswith(b"data:")]  # a stream
    counts = next((usage for line in reversed(lines or [answer]) if (usage := _usage_of(_object(line)))), {})
    cached = (counts.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "prompt_tokens": counts.get("prompt_tokens", 0),
        "cached_tokens": cached,
        "completion_tokens": counts.get("completion_tokens", 0),
    }


def _usage_of(answer: Json) -> Json:
    """The usage of an answer; llama-server's own /completion uses other names."""
    if "tokens_evaluated" not in answer:
        usage: Json = answer.get("usage") or {}
        return usage
    return {
        "prompt_tokens": answer["tokens_evaluated"],
        "prompt_tokens_details": {"cached_tokens": answer["timings"]["cache_n"]},
        "completion_tokens": answer["tokens_predicted"],
    }


def _object(data: bytes) -> Json:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
