"""A kill -9 at any instant loses no line that was told of, and leaves no pointer to what is not recorded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from gate.registry import ledger, slots
from gate.registry.slots import Slot
from tests.unit.registry.test_slots import ROOT, names, pointer, promote


def life(folder: Path) -> Iterator[str]:
    """What tests.killing kills at every instant: each kind of change, from nothing on."""
    slot = Slot("hermes", folder / "registry")
    yield promote(slot, "a").line
    yield slots.record(slot, slots.ATTEMPT, {"asked": ["c"], "outcome": "BELOW_FLOOR"}).hash
    yield promote(slot, "b").line
    slots.rollback(slot, "worse in use")
    yield ledger.verify(slot.ledger)
    yield promote(slot, "c").line


def mend(folder: Path) -> Iterator[str]:
    """What the next process does after a kill."""
    slots.current(Slot("hermes", folder / "registry"))
    yield from ()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a kill, other than a power cut, leaves the same in it as on a disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def test_what_any_kill_leaves_is_sound(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "tests.killing", "tests.unit.registry.test_killed", str(memory)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    states = sorted(memory.iterdir())
    assert len(states) > 200
    halves = {state.name: _half(Slot("hermes", state / "registry")) for state in states}
    for state in states:
        half = halves[state.name.partition("-")[0]]
        assert half in (b"", halves[state.name], *_torn(state)), "half a line is in one place at least"
    seen = {_check(state) for state in states}
    assert seen == {("torn", "as told"), ("whole", "behind"), ("whole", "as told")}


def _half(slot: Slot) -> bytes:
    return slot.ledger.read_bytes().split(b"\n")[-1] if slot.ledger.exists() else b""


def _torn(state: Path) -> list[bytes]:
    return [path.read_bytes() for path in ledger.torn(Slot("hermes", state / "registry").ledger)]


def _check(state: Path) -> tuple[str, str]:
    """All that must hold after a kill, before and after the next process; says what the kill had left."""
    slot = Slot("hermes", state / "registry")
    told = (state / "told").read_text().split()
    data = slot.ledger.read_bytes() if slot.ledger.exists() else b""
    half = _half(slot)
    whole = [sha256(line).hexdigest() for line in data.split(b"\n")[:-1]]
    assert whole[: len(told)] == told, "every line that was told of is there, in order"
    assert len(whole) <= len(told) + 1
    left = [pointer(slot, role) for role in ("current", "previous")]
    assert all(p is None or p["line"] in whole for p in left)

    standing = slots.standing(slot)
    assert [line.hash for line in slots.history(slot)] == whole
    shown = [p and p["line"] for p in left]
    assert names(standing) == [[None, None], ["a", None], ["a", None], ["b", "a"], ["a", None], ["c", "a"]][len(whole)]
    assert [pointer(slot, role) and pointer(slot, role)["line"] for role in ("current", "previous")] == [
        p and p.line for p in (standing.current, standing.previous)
    ]
    assert half in (b"", *_torn(state))
    next_one = promote(slot, "d")
    assert slots.verify(slot, head=next_one.line) == next_one.line
    assert not [path for path in slot.folder.iterdir() if re.match(r"\.(current|previous)\.", path.name)]
    behind = shown != [p and p.line for p in (standing.current, standing.previous)]
    return ("torn" if half else "whole", "behind" if behind else "as told")
