"""What `gate proxy` adds to an answer: an instant server asked directly and through the proxy, in turns.

    python -m benchmarks.proxy [--rounds 500] [--words 20]

The server answers at once, on kept connections, in a process of its own, and so does the proxy; the client here reads
bytes off a socket, so that little but the proxy is measured. Each round asks both sides, in changing order. Prints the
median milliseconds of each side, and of what a round's proxied answer took longer than its direct one: for a plain
answer, for a streamed one whole, and for its first event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

COMMAND = (
    "import argparse, sys; from gate.cli import proxy; parser = argparse.ArgumentParser(); "
    "proxy.add_parsers(parser.add_subparsers()); given = parser.parse_args(); sys.exit(given.run(given))"
)
SYSTEM = "You are an agent with tools. " * 140
"""Four kilobytes, as an agent sends them with each request."""
END = b"0\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--words", type=int, default=20, help="events of a streamed answer (default: 20)")
    args = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_instant, args=(there, args.words), daemon=True)
    server.start()
    direct = here.recv()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMAND, "proxy", "--to", f"http://127.0.0.1:{direct}/v1"]
        command += ["--save", str(Path(folder) / "saved.jsonl")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            line = process.stdout.readline() if process.stdout else ""
            print(f"load average {os.getloadavg()[0]:.1f}; {args.rounds} rounds, {args.words} events a stream")
            _measure(direct, int(line.split(":")[2].split("/")[0]), args.rounds)
            process.send_signal(signal.SIGINT)
    server.terminate()


def _measure(direct: int, proxied: int, rounds: int) -> None:
    sides = [socket.create_connection(("127.0.0.1", port)) for port in (direct, proxied)]
    for side in sides:
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for label, stream in (("plain", False), ("streamed", True)):
        request = _request(stream=stream)
        for side in sides:
            for _ in range(20):
                _asked(side, request, stream=stream)
        took: list[list[tuple[float, float]]] = [[], []]
        for number in range(rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                took[which].append(_asked(sides[which], request, stream=stream))
        _print(label, [whole for _, whole in took[0]], [whole for _, whole in took[1]])
        if stream:
            _print("first event", [first for first, _ in took[0]], [first for first, _ in took[1]])


def _print(label: str, direct: list[float], proxied: list[float]) -> None:
    added = sorted(1000 * (b - a) for a, b in zip(direct, proxied, strict=True))
    middle = [1000 * statistics.median(each) for each in (direct, proxied)]
    high = added[int(0.95 * len(added))]
    print(
        f"{label:12} direct {middle[0]:6.2f} ms  proxied {middle[1]:6.2f} ms  "
        f"added {statistics.median(added):5.2f} ms (p95 {high:.2f})"
    )


def _request(*, stream: bool) -> bytes:
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "hello"}]
    body = json.dumps({"model": "m", "messages": turns, "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _asked(side: socket.socket, request: bytes, *, stream: bool) -> tuple[float, float]:
    """Seconds to the first byte of the body and to the end of the answer."""
    begun = time.perf_counter()
    side.sendall(request)
    got, first = b"", 0.0
    while not _whole(got, stream=stream):
        got += side.recv(2**16)
        if not first and len(got.partition(b"\r\n\r\n")[2]) > 0:
            first = time.perf_counter() - begun
    return first, time.perf_counter() - begun


def _whole(got: bytes, *, stream: bool) -> bool:
    head, _, body = got.partition(b"\r\n\r\n")
    if stream:
        return body.endswith(END)
    return bool(body) and len(body) >= int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])


def _instant(ports: Connection, words: int) -> None:
    """Serve at once: a plain answer in one write, a streamed one in a write for each event."""
    asyncio.run(_serve(ports, words))


async def _serve(ports: Connection, words: int) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * words}, "finish_reason": "stop"}
    body = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
    plain = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    delta = json.dumps({"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}).encode()
    event = b"data: " + delta + b"\n\n"
    chunk = b"%x\r\n%s\r\n" % (len(event), event)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await _heard(reader):
            if b'"stream": true' in asked:
                writer.write(head)
                for _ in range(words):
                    writer.write(chunk)
                    await asyncio.sleep(0)
                writer.write(b"e\r\ndata: [DONE]\n\n\r\n" + END)
            else:
                writer.write(plain)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    ports.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _heard(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


if __name__ == "__main__":
    main()
