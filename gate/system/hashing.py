"""sha256 of files, remembered by path, size, time of change and inode."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from gate.system import jsonl, platform

SMALL = 2**20
"""Bytes below which a file is hashed anew each time: faster than looking it up."""


def sha256(path: Path, *, fresh: bool = False) -> str:
    """The hex sha256 of a file's bytes. `fresh` does not trust what is remembered. Raises OSError."""
    if path.stat().st_size < SMALL:
        return _hash(path)
    name = key(path)
    known = {} if fresh else _read()
    if name not in known:
        value = _hash(path)
        remember(name, value)
        return value
    return known[name]


def key(path: Path) -> str:
    """What a file's bytes are remembered by; any change of them changes it. Raises OSError."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"


def remember(name: str, value: str) -> None:
    """Keep the sha256 of the bytes that `key` named before they were read."""
    _write(_read() | {name: value})


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file() -> Path:
    return platform.cache_folder() / "hashes.json"


def _read() -> dict[str, str]:
    try:
        value = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(known: dict[str, str]) -> None:
    """Remember; a cache that cannot be written costs time, never an answer. The newest thousand stay."""
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        jsonl.write_whole(_file(), json.dumps(dict(list(known.items())[-1000:])))
