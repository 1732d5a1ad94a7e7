"""What the proxy sees of an answer that passes through it, for the line that is saved."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import h11

from gate.authoring.proxy.headers import header
from gate.authoring.proxy.record import Exchange

LIMIT = 64 * 2**20
"""Bytes that are kept of an answer; all of it is passed on."""


class Seen:
    """What was seen of one answer. Only a chat completion's bytes are kept."""

    def __init__(self, *, chat: bool) -> None:
        self.chat = chat
        self.whole = False
        self.unread = False
        """Did the client go, or stop reading, with some of it still here?"""
        self.why = ""
        self._at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._begun = time.perf_counter()
        self._first: float | None = None
        self._status = 0
        self._kind = self._encoding = ""
        self._parts: list[bytes] = []
        self._size = 0

    def begin(self, status: int, head: h11.Response | None = None) -> None:
        self._status = status
        if head:
            self._kind = header(head, b"content-type").decode("latin-1").lower()
            self._encoding = header(head, b"content-encoding").decode("latin-1").lower()

    def add(self, data: bytes) -> None:
        if self._first is None:
            self._first = time.perf_counter() - self._begun
        if self.chat:
            self._parts.append(data[: max(0, LIMIT - self._size)])
            self._size += len(data)

    def exchange(self, request: bytes) -> Exchange:
        seconds = time.perf_counter() - self._begun
        why = self.why or (f"the answer is larger than {LIMIT} bytes" if self._size > LIMIT else "")
        answer, told = b"".join(self._parts), (self._kind, self._encoding)
        return Exchange(self._at, seconds, self._first, self._status, request, answer, *told, why, self.unread)
