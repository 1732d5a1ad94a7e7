"""An append-only ledger: JSON Lines, each line chained to the one before it, written under a lock and synced.

A line is canonical JSON (RFC 8785) of version, number (from 1), at, event, facts and prev, which is the sha256 of
the line before it. So an edited, removed, added or moved line is found by whoever reads. Two things a chain alone
cannot show: that its last lines are gone, and that all of it was rewritten. For these keep a line's hash elsewhere
(a CI log, a git commit) and give it to `verify`.

A kill leaves at most half of a last line, which nobody was told of: the next call moves it to `<ledger>.torn-<n>`.
Readers take the lock only for that, so a ledger can be read where it cannot be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import rfc8785

from gate.errors import CaseError, GateError
from gate.system import disk, jsonl, platform
from gate.types import Json

VERSION = 1
BEGINNING = "0" * 64
"""What the first line follows; the head of a ledger without lines."""
DEPTH = 50
"""Levels of facts: a line must be readable from any depth of the stack, for good."""
_SHAPE = {"version": int, "number": int, "at": str, "event": str, "facts": dict, "prev": str}
_RESTORE = "restore the file from git or a backup; until then nothing is recorded"


class LedgerError(GateError):
    """A ledger could not be written, or is not as gate wrote it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a ledger, checked."""

    number: int
    at: str
    """When it was written, ISO 8601 in UTC."""
    event: str
    facts: Json
    prev: str
    """The hash of the line before it."""
    hash: str
    """sha256 of this line's bytes without its newline: what an anchor keeps."""


def append(path: Path, event: str, facts: Json) -> Record:
    """Add one record, on disk for good when this returns. The file and its folder are made at need.

    Raises LedgerError when the ledger is broken, the facts are no JSON or the disk is full: then nothing was added.
    """
    with exclusive(path):
        last = next(reversed(_mended(path)), None)
        try:
            line = _line(event, facts, after=last)
        except LedgerError as error:
            raise LedgerError(f"{path}: these facts of {event!r} cannot be recorded: {error}") from error
        _write(path, line + b"\n")
    return _record(line, after=last)


def read(path: Path) -> tuple[Record, ...]:
    """Every record, each line and the whole chain checked; none where there is no file. Raises LedgerError."""
    whole, torn = _split(path)
    if not torn:
        return _check(path, whole)
    with exclusive(path):  # half a line: a writer is at work, or was killed
        return _mended(path)


def verify(path: Path, *, head: str | None = None) -> str:
    """Check a ledger and return the hash of its last line. Raises LedgerError.

    `head` is the hash of any line, kept elsewhere when it was written: that line, and so all before it, must be there.
    """
    if head is not None and not re.fullmatch("[0-9a-f]{64}", head):
        raise LedgerError(
            f"{head!r} is not a line's hash: 64 hexadecimal digits, as they were printed at the promotion"
        )
    if not path.exists():
        raise LedgerError(f"{path}: there is no ledger; if there was one, {_RESTORE}")
    hashes = [BEGINNING, *(record.hash for record in read(path))]
    if head is not None and head not in hashes:
        raise LedgerError(
            f"{path}: none of its {len(hashes) - 1} lines has the hash {head}: lines that were recorded are gone, or "
            f"all of them were rewritten; {_RESTORE}"
        )
    return hashes[-1]


def torn(path: Path) -> tuple[Path, ...]:
    """The files to which half lines of this ledger were moved. They were never recorded, and can be deleted."""
    return tuple(sorted(path.parent.glob(f"{path.name}.torn-*")))


def canonical(value: Any) -> bytes:
    """A JSON value in the one form of RFC 8785. Raises LedgerError for what has none: NaN, integers above 2^53."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise LedgerError(f"not canonical JSON: {error or 'nested too deeply'}") from error


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock `<path>.lock`, made with its folder at need; what the system refuses inside is a LedgerError.

    Whoever holds it must not take it again: it would wait for itself.
    """
    try:
        with platform.locked(path.with_name(f"{path.name}.lock"), waiting=lambda: _say_waiting(path)):
            yield
    except OSError as error:
        raise LedgerError(f"{path}: could not be written: {error}; fix that and try again") from error


def _line(event: str, facts: Json, *, after: Record | None) -> bytes:
    """A record as a line, read back before it is written: 1e20, say, would come back as another type."""
    record = {
        "version": VERSION,
        "number": after.number + 1 if after else 1,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": event,
        "facts": facts,
        "prev": after.hash if after else BEGINNING,
    }
    line = canonical(record)
    _record(line, after=after)
    if _depth(facts) > DEPTH:
        raise LedgerError(f"nested more than {DEPTH} deep")
    return line


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [
        item
        for nest in level
        if isinstance(nest, dict | list | tuple)
        for item in (nest.values() if isinstance(nest, dict) else nest)
    ]:
        depth += 1
    return depth


def _write(path: Path, line: bytes) -> None:
    try:
        disk.add(path, line)
    except disk.HalfWrittenError as error:
        raise LedgerError(
            f"{path}: writing failed, and so did taking it back ({error}): fix the disk, then see in the ledger "
            "whether the last record is there"
        ) from error
    except OSError as error:
        raise LedgerError(f"{path}: {error}: nothing was recorded; fix that and try again") from error


def _split(path: Path) -> tuple[bytes, bytes]:
    """The whole lines of a ledger, and what follows its last newline."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from error
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def _mended(path: Path) -> tuple[Record, ...]:
    """Every record, once half a last line is out of the way. The lock is held; a broken chain is left as it is."""
    whole, half = _split(path)
    records = _check(path, whole)
    if half:
        _set_aside(path, half)
        disk.cut(path, len(whole))
    return records


def _set_aside(path: Path, half: bytes) -> None:
    names = (path.with_name(f"{path.name}.torn-{number}") for number in count(1))
    disk.create(next(name for name in names if not name.exists()), half)


def _check(path: Path, whole: bytes) -> tuple[Record, ...]:
    records: list[Record] = []
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            records.append(_record(line, after=records[-1] if records else None))
        except LedgerError as error:
            raise LedgerError(f"{path}:{number}: {error}; {_RESTORE}") from error
    return tuple(records)


def _record(line: bytes, *, after: Record | None) -> Record:
    """One line, which must follow `after`. Raises LedgerError that says how it does not."""
    value = _value(line)
    number, prev = (after.number + 1, after.hash) if after else (1, BEGINNING)
    if value["number"] != number:
        raise LedgerError(f"says that it is line {value['number']}: lines were removed, added or moved")
    if value["prev"] != prev:
        raise LedgerError(f"does not follow line {number - 1} as it stands: one of the two was edited or replaced")
    return Record(number, value["at"], value["event"], value["facts"], prev, hashlib.sha256(line).hexdigest())


def _value(line: bytes) -> Json:
    try:
        value = jsonl.loads(line.decode(), where="it")
        untouched = canonical(value) == line
    except (UnicodeDecodeError, CaseError, LedgerError) as error:
        raise LedgerError(f"is not a record ({error})") from error
    if not isinstance(value, dict) or not untouched:
        raise LedgerError("is not in the form in which gate writes a record: it was edited")
    if value.get("version") != VERSION:
        raise LedgerError(
            f"is of version {value.get('version')}: if a newer gate wrote it, upgrade pytest-gate; if not"
        )
    if {name: type(item) for name, item in value.items()} != _SHAPE:
        raise LedgerError(f"is not a record: it wants exactly {', '.join(_SHAPE)}, each of its type")
    return value


def _say_waiting(path: Path) -> None:
    print(f"gate: another process writes {path}: waiting", file=sys.stderr)
