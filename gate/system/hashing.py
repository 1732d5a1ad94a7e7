"""sha256 of files, cached by path, size, modification time and inode."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gate.system import cache

SMALL = 2**20
"""Bytes below which a file is hashed again each time: faster than looking it up."""


def sha256(path: Path, *, fresh: bool = False) -> str:
    """The hex sha256 of a file's bytes. `fresh` does not trust what is remembered. Raises OSError."""
    if path.stat().st_size < SMALL:
        return _hash(path)
    return str(cache.remembered("sha256", key(path), lambda: _hash(path), fresh=fresh))


def key(path: Path) -> str:
    """What a file's bytes are remembered by; any change of them changes it. Raises OSError."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"


def remember(name: str, value: str) -> None:
    """Keep the sha256 of the bytes that `key` named before they were read."""
    with cache.opened("sha256") as known:
        known.put(name, value)


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
