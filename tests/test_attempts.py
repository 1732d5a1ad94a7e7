"""Which attempt at held-out cases a checkpoint is: counted over all slots, recorded before a result is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate import attempts, ledger
from gate.ledger import LedgerError


def test_each_checkpoint_is_one_attempt_at_a_file(tmp_path: Path) -> None:
    assert attempts.taken(tmp_path, ["a", "b"], "one") == {"a": 1, "b": 1}
    assert attempts.taken(tmp_path, ["a"], "two") == {"a": 2}
    assert attempts.taken(tmp_path, ["a", "b"], "three") == {"a": 3, "b": 2}


def test_the_same_bytes_keep_their_number_and_are_recorded_once(tmp_path: Path) -> None:
    for checkpoint in ("one", "two", "one", "two"):
        attempts.taken(tmp_path, ["a"], checkpoint)
    assert attempts.taken(tmp_path, ["a"], "one") == {"a": 1}
    assert len(ledger.read(tmp_path / "attempts.jsonl")) == 2


def test_the_least_number_counts_what_this_registry_has_seen(tmp_path: Path) -> None:
    assert attempts.least(tmp_path, "a", "new") == 1
    attempts.taken(tmp_path, ["a"], "one")
    attempts.taken(tmp_path, ["a"], "two")
    assert [attempts.least(tmp_path, "a", name) for name in ("one", "two", "new")] == [1, 2, 3]


def test_nothing_is_made_where_nothing_is_held_out(tmp_path: Path) -> None:
    assert attempts.taken(tmp_path / "registry", [], "one") == {}
    assert not (tmp_path / "registry").exists()


def test_a_ledger_that_was_edited_counts_nothing(tmp_path: Path) -> None:
    attempts.taken(tmp_path, ["a"], "one")
    attempts.taken(tmp_path, ["a"], "two")
    path = tmp_path / "attempts.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(LedgerError):
        attempts.taken(tmp_path, ["a"], "three")
