"""What passes through the proxy is unchanged, on time, for one server alone, and saved, whoever breaks off."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from gate.authoring.proxy import connection as proxy_link
from gate.authoring.proxy import recorder as proxy_seen
from gate.authoring.proxy import upstream as proxy_upstream
from gate.authoring.proxy.connection import Settings
from gate.authoring.proxy.headers import is_here
from gate.authoring.proxy.server import Relay
from gate.authoring.proxy.writer import Saving, append, check
from gate.cli import proxy

Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CHAT = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
WHOLE = b'{"object":"chat.completion","choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}'


def event(content: str, finish: str | None = None) -> bytes:
    return (
        b"data: %s\n\n"
        % json.dumps({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}).encode()
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def plain(body: bytes = WHOLE, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n") -> Answer:
    async def answer(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return answer


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(body: bytes = CHAT, headers: bytes = b"", path: bytes = b"/v1/chat/completions", close: bool = True) -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s" % (path, len(body), headers)
    return head + (b"Connection: close\r\n" if close else b"") + b"\r\n" + body


class Place:
    """A proxy before a server that answers as the test says."""

    def __init__(self, port: int, file: Path, saving: Saving) -> None:
        self.port = port
        self.server = ""
        self.file = file
        self.saving = saving
        self.heard: list[bytes] = []
        """The requests that have come to the server."""
        self.connections = 0

    async def ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            return await asyncio.wait_for(reader.read(-1), 5)
        finally:
            writer.close()

    async def saved(self, count: int = 1) -> list[dict[str, Any]]:
        for _ in range(500):
            lines = self.file.read_text().split("\n")[:-1]
            if len(lines) >= count:
                return [json.loads(line) for line in lines]
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{len(lines)} lines")


async def hear(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + (await reader.readexactly(int(length[0])) if length else b"")


@asynccontextmanager
async def proxied(
    answer: Answer, folder: Path, *, seconds: float = 5, write: Callable[[Path, bytes], None] = append
) -> AsyncIterator[Place]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place.connections += 1
        try:
            while True:
                place.heard.append(await hear(reader))
                await answer(place.heard[-1], reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        to = proxy_upstream.target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        check(folder / "saved.jsonl")
        saving = Saving(folder / "saved.jsonl", write=write)
        listener, relay = await proxy.listening(Settings(to, None, seconds, True, saving.put), "127.0.0.1", 0)
        place = Place(listener.sockets[0].getsockname()[1], folder / "saved.jsonl", saving)
        place.server = to.authority
        try:
            yield place
        finally:
            listener.close()
            await relay.stop(0.1)
            saving.close(5)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 8))


def test_a_path_that_nobody_knows_passes_in_both_directions_as_it_is(tmp_path: Path) -> None:
    head = b"HTTP/1.1 404 Nothing Here\r\nX-Odd: \xe4\xf6\r\nx-ODD: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nEmpty: \r\n"

    async def scenario() -> None:
        async with proxied(plain(b"\x00\xff", head), tmp_path) as place:
            given = b"BREW /pots/%7Ea?q=1&q=2 HTTP/1.1\r\nHost: localhost\r\nX-oDD: \xe4\r\nX-oDD: 2\r\n"
            got = await place.ask(given + b"Connection: X-Mine, close\r\nX-Mine: 1\r\nTE: trailers\r\n\r\n")
            assert got.startswith(head + b"Content-Length: 2\r\n")
            assert got.endswith(b"\r\n\r\n\x00\xff")
            host = b"Host: " + place.server.encode()
            assert place.heard == [
                b"BREW /pots/%7Ea?q=1&q=2 HTTP/1.1\r\n" + host + b"\r\nX-oDD: \xe4\r\nX-oDD: 2\r\n\r\n"
            ]

    run(scenario())
    assert (tmp_path / "saved.jsonl").read_bytes() == b""


@pytest.mark.parametrize(("status", "body"), [(500, b"peg-native format"), (429, b'{"error":{"message":"slow down"}}')])
def test_an_error_passes_and_is_saved(status: int, body: bytes, tmp_path: Path) -> None:
    async def scenario() -> None:
        head = b"HTTP/1.1 %d Odd\r\nRetry-After: 7\r\n" % status
        async with proxied(plain(body, head), tmp_path) as place:
            got = await place.ask(post())
            assert got.startswith(head)
            assert got.endswith(body)
            line = (await place.saved())[0]
            assert line["status"] == status
            assert line["response"] in ({"raw": "peg-native format"}, {"error": {"message": "slow down"}})
            assert "partial" not in line

    run(scenario())


def test_keys_and_cookies_go_to_the_server_and_never_into_the_file(tmp_path: Path) -> None:
    secrets = b"Authorization: Bearer hush1\r\napi-key: hush2\r\nCookie: c=hush3\r\n"

    async def scenario() -> None:
        head = b"HTTP/1.1 200 OK\r\nSet-Cookie: hush4\r\nContent-Type: application/json\r\n"
        async with proxied(plain(head=head), tmp_path) as place:
            assert b"hush4" in await place.ask(post(headers=secrets, path=b"/v1/chat/completions?key=hush5"))
            assert secrets in place.heard[0]
            line = (await place.saved())[0]
            assert line["request"] == json.loads(CHAT)
            assert line["response"] == json.loads(WHOLE)
            assert 0 <= line["first"] <= line["seconds"] < 5
            assert b"hush" not in place.file.read_bytes()
            assert place.file.stat().st_mode & 0o777 == 0o600

    run(scenario())


def test_one_connection_serves_many_requests_and_so_does_the_one_to_the_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(plain(), tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(post(close=False) + post(close=False))  # the second before the first is answered
            for _ in range(2):
                assert (await hear(reader)).endswith(WHOLE)
            writer.write(post(close=False))
            assert (await hear(reader)).endswith(WHOLE)
            writer.close()
            assert len(await place.saved(3)) == 3
            assert place.connections == 1

    run(scenario())


def test_a_connection_that_the_server_has_closed_is_not_used_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(closing, tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            for _ in range(2):
                writer.write(post(close=False))
                assert (await hear(reader)).endswith(WHOLE)
                await asyncio.sleep(0.05)
            writer.close()
            assert place.connections == 2

    async def closing(asked: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await plain()(asked, reader, writer)
        writer.close()

    run(scenario())


def test_the_first_event_is_there_before_the_last_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        read = asyncio.Event()

        async def answer(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(EVENTS + chunk(event("a")[:20]))  # not even a whole event is waited for
            await asyncio.wait_for(read.wait(), 3)
            await asyncio.sleep(0.1)
            writer.write(chunk(event("a")[20:]) + chunk(event("b", "stop")) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

        async with proxied(answer, tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(post(close=False))
            got = await reader.readuntil(event("a")[:20])
            read.set()
            got += await reader.readuntil(b"0\r\n\r\n")
            writer.close()
            assert got.startswith(EVENTS[:40])
            line = (await place.saved())[0]
            assert line["streamed"] is True
            assert line["response"]["choices"][0]["message"]["content"] == "ab"
            assert line["first"] + 0.1 <= line["seconds"]
            assert "partial" not in line

    run(scenario())


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for localhost that nobody has signed."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    signed = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False).sign(
        key, hashes.SHA256()
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "cert.pem").write_bytes(key.private_bytes(*form) + signed.public_bytes(serialization.Encoding.PEM))
    return tmp_path / "cert.pem"


@pytest.mark.parametrize("known", [True, False], ids=["trusted", "unknown"])
def test_a_server_behind_tls_must_show_a_certificate_that_is_trusted(
    known: bool, certificate: Path, tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await plain()(await hear(reader), reader, writer)

    async def scenario() -> None:
        shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown.load_cert_chain(certificate)
        tls = ssl.create_default_context(cafile=str(certificate) if known else None)
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=shown) as server:
            to = proxy_upstream.target(f"https://localhost:{server.sockets[0].getsockname()[1]}/v1")
            listener, relay = await proxy.listening(Settings(to, tls, 5, True, lambda _: None), "127.0.0.1", 0)
            place = Place(listener.sockets[0].getsockname()[1], tmp_path, Saving(tmp_path / "s"))
            got = await place.ask(post())
            assert (WHOLE if known else b"CERTIFICATE_VERIFY_FAILED") in got
            listener.close()
            await relay.stop(1)

    run(scenario())


def test_fifty_at_once_are_each_answered_and_saved(tmp_path: Path) -> None:
    async def echo(asked: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        body = json.dumps({"echo": json.loads(asked.partition(b"\r\n\r\n")[2])}).encode()
        await plain(body)(asked, _, writer)

    async def scenario() -> None:
        async with proxied(echo, tmp_path) as place:
            got = await asyncio.gather(*[place.ask(post(b'{"n":%d}' % n)) for n in range(50)])
            assert [json.loads(each.partition(b"\r\n\r\n")[2])["echo"]["n"] for each in got] == list(range(50))
            lines = await place.saved(50)
            assert sorted(line["request"]["n"] for line in lines) == list(range(50))
            assert all(line["response"]["echo"] == line["request"] for line in lines)

    run(scenario())


def test_when_the_client_goes_the_server_is_let_go_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def answer(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(EVENTS + chunk(event("a")))
            assert await reader.read(1) == b""
            gone.set()

        async with proxied(answer, tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(post())
            await reader.readuntil(event("a"))
            writer.close()
            await asyncio.wait_for(gone.wait(), 2)
            line = (await place.saved())[0]
            assert (line["partial"], line["why"]) == (True, "the client went away")
            assert line["response"]["choices"][0]["message"]["content"] == "a"

    run(scenario())


def test_a_client_that_goes_after_the_last_event_has_had_it_all(tmp_path: Path) -> None:
    async def answer(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS + chunk(event("a", "stop") + b"data: [DONE]\n\n"))
        await reader.read(1)

    async def scenario() -> None:
        async with proxied(answer, tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(post())
            await reader.readuntil(b"[DONE]")
            writer.close()
            assert "partial" not in (await place.saved())[0]

    run(scenario())


@pytest.mark.parametrize(
    "head", [EVENTS, b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
def test_what_came_before_the_server_died_is_passed_on_and_saved_as_partial(head: bytes, tmp_path: Path) -> None:
    async def answer(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + (chunk(event("a")) if head is EVENTS else event("a")))
        writer.close()

    async def scenario() -> None:
        async with proxied(answer, tmp_path) as place:
            got = await place.ask(post())
            assert event("a") in got
            if b"1.0" not in head:  # there, only the stream itself says that it ended too early
                assert not got.endswith(b"0\r\n\r\n")
            line = (await place.saved())[0]
            assert (line["status"], line["partial"]) == (200, True)
            assert line["response"]["choices"][0]["message"]["content"] == "a"

    run(scenario())


async def _hang_up(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _sleep(_: bytes, __: asyncio.StreamReader, ___: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1)


async def _babble(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com ESMTP\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [(_hang_up, 502, "closed the connection"), (_sleep, 504, "for 0.2 s (--timeout)"), (_babble, 502, "is not HTTP")],
)
def test_a_server_that_gives_no_answer_is_told_as_an_error(
    answer: Answer, status: int, why: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with proxied(answer, tmp_path, seconds=0.2) as place:
            head, _, body = (await place.ask(post())).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert why in json.loads(body)["error"]["message"]
            line = (await place.saved())[0]
            assert (line["status"], line["partial"]) == (status, True)

    run(scenario())


def test_a_server_that_is_not_there_is_told_as_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.socket() as taken:  # bound and not listening: nobody answers there
            taken.bind(("127.0.0.1", 0))
            to = proxy_upstream.target(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
            server, relay = await proxy.listening(Settings(to, None, 5, True, lambda _: None), "127.0.0.1", 0)
            place = Place(server.sockets[0].getsockname()[1], tmp_path, Saving(tmp_path / "s"))
            assert b"cannot be reached" in await place.ask(post())
            server.close()
            await relay.stop(1)

    run(scenario())


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_request_that_is_too_large_is_refused_and_not_passed_on(
    chunked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_link, "LIMIT", 1000)
    head = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    large = head + chunk(b"x" * 1001) if chunked else post(b"x" * 1001)[:-1001]  # it is enough to announce it
    fits = head + chunk(b"x" * 1000) + b"0\r\n\r\n"

    async def scenario() -> None:
        async with proxied(plain(), tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(large)
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
            writer.close()
            assert not place.heard
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(fits)
            assert (await hear(reader)).endswith(WHOLE)
            writer.close()
            assert place.heard[0].endswith(b"Content-Length: 1000\r\n\r\n" + b"x" * 1000)

    run(scenario())


def test_an_answer_that_is_too_large_to_keep_is_passed_on_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_seen, "LIMIT", 100_000)

    async def scenario() -> None:
        async with proxied(plain(b"x" * 300_000), tmp_path) as place:
            assert (await place.ask(post())).endswith(b"\r\n\r\n" + b"x" * 300_000)
            line = (await place.saved())[0]
            assert line["response"] == {"raw": "x" * 2**16, "bytes": 100_000}
            assert "larger than 100000 bytes" in line["why"]

    run(scenario())


def test_a_client_that_does_not_read_slows_the_server_and_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_link, "LINGER_SECONDS", 0.1)
    monkeypatch.setattr(proxy_link, "UNREAD_SECONDS", 0.3)

    async def scenario() -> None:
        written, gone = 0, asyncio.Event()

        async def answer(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            try:
                while True:
                    writer.write(bytes(2**20))
                    await writer.drain()
                    written += 1
            finally:
                gone.set()

        async with proxied(answer, tmp_path) as place:
            client = socket.create_connection(("127.0.0.1", place.port))
            client.sendall(post())
            await asyncio.wait_for(gone.wait(), 3)
            assert 0 < written < 50
            await asyncio.sleep(0.3)
            open_ = [each for each in psutil.Process().net_connections() if each.laddr and each.laddr[1] == place.port]
            assert [each.status for each in open_] == ["LISTEN"]
            client.close()
            line = (await place.saved())[0]
            assert (line["partial"], line["why"]) == (True, "the client read nothing for 0.3 s")

    run(scenario())


def test_a_client_that_reads_late_is_not_the_servers_silence(tmp_path: Path) -> None:
    async def scenario() -> None:
        body = b'{"a":"' + bytes(30 * 2**20).replace(b"\0", b"x") + b'"}'
        async with proxied(plain(body), tmp_path, seconds=0.2) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=2**12)
            writer.write(post())
            await asyncio.sleep(1)
            assert (await reader.read(-1)).endswith(body)
            writer.close()
            assert "partial" not in (await place.saved())[0]

    run(scenario())


def test_a_kept_connection_that_the_server_closes_is_tried_anew_once(tmp_path: Path) -> None:
    async def second_breaks(asked: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"again" in asked and b"again" not in seen:
            seen.append(b"again")
            writer.close()
        else:
            await plain()(asked, reader, writer)

    async def scenario() -> None:
        async with proxied(second_breaks, tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            for body in (CHAT, b'{"again":1}'):
                writer.write(post(body, close=False))
                assert (await hear(reader)).endswith(WHOLE)
            writer.close()
            assert place.connections == 2
            assert len(place.heard) == 3

    seen: list[bytes] = []
    run(scenario())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Origin: https://evil.com\r\n", 403),
        (b"Origin: null\r\n", 403),
        (b"Origin: http://localhost.evil.com\r\n", 403),
        (b"Origin: http://localhost\r\nOrigin: https://evil.com\r\n", 403),
        (b"Sec-Fetch-Site: cross-site\r\n", 403),
        (b"Sec-Fetch-Site: same-site\r\n", 403),
        (b"Sec-Fetch-Site: same-origin\r\n", 200),
        (b"Origin: http://localhost:3000\r\nSec-Fetch-Site: cross-site\r\n", 200),
        (b"Origin: http://[::1]:3000\r\n", 200),
    ],
)
def test_a_web_page_of_elsewhere_reaches_nothing_and_is_not_recorded(
    headers: bytes, status: int, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with proxied(plain(), tmp_path) as place:
            got = await place.ask(post(headers=headers))
            assert got.startswith(b"HTTP/1.1 %d " % status)
            assert len(place.heard) == (status == 200)
        assert len(place.file.read_text().splitlines()) == (status == 200)

    run(scenario())


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:80"])
def test_this_machine_has_several_names(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "[::1]evil.com", "localhost:80@evil.com", "127.0.0.1:80.evil.com", "127.0.0.1, evil.com", "localhost/x"),
        *("evil.com", "[::1", "::1]", "[]", ":80", "127.0.0.1.evil.com"),
    ],
)
def test_no_other_host_passes_for_this_machine(host: str) -> None:
    assert not is_here(host)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 421),
        (b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: rebound.example.com\r\n\r\n", 421),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ],
    ids=["no host", "forward", "connect", "rebinding", "two lengths", "long head", "tls"],
)
def test_what_could_lead_elsewhere_is_refused(request_: bytes, status: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(plain(), tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(request_)
            assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)
            writer.close()
            assert not place.heard

    run(scenario())


def test_a_length_beside_chunks_cannot_part_messages_elsewhere(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def answer(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + chunk(WHOLE) + b"0\r\n\r\n")

    async def scenario() -> None:
        async with proxied(answer, tmp_path) as place:
            given = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
            got = await place.ask(given + b"Connection: close\r\n\r\n" + chunk(b"body") + b"0\r\n\r\n")
            assert place.heard[0].endswith(b"\r\nContent-Length: 4\r\n\r\nbody")
            assert b"content-length" not in got.lower()
            assert got.endswith(chunk(WHOLE) + b"0\r\n\r\n")

    run(scenario())


def test_a_client_that_waits_to_be_let_continue_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(plain(), tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            head, _, body = post(headers=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
            writer.write(body)
            assert (await hear(reader)).endswith(WHOLE)
            writer.close()
            assert b"expect" not in place.heard[0].lower()

    run(scenario())


def test_no_open_file_is_left_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(plain(), tmp_path) as place:
            await place.ask(post())
            await asyncio.sleep(0.05)
            before = psutil.Process().num_fds()
            for number in range(20):
                await place.ask(post())
                _, writer = await asyncio.open_connection("127.0.0.1", place.port)
                writer.write(
                    post()[: 60 if number % 2 else None]
                )  # half of a request, or one whose answer nobody reads
                writer.transport.abort()
                await place.ask(b"rubbish\r\n\r\n")
            await asyncio.sleep(0.2)
            assert psutil.Process().num_fds() <= before

    run(scenario())


def test_a_full_disk_breaks_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def full(_: Path, __: bytes) -> None:
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        async with proxied(plain(), tmp_path, write=full) as place:
            for _ in range(3):
                assert (await place.ask(post())).endswith(WHOLE)
        assert (place.saving.saved, place.saving.lost) == (0, 3)

    run(scenario())
    assert capsys.readouterr().err.count("No space left on device; answers still reach the client") == 1


def test_a_folder_where_the_file_was_breaks_no_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with proxied(plain(), tmp_path) as place:
            place.file.unlink()
            place.file.mkdir()
            assert (await place.ask(post())).endswith(WHOLE)
        assert (place.saving.saved, place.saving.lost) == (0, 1)
        assert "directory" in place.saving.why

    run(scenario())


def test_a_relay_without_clients_stops_at_once() -> None:
    run(Relay(Settings(proxy_upstream.target("http://127.0.0.1:1"), None, 1, True, lambda _: None)).stop(5))
