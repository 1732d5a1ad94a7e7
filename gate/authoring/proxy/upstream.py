"""The server behind the proxy: its address, and one connection to it. HTTP's framing is h11's, which is strict."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

from gate.errors import GateError

CHUNK = 2**16
"""Bytes that are read at once."""
HEAD_LIMIT = 2**17
"""Bytes of a request's or an answer's head."""
CONNECT_SECONDS = 10.0


class BrokenError(Exception):
    """The server gave no answer, or not all of it; the text says why."""

    def __init__(self, why: str, status: int = 502) -> None:
        super().__init__(why)
        self.status = status
        """What a client is told that has not got anything yet."""


@dataclass(frozen=True, slots=True)
class Target:
    """The one server that is talked to."""

    host: str
    port: int
    tls: bool
    path: str
    """The path of the URL: what the client's base URL ends with, too."""

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def target(url: str) -> Target:
    """The server that --to names. Raises GateError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("ascii")
    except (ValueError, UnicodeError) as error:
        raise GateError(f"--to: is not a URL ({error}); give one as http://127.0.0.1:8080/v1") from error
    if parts.scheme not in ("http", "https") or not host:
        raise GateError("--to: is not a URL of http or https; give one as http://127.0.0.1:8080/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise GateError("--to: give scheme, host, port and path alone; a key goes into the client's own header")
    tls = parts.scheme == "https"
    return Target(host, port or (443 if tls else 80), tls, parts.path.rstrip("/"))


class Upstream:
    """One connection to the server; used again while both sides keep it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
        self.ended = False
        """Has the server closed it?"""

    @classmethod
    async def connected(cls, to: Target, tls: ssl.SSLContext | None) -> Upstream:
        """A new connection. Raises BrokenError."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return cls(*await asyncio.open_connection(to.host, to.port, ssl=tls, limit=CHUNK))
        except TimeoutError as error:
            raise BrokenError(f"{to.authority} cannot be reached within {CONNECT_SECONDS:.0f} s", 504) from error
        except OSError as error:
            raise BrokenError(f"{to.authority} cannot be reached: {error.strerror or error}") from error

    def send(self, request: h11.Request, body: bytes) -> None:
        """Send all of a request. It is written while the answer is awaited: a server may refuse before it has read."""
        data = self._wire.send(request) or b""
        data += self._wire.send(h11.Data(data=body)) or b"" if body else b""
        self._writer.write(data + (self._wire.send(h11.EndOfMessage()) or b""))

    async def read(self, seconds: float) -> None:
        """Wait for bytes. Raises BrokenError when none come in time or the connection breaks."""
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(CHUNK)
        except TimeoutError as error:
            raise BrokenError(f"nothing came from the server for {seconds:g} s (--timeout)", 504) from error
        except OSError as error:
            raise BrokenError(f"the connection to the server broke: {error.strerror or error}") from error
        self.ended = not data
        self._wire.receive_data(data)

    def events(self) -> Iterator[h11.Event]:
        """What the bytes say that have come, up to the answer's end. Raises BrokenError."""
        try:
            while not isinstance(event := self._wire.next_event(), type | h11.ConnectionClosed):  # a type: no more yet
                yield event
                if isinstance(event, h11.EndOfMessage):
                    return
        except h11.RemoteProtocolError as error:
            if not self.ended:
                raise BrokenError(f"the server's answer is not HTTP: {error}") from error
        if self.ended:
            raise BrokenError("the server closed the connection before its answer was whole")

    def again(self) -> bool:
        """Make ready for another request, if this connection can be kept."""
        left = self._writer.transport.get_write_buffer_size() or self._wire.trailing_data[0]
        if left or self._wire.our_state is not h11.DONE or self._wire.their_state is not h11.DONE:
            return False
        self._wire.start_next_cycle()
        return True

    @property
    def open(self) -> bool:
        return not (self._reader.at_eof() or self._writer.transport.is_closing())

    def close(self) -> None:
        """End the connection at once, whatever is under way on it."""
        self._writer.transport.abort()
