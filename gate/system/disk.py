"""Writing that outlives a kill and a power cut: bytes added whole or not at all, names in folders, files cut short.

Everything here raises OSError as the system does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from pathlib import Path


class HalfWrittenError(OSError):
    """Writing failed, and so did taking it back: what was to be added may be there, or half of it."""


def add(path: Path, data: bytes) -> None:
    """Add bytes to the end of a file, which is made at need. If that fails or is interrupted, it is as long as before.

    Only half of the bytes may be there after a kill. Raises HalfWrittenError when they cannot be taken back.
    """
    new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(handle).st_size
    try:
        _write(handle, data)
        _sync(handle)
        for folder in path.absolute().parents[: 3 if new else 1]:  # its folder may be new, and the one above
            sync_folder(folder)
    except BaseException:
        _cut(handle, size)
        raise
    finally:
        os.close(handle)


def create(path: Path, data: bytes) -> None:
    """Make a new file; it is gone again if that fails."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        _write(handle, data)
        _sync(handle)
        sync_folder(path.parent)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(handle)


def cut(path: Path, size: int) -> None:
    """Let a file end after so many bytes."""
    with path.open("r+b") as stream:
        os.ftruncate(stream.fileno(), size)
        _sync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _sync(handle)
    finally:
        os.close(handle)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _cut(handle: int, size: int) -> None:
    try:
        os.ftruncate(handle, size)
        _sync(handle)
    except OSError as error:
        raise HalfWrittenError(error.errno, error.strerror) from error


def _sync(handle: int) -> None:
    """Bring a file to disk; macOS empties the drive's own cache only when asked so."""
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # network drives know no F_FULLFSYNC
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)
