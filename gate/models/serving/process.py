"""A server process: started on a free loopback port, checked to be the one that listens there, always stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from gate.errors import AskError, ServeError
from gate.models.client import Client
from gate.models.runtime import Serving, Start
from gate.models.serving import supervisor
from gate.types import Json, Server

TAIL = 12
"""The last lines of a server's log, which an error shows."""


class ServerProcess:
    """A server in a process group that ends with this process (gate.models.serving.supervisor)."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.command = list(command)
        self.log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def listens_on(self, port: int) -> bool:
        """Is the process that listens on the loopback port one of this group?"""
        try:
            family = [p := psutil.Process(self._process.pid), *p.children(recursive=True)]
            return any(_listens(process, port) for process in family)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied as error:
            raise ServeError(f"cannot see which process listens on port {port}: {error}: nothing was graded") from error

    def stop(self) -> None:
        """End the process group: terminated first, then killed. Safe to call twice."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=supervisor.PATIENCE + 2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=10)

    def tail(self) -> str:
        """The last lines of its log, for an error message."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line[:400]}" for line in lines[-TAIL:]) or "    (its log is empty)"


def serve(
    command: Sequence[str], *, server: Server, port: int, environment: Mapping[str, str], name: str, start: Start
) -> Serving:
    """Start a server and wait for its answer to a one-token request. Raises ServeError, and leaves nothing running.

    `server`: how it will be reached, on `port`. `name`: what messages call it.
    """
    process = ServerProcess(command, environment=environment, log=start.folder / "server.log")
    try:
        _wait(process, server, port=port, name=name, start=start)
    except BaseException:
        process.stop()
        raise
    return Serving(server, process.stop, lambda: process.alive)


def free_port() -> int:
    """A loopback port that is free now. Another process may take it before the server does: see `listens_on`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: ServerProcess, server: Server, *, port: int, name: str, start: Start) -> None:
    begun = time.monotonic()
    while not process.listens_on(port):
        _check(process, name=name, begun=begun, timeout=start.timeout)
        start.say(f"starting {name} … {time.monotonic() - begun:.0f} s")
        time.sleep(0.05)
    while True:
        _check(process, name=name, begun=begun, timeout=start.timeout)
        start.say(f"{name} loads the model … {time.monotonic() - begun:.0f} s")
        if _ready(process, server, name, timeout=start.timeout - (time.monotonic() - begun)):
            return
        time.sleep(0.05)


def _check(process: ServerProcess, *, name: str, begun: float, timeout: float) -> None:
    if not process.alive:
        raise ServeError(f"{name} died at start; the end of its log {process.log}:\n{process.tail()}")
    if time.monotonic() - begun > timeout:
        raise ServeError(
            f"{name} did not answer within {timeout:.0f} s (--gate-start-timeout); the end of its log {process.log}:\n"
            f"{process.tail()}"
        )


def _ready(process: ServerProcess, server: Server, name: str, *, timeout: float) -> bool:
    """Does the server answer a one-token request? False while it loads. Raises ServeError."""
    with Client(server, timeout=max(1.0, timeout)) as client:
        try:
            status, text = client.ping()
        except AskError:
            return False
    if status == 503 and "Loading" in text:
        return False
    if status != 200:
        raise ServeError(
            f"{name} started but could not answer: HTTP {status}: {text[:500]}\n"
            f"the end of its log {process.log}:\n{process.tail()}"
        )
    return True


def _listens(process: psutil.Process, port: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return any(
            c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.laddr.ip == "127.0.0.1"
            for c in process.net_connections(kind="tcp4")
        )
    return False


def versions(*packages: str) -> Json:
    """The installed version of each distribution, None where it is not installed."""
    from importlib import metadata

    installed: Json = {}
    for package in packages:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = None
    return installed
