"""What the proxy passes on of a message's head: all of it but what belongs to one connection alone."""

from __future__ import annotations

import ipaddress
import re

import h11

HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"}
HOP_BY_HOP |= {b"trailer", b"transfer-encoding", b"upgrade"}
"""Headers that are for one connection alone (RFC 9110, section 7.6.1)."""
_NEEDED = {b"content-length", b"content-type", b"host"}
"""What nobody can have taken out by naming it in Connection."""
_HOST = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<name>[^:@/\[\]\s]+))(?::\d{0,5})?")

Head = h11.Request | h11.Response


def header(head: Head, wanted: bytes) -> bytes:
    """A header's value; empty where there is none."""
    return next((value for name, value in head.headers if name == wanted), b"")


def passed_on(head: Head, *, but: frozenset[bytes] = frozenset()) -> list[tuple[bytes, bytes]]:
    """The headers that go on to the other side, written as they came: not those of this connection, nor `but`."""
    named = {name.strip().lower() for key, value in head.headers if key == b"connection" for name in value.split(b",")}
    left_out = HOP_BY_HOP | (named - _NEEDED) | but
    if header(head, b"transfer-encoding"):  # beside it a length means nothing, and could part messages elsewhere
        left_out |= {b"content-length"}
    return [(name, value) for name, value in head.headers.raw_items() if name.lower() not in left_out]


def rewritten(request: h11.Request, length: int, authority: str) -> h11.Request:
    """The request for the server: another Host, no headers of this connection, a length where it came in chunks.

    A chat completion is asked for uncompressed, or it could not be read here; a client has to take it so.
    """
    chat = is_chat(request)
    but = {b"host", b"expect"} | ({b"accept-encoding"} if chat else set())
    headers = [(b"Host", authority.encode()), *passed_on(request, but=frozenset(but))]
    if chat:
        headers.append((b"Accept-Encoding", b"identity"))
    if header(request, b"transfer-encoding"):
        headers.append((b"Content-Length", str(length).encode()))
    return h11.Request(method=request.method, target=request.target, headers=headers)


def is_chat(request: h11.Request) -> bool:
    """Does it ask for a chat completion?"""
    path = request.target.partition(b"?")[0]
    return request.method == b"POST" and path.rstrip(b"/").endswith(b"/chat/completions")


def is_here(host: str) -> bool:
    """Does a Host header name this machine by a loopback address, or by localhost, and nothing else?"""
    found = _HOST.fullmatch(host)
    return found is not None and is_loopback(found["six"] or found["name"] or "")


def is_from_elsewhere(head: Head) -> bool:
    """Does a page in a browser ask that is not of this machine? A browser says so; nothing else does."""
    origins = [value.decode("latin-1") for name, value in head.headers if name == b"origin"]
    if origins:
        return not all(_is_local(each) for each in origins)
    return header(head, b"sec-fetch-site").lower() in (b"cross-site", b"same-site")


def _is_local(origin: str) -> bool:
    scheme, _, host = origin.partition("://")
    return bool(scheme) and is_here(host)


def is_loopback(host: str) -> bool:
    """Is this an address that no other machine can reach?"""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
