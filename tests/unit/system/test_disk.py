"""A full disk, a failing one and Ctrl-C leave a ledger as it was, or say that they could not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gate.registry import ledger
from gate.registry.ledger import LedgerError
from tests.unit.registry.test_ledger import python


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A ledger of three lines."""
    path = tmp_path / "ledger.jsonl"
    for _ in range(3):
        ledger.append(path, "attempt", {})
    return path


def test_leaves_the_ledger_as_it_was(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = three.read_bytes()
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: real(handle, data[:50]) if len(data) > 100 else _full())
        with pytest.raises(LedgerError, match="No space left on device: nothing was recorded"):
            ledger.append(three, "next", {"name": "x" * 20})
    assert three.read_bytes() == before
    assert ledger.append(three, "next", {}).number == 4


def test_so_does_a_limit_of_the_system(three: Path) -> None:
    """RLIMIT_FSIZE: the first write is cut short by the kernel itself, the second is refused."""
    before = three.read_bytes()
    child = python(
        "import resource; path = Path(sys.argv[1]); limit = path.stat().st_size + 40\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try: ledger.append(path, 'next', {})\n"
        "except ledger.LedgerError as error: print(error)",
        str(three),
    )
    assert "File too large: nothing was recorded" in child.communicate(timeout=60)[0]
    assert (three.read_bytes(), ledger.torn(three)) == (before, ())


@pytest.mark.parametrize("nth", [1, 2])
def test_what_could_not_be_synced_is_taken_back(three: Path, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    before, calls = three.read_bytes(), []

    def sync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == nth:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(LedgerError, match="Input/output error: nothing was recorded"):
        ledger.append(three, "next", {})
    assert three.read_bytes() == before


def test_what_cannot_be_taken_back_is_said(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full)
        patch.setattr(os, "ftruncate", _full)
        with pytest.raises(LedgerError, match=r"so did taking it back .* see in the ledger"):
            ledger.append(three, "next", {})
    assert len(ledger.read(three)) == 4


def test_ctrl_c_leaves_the_ledger_as_it_was(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = three.read_bytes()

    def interrupted(_: int) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.append(three, "next", {})
    assert three.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="could not be written"):
        ledger.append(tmp_path / "file" / "ledger.jsonl", "attempt", {})


def _full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")
