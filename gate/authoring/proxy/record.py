"""A recorded chat completion as one line of JSON: what was asked, what was answered, how long it took."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from gate.authoring.proxy.sse import joined
from gate.errors import CaseError
from gate.system import jsonl
from gate.types import Json

RAW_LIMIT = 2**16
"""Bytes that are kept of a body which cannot be read."""
BEGINNING = b'{"at":'
"""What every line begins with; by this a file is known as one of ours."""
UNPACKED_LIMIT = 64 * 2**20
"""Bytes of a compressed answer that are saved."""
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""What zlib calls the forms of Content-Encoding."""
_EVENTS = (b"data:", b"event:", b"id:", b":")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as bytes. No header is in it, so no secret of a header can be saved."""

    at: str
    """When the request had come, ISO 8601 in UTC."""
    seconds: float
    """From then to the end of the answer."""
    first: float | None
    """From then to the first byte of the answer's body; None where none came."""
    status: int
    """HTTP status that the client got; 0 where it got none."""
    request: bytes
    answer: bytes
    kind: str
    """The answer's Content-Type."""
    encoding: str
    """The answer's Content-Encoding; empty for none."""
    why: str
    """Why this is not the whole answer; empty when it is."""
    unread: bool = False
    """Did not all of it reach the client, whatever came of it here?"""


def line(exchange: Exchange) -> bytes:
    """The exchange as a line of strict JSON, its newline included."""
    answer, streamed, ended = _answer(exchange)
    ended = ended and not exchange.unread  # a client may go once it has read the last event
    why = exchange.why or "the stream stopped before its end"
    record: Json = {
        "at": exchange.at,
        "seconds": round(exchange.seconds, 6),
        "first": None if exchange.first is None else round(exchange.first, 6),
        "status": exchange.status,
        "request": _object(exchange.request) or raw(exchange.request),
        "response": answer,
    }
    record |= {"streamed": True} if streamed else {}
    record |= {} if ended else {"partial": True, "why": why}
    return _dumped(record)


def raw(data: bytes) -> Json:
    """A body that cannot be read, as text of at most RAW_LIMIT bytes; `bytes` says how many there were of a cut one."""
    text = data[:RAW_LIMIT].decode("utf-8", "replace")
    return {"raw": text} | ({"bytes": len(data)} if len(data) > RAW_LIMIT else {})


def _answer(exchange: Exchange) -> tuple[Json, bool, bool]:
    """The answer, whether it was streamed, and whether its end is there."""
    data, whole = _unpacked(exchange.answer, exchange.encoding), not exchange.why
    if data is None:
        return {"raw": f"({exchange.encoding}, {len(exchange.answer)} bytes)"}, False, whole
    events = exchange.kind.startswith("text/event-stream")
    if not events and (value := _object(data)) is not None:
        return value, False, whole
    if not events and not data.lstrip().startswith(_EVENTS):
        return raw(data), False, whole
    found = joined(data.decode("utf-8", "replace"))
    rest = raw(found.rest.encode("utf-8", "replace")) if found.rest else {}
    return found.answer | rest or raw(data), True, found.ended or (whole and "error" in found.answer)


def _unpacked(data: bytes, encoding: str) -> bytes | None:
    """What a server has compressed though it was asked not to; None for what cannot be unpacked, or is a bomb."""
    if encoding in ("", "identity"):
        return data
    if encoding not in _WINDOWS:
        return None
    stream = zlib.decompressobj(_WINDOWS[encoding])
    try:
        text = stream.decompress(data, UNPACKED_LIMIT)
    except zlib.error:
        return None
    return None if stream.unconsumed_tail else text


def _object(data: bytes) -> Json | None:
    try:
        value = jsonl.loads(data.decode(), where="a body")
    except (UnicodeDecodeError, CaseError):
        return None
    return value if isinstance(value, dict) else None


def _dumped(record: Json) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold as an escape alone
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"
