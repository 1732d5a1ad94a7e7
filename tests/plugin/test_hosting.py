"""The server is ours, answers before anything is graded, and never outlives the run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from gate.errors import ServeError
from gate.models.runtime import Start
from gate.models.serving import process
from gate.models.serving.process import ServerProcess, free_port, serve
from gate.types import Server
from tests.project import Project, a_case

SLOW = {"seconds": 60, "content": "late"}


@pytest.fixture
def running(project: Project, how: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """pytest in the middle of a run, and the scripted server that it started."""
    project.cases(*[a_case(f"c{number}") for number in range(4)])
    project.script(SLOW)
    command = [sys.executable, "-m", "pytest", "--model", "scripted:answers.jsonl", *how]
    with subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.DEVNULL, start_new_session=True
    ) as pytest_process:
        server = _server_of(pytest_process.pid)
        _wait_until_asked(server)
        yield pytest_process, server
        pytest_process.kill()


def test_ctrl_c_stops_the_server_and_writes_an_incomplete_report(
    project: Project, running: tuple[subprocess.Popen[bytes], psutil.Process]
) -> None:
    pytest_process, server = running
    pytest_process.send_signal(signal.SIGINT)
    assert pytest_process.wait(timeout=30) == 2
    _gone(server)
    assert project.report()["results"] == []


@pytest.mark.parametrize("how_it_ends", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_server_does_not_outlive_a_killed_pytest(
    running: tuple[subprocess.Popen[bytes], psutil.Process], how_it_ends: signal.Signals
) -> None:
    pytest_process, server = running
    os.kill(pytest_process.pid, how_it_ends)
    pytest_process.wait(timeout=30)
    _gone(server)


def test_a_server_that_ignores_being_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.supervisor, "PATIENCE", 0.0)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    started = ServerProcess([sys.executable, "-c", stubborn], environment=os.environ, log=tmp_path / "log")
    while "up" not in started.tail():
        time.sleep(0.02)
    (child,) = psutil.Process(started._process.pid).children()
    started.stop()
    _gone(child)
    assert not started.alive


def test_a_decoy_on_the_port_is_refused(tmp_path: Path) -> None:
    """Another server answers perfectly on the port; ours cannot bind it, and the decoy must not be graded."""
    with _decoy() as port, pytest.raises(ServeError, match=r"died at start(.|\n)*Address already in use"):
        _serve(tmp_path, port, f"import socket; socket.create_server(('127.0.0.1', {port}))")


def test_a_decoy_is_not_taken_for_a_server_that_lives_but_never_listens(tmp_path: Path) -> None:
    with _decoy() as port, pytest.raises(ServeError, match="did not answer within 1 s"):
        _serve(tmp_path, port, "import time; time.sleep(60)", timeout=1)


def test_a_server_that_dies_at_start_is_named_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match=r"died at start(.|\n)*out of cheese"):
        _serve(tmp_path, free_port(), "raise SystemExit('out of cheese')")


def test_a_server_that_answers_with_an_error_is_refused(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "from http.server import *\nclass H(BaseHTTPRequestHandler):\n"
        "    def do_POST(self): self.send_error(404, 'no template')\n"
        f"HTTPServer(('127.0.0.1', {port}), H).serve_forever()"
    )
    with pytest.raises(ServeError, match=r"could not answer: HTTP 404"):
        _serve(tmp_path, port, code)


def _serve(folder: Path, port: int, code: str, *, timeout: float = 20) -> None:
    start = Start(folder=folder, timeout=timeout, context=512, parallel=1, say=lambda _: None)
    server = Server(f"http://127.0.0.1:{port}/v1", "x", "unknown", {}, {})
    command = [sys.executable, "-c", code]
    before = set(psutil.Process().children(recursive=True))
    try:
        serve(command, server=server, port=port, environment=os.environ, name="a server", start=start)
    finally:
        assert set(psutil.Process().children(recursive=True)) <= before, "something was left running"


class _decoy:  # noqa: N801 - reads as a verb where it is used
    """A server that answers every request as a model would."""

    def __enter__(self) -> int:
        body = b'{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}'

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        return int(self.server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def _server_of(pid: int) -> psutil.Process:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children(recursive=True):
            with_name = " ".join(child.cmdline())
            if "gate.models.serving.scripted_rules" in with_name and "supervisor.py" not in with_name:
                return child
        time.sleep(0.05)
    raise AssertionError("the run never started its server")


def _wait_until_asked(server: psutil.Process) -> None:
    """Until a request has been open for a while: one of the cases, not the one-token question at the start."""
    deadline, seen = time.monotonic() + 60, 0
    while seen < 4 and time.monotonic() < deadline:
        time.sleep(0.25)
        states = [connection.status for connection in server.net_connections(kind="tcp4")]
        seen = seen + 1 if psutil.CONN_ESTABLISHED in states else 0
    assert seen == 4, "the run never asked a case"


def _gone(server: psutil.Process) -> None:
    psutil.wait_procs([server], timeout=15)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_free_port_is_on_loopback() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))
        assert probe.getsockname()[0] == "127.0.0.1"
