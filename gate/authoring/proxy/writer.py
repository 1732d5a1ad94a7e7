"""Lines added to a file by a thread of its own, so that saving never delays an answer and never breaks one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from gate.authoring.proxy.record import BEGINNING, Exchange, line
from gate.errors import GateError
from gate.system.text import clean

WAITING = 1000
"""Exchanges that may wait to be written; one more is lost, and counted."""
HELD = 256 * 2**20
"""Bytes of all that wait."""
_BACK = 2**16


def check(path: Path) -> None:
    """Make the file, readable for its owner alone; one that is there must be ours. Raises GateError."""
    try:
        handle = _opened(path)
    except OSError as error:
        raise GateError(f"--save {path}: cannot be written: {error.strerror}; name another file") from error
    try:
        there = os.fstat(handle)
        if not stat.S_ISREG(there.st_mode):
            raise GateError(f"--save {path}: is not a plain file; name one, which is made if there is none")
        begins = os.pread(handle, len(BEGINNING), 0)
        if not BEGINNING.startswith(begins):  # none or half of it: an empty file, or what a kill has left
            raise GateError(f"--save {path}: is a file that gate proxy has not written; name another one")
        if there.st_mode & 0o077:
            _tell(f"{path} was there, and others may read it (mode {stat.S_IMODE(there.st_mode):04o})")
    finally:
        os.close(handle)


def append(path: Path, data: bytes) -> None:
    """Add a line under a lock, or nothing where that fails: half a line is taken back. Raises OSError.

    A kill can leave half a line at the end; the next one to write cuts it off. The file is opened again for each line,
    so that it can be moved away while the proxy runs.
    """
    handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = _mended(handle)
        try:
            while data:
                data = data[os.write(handle, data) :]
        except BaseException:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


class Saving:
    """What is to be saved, on its way to the file; how much of it was, and how much was lost."""

    def __init__(self, path: Path, *, write: Callable[[Path, bytes], None] = append) -> None:
        self.saved = 0
        self.lost = 0
        self.why = ""
        """Why the first one was lost."""
        self._path = path
        self._write = write
        self._queue: queue.Queue[Exchange | None] = queue.Queue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._held = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="gate-proxy-save", daemon=True)
        self._thread.start()

    def put(self, exchange: Exchange) -> None:
        """Hand over an exchange. Returns at once; what there is no room for is lost."""
        size = len(exchange.request) + len(exchange.answer)
        with self._lock:
            fits = self._waiting < WAITING and self._held + size <= HELD and not self._closed
            if fits:
                self._waiting += 1
                self._held += size
        if fits:
            self._queue.put(exchange)
        else:
            self._lose("more came than could be written")

    def close(self, seconds: float) -> None:
        """Write what waits, for so many seconds at most; what is left then is lost."""
        self._queue.put(None)
        self._thread.join(seconds)
        with self._lock:
            self._closed = True
            late, self._waiting = self._waiting, 0
        for _ in range(late):
            self._lose(f"writing took longer than {seconds:.0f} s")

    def _work(self) -> None:
        while (exchange := self._queue.get()) is not None:
            why = self._kept(exchange)
            with self._lock:
                if self._closed:  # it was given up and is counted as lost
                    return
                self._waiting -= 1
                self._held -= len(exchange.request) + len(exchange.answer)
                self.saved += not why
            if why:
                self._lose(why)
        with contextlib.suppress(OSError):
            _flush(self._path)

    def _kept(self, exchange: Exchange) -> str:
        """Write one; why that failed, or nothing. The thread must outlive everything that an answer can hold."""
        try:
            self._write(self._path, line(exchange))
        except OSError as error:
            return error.strerror or str(error)
        except Exception as error:  # noqa: BLE001 - what it is fed is anything; the line is counted as lost
            return f"{type(error).__name__}: {error}"
        return ""

    def _lose(self, why: str) -> None:
        with self._lock:
            self.lost += 1
            told, self.why = self.why, self.why or why
        if not told:
            _tell(f"an answer could not be saved to {self._path}: {why}; answers still reach the client")


def _opened(path: Path) -> int:
    """Open a file to add to it. Never waits, not even for the other end of a pipe."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)


def _mended(handle: int) -> int:
    """The size of a file once its last line is a whole one: half a line is cut off, a missing newline added."""
    size = os.fstat(handle).st_size
    if not size or os.pread(handle, 1, size - 1) == b"\n":
        return size
    end = _last_newline(handle, size) + 1
    try:
        json.loads(os.pread(handle, size - end, end))
    except (ValueError, RecursionError):
        os.ftruncate(handle, end)
        return end
    return size + os.write(handle, b"\n")


def _last_newline(handle: int, size: int) -> int:
    """Where the last newline stands; -1 where there is none."""
    while size > 0:
        begin = max(0, size - _BACK)
        found = os.pread(handle, size - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found
        size = begin
    return -1


def _flush(path: Path) -> None:
    """Bring the file to disk. A line outlives a kill without this; it is for a power cut after the end."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tell(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
        print(clean(f"gate: {text}"), file=sys.stderr, flush=True)
