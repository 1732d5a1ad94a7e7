"""Run a module of gate in a child process with limits on time, memory and output, to read untrusted files."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import IO, Any

import psutil

from gate.errors import GateError
from gate.system import platform
from gate.types import Json

OUTPUT = 64 * 2**20
"""Bytes of JSON that a child may answer with."""


class LimitError(GateError):
    """The child broke a limit, died or answered no JSON; says which."""


def run(module: str, request: Json, *, seconds: float, memory: int, environment: dict[str, str] | None = None) -> Any:
    """Run `python -m module` with the request as JSON on its standard input; its standard output is JSON.

    `memory` is in bytes of resident memory, watched from here: RLIMIT_AS does not bind on macOS, and counts the pages
    of a mapped file. The child's own limit of processor time ends it where its parent is killed. Raises LimitError.
    """
    with tempfile.TemporaryFile() as answered, tempfile.TemporaryFile() as complaint, tempfile.TemporaryFile() as asked:
        asked.write(json.dumps({"seconds": math.ceil(seconds), "request": request}).encode())
        asked.seek(0)
        child = subprocess.Popen(
            [*platform.PYTHON, "-m", module], stdin=asked, stdout=answered, stderr=complaint, env=environment
        )
        try:
            _watch(child, answered, deadline=time.monotonic() + seconds, seconds=seconds, memory=memory)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if child.returncode:
            raise LimitError(_last_line(complaint) or f"the reader died with status {child.returncode}")
        answered.seek(0)
        try:
            return json.loads(answered.read(OUTPUT + 1))
        except ValueError as error:
            raise LimitError(f"the reader's answer is not JSON: {error}") from error


def answer(function: Callable[[Json], Any]) -> None:
    """What the child's module does: print the function of the request, or say in one line why there is none."""
    asked = json.load(sys.stdin)
    cores = os.cpu_count() or 1
    resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"] * cores, asked["seconds"] * cores + 5))
    real, sys.stdout = sys.stdout, sys.stderr  # what libraries print is not a part of the answer
    try:
        value = function(asked["request"])
    except Exception as error:  # noqa: BLE001 - the parent makes a LimitError of whatever it was
        print(f"{type(error).__name__}: {error}".replace("\n", " ")[:500], file=sys.stderr)
        sys.exit(1)
    json.dump(value, real)


def _watch(
    child: subprocess.Popen[bytes], answered: IO[bytes], *, deadline: float, seconds: float, memory: int
) -> None:
    """Return when the child has ended. Raises LimitError when it takes too long, too much, or says too much."""
    process = psutil.Process(child.pid)
    while True:
        try:
            child.wait(0.02)
            return
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() > deadline:
            raise LimitError(f"took longer than {seconds:g} s")
        try:
            used = process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        if used > memory:
            raise LimitError(f"took more than {memory // 2**20} MiB of memory")
        if os.fstat(answered.fileno()).st_size > OUTPUT:
            raise LimitError(f"answered more than {OUTPUT // 2**20} MiB")


def _last_line(complaint: IO[bytes]) -> str:
    size = complaint.seek(0, 2)
    complaint.seek(max(0, size - 4000))
    lines = [line for line in complaint.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
