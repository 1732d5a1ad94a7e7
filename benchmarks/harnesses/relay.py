"""A relay on loopback between every harness and its server: it passes bytes on, and records them with their times.

It is a tunnel, not a proxy: each client's connection has one of its own to the server, no byte is read, changed or
added, and what ends on one side ends on the other. So headers, streams and kept connections are the server's own, and
what was asked is read from the record when the clock has stopped (traffic.py). `gate proxy` passes as faithfully, but
records chat completions alone, not the raw answers that the gate asks for its misses; and it reads HTTP, which costs
nine times the processor time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Chunk = tuple[float, bytes]
"""Time of arrival (time.perf_counter), and the bytes."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The record of one connection."""

    asked: list[Chunk] = field(default_factory=list)
    answered: list[Chunk] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay."""

    port: int
    connections: list[Connection]


@contextmanager
def relaying(to: int) -> Iterator[Relay]:
    """Relay a free loopback port to port `to`, in a thread of its own."""
    loop, connections = asyncio.new_event_loop(), list[Connection]()
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    try:
        listening = loop.create_server(lambda: _Client(to, connections), "127.0.0.1", 0, backlog=512)
        server = asyncio.run_coroutine_threadsafe(listening, loop).result(10)
        yield Relay(int(server.sockets[0].getsockname()[1]), connections)
        loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _End(asyncio.Protocol):
    """One end of a connection: what arrives here is recorded and sent to the other end."""

    def __init__(self, record: list[Chunk]) -> None:
        self.record = record
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.record.append((time.perf_counter(), data))
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other and self.other.transport:
            self.other.transport.close()


class _Client(_End):
    """A harness's end. Nothing is read from it before the server's end is connected."""

    def __init__(self, to: int, connections: list[Connection]) -> None:
        self.connection = Connection()
        connections.append(self.connection)
        super().__init__(self.connection.asked)
        self._to = to

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport:
            self.transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            _, server = await asyncio.get_running_loop().create_connection(
                lambda: _End(self.connection.answered), "127.0.0.1", self._to
            )
        except OSError:  # no server: the harness sees a closed connection
            if self.transport:
                self.transport.close()
            return
        self.other, server.other = server, self
        if self.transport:
            self.transport.resume_reading()
