"""One client's connection: each request goes to the one server, its answer comes back as it arrives, a copy is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import h11

from gate.authoring.proxy.headers import header, is_chat, is_from_elsewhere, is_here, passed_on, rewritten
from gate.authoring.proxy.record import Exchange
from gate.authoring.proxy.recorder import Seen
from gate.authoring.proxy.upstream import CHUNK, HEAD_LIMIT, BrokenError, Target, Upstream

LIMIT = 64 * 2**20
"""Bytes of a request's body."""
IDLE_SECONDS = 600.0
"""How long a client may keep a connection on which it asks nothing."""
BODY_SECONDS = 60.0
"""How long a client may be silent in the middle of a request."""
UNREAD_SECONDS = 3600.0
"""How long a client may read nothing of an answer; meanwhile no more of it is taken from the server."""
LINGER_SECONDS = 2.0
STOPPED = "gate proxy was stopped"
GONE = "the client went away"


class RefusedError(Exception):
    """A request that is not passed on, or one without an answer; the client is told why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status

    @property
    def body(self) -> bytes:
        """The text in the form of an OpenAI error."""
        return json.dumps({"error": {"message": f"gate proxy: {self}", "type": "gate_proxy"}}).encode()


@dataclass(frozen=True, slots=True)
class Settings:
    """What every connection is served with."""

    target: Target
    tls: ssl.SSLContext | None
    seconds: float
    """How long the server may be silent."""
    local: bool
    """Are requests refused whose Host is not this machine? A page in a browser can give its own host our address."""
    keep: Callable[[Exchange], None]


class Link:
    """One client's connection: its requests, one after the other, and the connection to the server that they take."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._upstream: Upstream | None = None
        self._busy = False
        self._stopping = False
        self._gone = False

    def attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the connection."""
        self._reader, self._writer = reader, writer

    async def serve(self) -> None:
        """Serve until the client has no more, or something broke."""
        try:
            while await self._turn() and not self._stopping:
                self._wire.start_next_cycle()
        except RefusedError as refusal:
            await self._refuse(refusal)
        except h11.RemoteProtocolError as error:
            await self._refuse(RefusedError(error.error_status_hint, f"this is not HTTP: {error}"))
        except (OSError, asyncio.CancelledError):  # the client went or waited too long, or all of this ends
            pass
        finally:
            await self._close()

    def stop(self) -> None:
        """Take no further request; end now if none is under way."""
        self._stopping = True
        if not self._busy:
            self._writer.close()

    def left(self) -> None:
        """The client is gone, or has half closed, which looks the same: the server need not go on."""
        self._gone = True
        if self._upstream:
            self._upstream.close()

    async def _turn(self) -> bool:
        """One request and its answer; whether another may follow."""
        request = await self._event(IDLE_SECONDS)
        if not isinstance(request, h11.Request):
            return False
        self._busy = True
        self._check(request)
        body = await self._body(request)
        await self._exchange(request, body)
        self._busy = False
        return self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE

    async def _event(self, seconds: float) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            if self._wire.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            async with asyncio.timeout(seconds):
                self._wire.receive_data(await self._reader.read(CHUNK))
        return event

    def _check(self, request: h11.Request) -> None:
        """Refuse what would make this an open door: another server's name, a Host not here, a stranger's web page."""
        if not request.target.startswith(b"/"):
            raise RefusedError(400, "this is not a forward proxy: ask for a path")
        hosts = [value.decode("latin-1") for name, value in request.headers if name == b"host"]
        if self._settings.local and not all(map(is_here, hosts)):
            raise RefusedError(421, "the Host is not this machine's: ask 127.0.0.1 or localhost")
        if is_from_elsewhere(request):
            raise RefusedError(403, "a web page of another origin may not ask through it")

    async def _body(self, request: h11.Request) -> bytes:
        parts: list[bytes] = []
        size = 0
        while max(size, int(header(request, b"content-length") or 0)) <= LIMIT:
            event = await self._event(BODY_SECONDS)
            if not isinstance(event, h11.Data):
                return b"".join(parts)
            parts.append(bytes(event.data))
            size += len(event.data)
        raise RefusedError(413, f"the request is larger than {LIMIT} bytes")

    async def _exchange(self, request: h11.Request, body: bytes) -> None:
        """Pass a request on and its answer back; a chat completion's is kept, however it ends."""
        seen = Seen(chat=is_chat(request))
        try:
            await self._forward(rewritten(request, len(body), self._settings.target.authority), body, seen)
        except (BrokenError, OSError, h11.LocalProtocolError) as error:
            seen.why = "" if seen.whole and not seen.unread else GONE if self._gone else str(error)
            if self._gone or self._wire.our_state is not h11.SEND_RESPONSE:
                raise ConnectionAbortedError(seen.why) from error  # no end is written: the client sees that it was cut
            refusal = RefusedError(getattr(error, "status", 502), seen.why)
            seen.begin(refusal.status)
            seen.add(refusal.body)
            raise refusal from error
        except asyncio.CancelledError:
            seen.why = STOPPED
            raise
        finally:
            if seen.chat:
                self._settings.keep(seen.exchange(body))

    async def _forward(self, request: h11.Request, body: bytes, seen: Seen) -> None:
        upstream = await self._begun(request, body)
        while True:
            answer = bytearray()
            try:
                for event in upstream.events():
                    answer += self._passed(event, seen)
            finally:
                self._write(bytes(answer))
            await self._drain(seen)
            if seen.whole:
                break
            await upstream.read(self._settings.seconds)
        if not upstream.again():
            upstream.close()
            self._upstream = None

    async def _begun(self, request: h11.Request, body: bytes) -> Upstream:
        """Send a request and wait for the first bytes; again where a connection that was kept turns out to be closed.

        A server that closes a connection while it is idle has not seen what was sent on it.
        """
        while True:
            upstream, kept = await self._connected()
            upstream.send(request, body)
            try:
                await upstream.read(self._settings.seconds)
            except BrokenError as error:
                if not kept or error.status == HTTPStatus.GATEWAY_TIMEOUT:
                    raise
            else:
                if not (kept and upstream.ended):
                    return upstream
            self._drop()

    async def _connected(self) -> tuple[Upstream, bool]:
        """The connection of the last request and True, if the server has kept it, else a new one."""
        kept = self._upstream is not None and self._upstream.open
        if not kept and not self._gone:
            self._drop()
            self._upstream = await Upstream.connected(self._settings.target, self._settings.tls)
        if self._gone or self._upstream is None:
            raise ConnectionAbortedError(GONE)
        return self._upstream, kept

    def _passed(self, event: h11.Event, seen: Seen) -> bytes:
        """An event of the server as bytes for the client; interim answers (1xx) are for this connection alone."""
        if isinstance(event, h11.Response):
            seen.begin(event.status_code, event)
            headers = passed_on(event)
            event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
        elif isinstance(event, h11.Data):
            seen.add(bytes(event.data))
            seen.unread |= self._gone
        elif isinstance(event, h11.EndOfMessage):
            seen.whole = True
            event = h11.EndOfMessage()
        else:
            return b""
        return self._wire.send(event) or b""

    async def _send(self, event: h11.Event) -> None:
        self._write(self._wire.send(event) or b"")
        if self._gone:
            raise ConnectionAbortedError(GONE)
        async with asyncio.timeout(self._settings.seconds):
            await self._writer.drain()

    def _write(self, data: bytes) -> None:
        if data and not self._gone:
            self._writer.write(data)

    async def _drain(self, seen: Seen) -> None:
        """Wait for a slow client, so that no answer heaps up here. Raises OSError when it is gone or never reads."""
        if self._gone:
            raise ConnectionAbortedError(GONE)
        seen.unread = True
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                await self._writer.drain()
        except TimeoutError as error:
            raise ConnectionAbortedError(f"the client read nothing for {UNREAD_SECONDS:g} s") from error
        except OSError as error:
            raise ConnectionAbortedError(GONE) from error
        seen.unread = False

    async def _refuse(self, refusal: RefusedError) -> None:
        """Answer with an error and end. What the client still sends is read for a while, or it would not see this."""
        if self._wire.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(refusal.body)))]
        headers.append(("Connection", "close"))
        reason = HTTPStatus(refusal.status).phrase
        with contextlib.suppress(OSError, h11.ProtocolError):
            await self._send(h11.Response(status_code=refusal.status, headers=headers, reason=reason))
            await self._send(h11.Data(data=refusal.body))
            self._writer.write_eof()
            async with asyncio.timeout(LINGER_SECONDS):
                while self._wire.their_state is not h11.DONE and await self._reader.read(CHUNK):
                    pass

    def _drop(self) -> None:
        if self._upstream:
            self._upstream.close()
            self._upstream = None

    async def _close(self) -> None:
        """Both connections end; what was written for the client has a while to reach it."""
        self._drop()
        self._writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._writer.wait_closed()
        self._writer.transport.abort()
