"""`gate proxy` refuses what is unsafe before it listens, is there for this machine alone, and ends without a loss."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from gate.cli import proxy
from gate.errors import GateError
from tests.unit.authoring.test_proxy import EVENTS, Answer, chunk, event, hear, plain, post


def given(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    proxy.add_parser(parser.add_subparsers())
    return parser.parse_args(["proxy", *arguments])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_another_host_must_be_asked_for_twice(host: str, tmp_path: Path) -> None:
    wanted = given("--to", "http://127.0.0.1:1/v1", "--save", str(tmp_path / "s"), "--host", host)
    with pytest.raises(GateError, match="--i-know"):
        wanted.run(wanted)


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://h/", "http://", "http://me:hush@h/v1", "http://h/?k=hush"])
def test_a_url_that_is_none_or_holds_a_secret_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    wanted = given("--to", url, "--save", str(tmp_path / "s"))
    with pytest.raises(GateError, match="--to") as told:
        wanted.run(wanted)
    assert "hush" not in str(told.value)


@pytest.mark.parametrize("what", ["a folder", "not ours", "no folder"])
def test_a_place_that_cannot_be_saved_to_is_refused_before_anything_runs(what: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary\n")
    place = {"a folder": tmp_path, "not ours": tmp_path / "notes.txt", "no folder": tmp_path / "none" / "s"}[what]
    wanted = given("--to", "http://127.0.0.1:1/v1", "--save", str(place))
    with pytest.raises(GateError, match="--save"):
        wanted.run(wanted)
    assert (tmp_path / "notes.txt").read_text() == "dear diary\n"


@contextmanager
def child(tmp_path: Path, answer: Answer) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command in a process of its own, before a server in a thread; with the port that it has told."""
    begun, ends = Event(), Event()
    ports: list[int] = []

    async def serve() -> None:
        async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answer(await hear(reader), reader, writer)
            writer.close()

        async with await asyncio.start_server(each, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            begun.set()
            while not ends.is_set():
                await asyncio.sleep(0.02)

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    begun.wait(5)
    code = (
        "import argparse, sys; from gate.cli import proxy; parser = argparse.ArgumentParser(); "
        "proxy.add_parser(parser.add_subparsers()); given = parser.parse_args(); sys.exit(given.run(given))"
    )
    command = [sys.executable, "-c", code, "proxy", "--to", f"http://127.0.0.1:{ports[0]}/v1"]
    command += ["--save", str(tmp_path / "saved.jsonl")]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                told = process.stdout.readline() if process.stdout else ""
                assert "/v1 -> http://127.0.0.1:" in told
                yield process, int(told.split(":")[2].split("/")[0])
            finally:
                process.kill()
    finally:
        ends.set()
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_an_answer_end_and_loses_nothing(number: signal.Signals, tmp_path: Path) -> None:
    stopped = Event()

    async def answer(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS + chunk(event("a")))
        while not stopped.is_set():
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        writer.write(chunk(event("b", "stop") + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    with child(tmp_path, answer) as (process, port), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(post(close=False))
        got = b""
        while event("a") not in got:
            got += client.recv(1000)
        process.send_signal(number)
        stopped.set()
        while data := client.recv(1000):
            got += data
        assert got.endswith(b"0\r\n\r\n")
        assert process.wait(5) == 0
        assert process.stderr is not None
        assert f"1 saved to {tmp_path / 'saved.jsonl'}, 0 lost" in process.stderr.read()
    line = json.loads((tmp_path / "saved.jsonl").read_text())
    assert line["response"]["choices"][0]["message"]["content"] == "ab"


def test_a_second_ctrl_c_cuts_an_answer_and_saves_what_came(tmp_path: Path) -> None:
    async def answer(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EVENTS + chunk(event("a")))
        await reader.read(1)

    with child(tmp_path, answer) as (process, port), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(post(close=False))
        got = b""
        while event("a") not in got:
            got += client.recv(1000)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(3) == 0
    line = json.loads((tmp_path / "saved.jsonl").read_text())
    assert (line["why"], line["response"]["choices"][0]["message"]["content"]) == ("gate proxy was stopped", "a")


def test_no_other_machine_can_reach_it(tmp_path: Path) -> None:
    every = [
        each.address for links in psutil.net_if_addrs().values() for each in links if each.family == socket.AF_INET
    ]
    with child(tmp_path, plain()) as (process, port):
        listening = [each for each in psutil.Process(process.pid).net_connections() if each.status == "LISTEN"]
        assert [each.laddr for each in listening] == [("127.0.0.1", port)]
        for address in every:
            if not address.startswith("127."):
                with pytest.raises(OSError):
                    socket.create_connection((address, port), 1)


def test_the_proxy_does_not_ask_itself(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    wanted = given("--to", f"http://localhost:{port}/v1", "--port", port, "--save", str(tmp_path / "s"))
    with pytest.raises(GateError, match="ask itself"):
        wanted.run(wanted)


def test_a_port_that_is_taken_is_bad_input(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        wanted = given("--to", "http://127.0.0.1:1/v1", "--port", port, "--save", str(tmp_path / "s"))
        with pytest.raises(GateError, match="choose another port"):
            wanted.run(wanted)
