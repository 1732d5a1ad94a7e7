"""Caches on disk: JSON answers by what was asked, in SQLite files shared by runs and by xdist's workers.

Everything that is found out slowly and would be found out again alike is kept here: a model's replies
(gate.models.reply_cache), and the sha256, tensors and probes of files (`remembered`). A cache that cannot be read or
written costs time, never an answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gate.system import platform

LIMIT = 512 * 2**20
"""Bytes of answers that a file keeps; those not used for the longest time go first."""
FACTS_LIMIT = 64 * 2**20
"""The same of what is remembered of files."""
EVERY = 0.5
"""Seconds after which an answer is written at once; those that come faster wait for the next one, or for the end."""
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL, about BLOB NOT NULL, run TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_used ON answers (used);
"""
PATIENCE = 2.0
"""Seconds to wait for another process that writes; then nothing is kept any more."""


def remembered(kind: str, asked: object, ask: Callable[[], Any], *, fresh: bool = False) -> Any:
    """The JSON answer of a slow and repeatable question about files, from the cache if it was asked before.

    `fresh`: ask again, and keep the new answer.
    """
    with opened(kind, fresh=fresh) as facts:
        answer = facts.get(asked)
        if answer is None:
            answer = ask()
            facts.put(asked, answer)
        return answer


def opened(kind: str, *, fresh: bool = False) -> contextlib.closing[Cache]:
    """What is remembered of files, by kind of question."""
    path = platform.cache_folder() / "facts.sqlite"
    return contextlib.closing(Cache(path, kind, fresh=fresh, limit=FACTS_LIMIT))


class Cache:
    """The answers to one kind of question. Safe to use from several threads and processes."""

    def __init__(self, path: Path, about: object, *, fresh: bool = False, run: str = "", limit: int = LIMIT) -> None:
        """`about`: JSON that says whose answers these are. `fresh`: answers are kept, and earlier ones not given.

        `run`: what the processes of one run have in common; one of its own where it is empty.
        """
        self._about, self._fresh, self._limit = about, fresh, limit
        self._run = run or uuid.uuid4().hex
        self._lock = threading.Lock()
        self._store: sqlite3.Connection | None = None
        self._waiting: dict[bytes, bytes] = {}
        self._written = 0.0
        with self._quietly():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
            self._store = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            self._store.execute("PRAGMA journal_mode=WAL")
            self._store.execute("PRAGMA synchronous=NORMAL")
            self._store.executescript(_TABLE)

    def get(self, asked: object) -> Any:
        """What was answered to this; None where that is not known."""
        return self.look(asked)[0]

    def look(self, asked: object) -> tuple[Any, bool]:
        """What was answered to this, None where that is not known; and was it in an earlier run?"""
        if not self._fresh:
            with self._quietly() as store:
                if store is not None and (row := self._row(store, self._key(asked))) is not None:
                    return json.loads(zlib.decompress(row[0])), row[1] != self._run
        return None, False

    def put(self, asked: object, answer: object) -> None:
        """Keep an answer, JSON, in place of an earlier one."""
        key, value = self._key(asked), zlib.compress(json.dumps(answer).encode(), 1)
        with self._quietly() as store:
            if store is not None:
                self._waiting[key] = value
                if time.monotonic() > self._written + EVERY:
                    self._write(store)

    def flush(self) -> None:
        """Write what waits."""
        with self._quietly() as store:
            if store is not None:
                self._write(store)

    def forget(self) -> None:
        """Keep none of these answers, of whichever run, and let go of the file."""
        with self._quietly() as store:
            self._waiting.clear()
            if store is not None:
                store.execute("DELETE FROM answers WHERE about = ?", (self._whose(),))
        self.close()

    def close(self) -> None:
        """Let go of what is too much, and of the file."""
        with self._quietly() as store:
            if store is not None:
                self._store = None
                self._write(store)
                _trim(store, self._limit)
                store.close()

    def _write(self, store: sqlite3.Connection) -> None:
        """Put what waits into the file, in one transaction."""
        now, whose = int(time.time()), self._whose()
        rows = [(key, value, now, whose, self._run) for key, value in self._waiting.items()]
        self._waiting.clear()
        try:
            with store:
                store.execute("BEGIN IMMEDIATE")
                store.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.Error:
            self._store = None  # waiting for it again and again would cost more than asking again
        self._written = time.monotonic()

    def _row(self, store: sqlite3.Connection, key: bytes) -> tuple[bytes, str] | None:
        if key in self._waiting:
            return self._waiting[key], self._run
        row = store.execute("SELECT value, run, used FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if (now := int(time.time())) > row[2] + 3600:
            store.execute("UPDATE answers SET used = ? WHERE key = ?", (now, key))
        return bytes(row[0]), str(row[1])

    def _whose(self) -> bytes:
        return hashlib.sha256(json.dumps(self._about, sort_keys=True).encode()).digest()

    def _key(self, asked: object) -> bytes:
        return hashlib.sha256(json.dumps([self._about, asked], sort_keys=True).encode()).digest()

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[sqlite3.Connection | None]:
        with self._lock, contextlib.suppress(sqlite3.Error, OSError, ValueError, zlib.error):
            yield self._store


def _trim(store: sqlite3.Connection, limit: int) -> None:
    pages, size, free = (store.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZES)
    if (pages - free) * size <= limit:
        return
    count = store.execute("SELECT count(*) FROM answers").fetchone()[0]
    oldest = "SELECT key FROM answers ORDER BY used LIMIT ?"
    store.execute(f"DELETE FROM answers WHERE key IN ({oldest})", (count // 4 + 1,))
    store.execute("VACUUM")


_SIZES = ("page_count", "page_size", "freelist_count")
