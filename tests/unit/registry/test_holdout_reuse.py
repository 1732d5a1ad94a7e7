"""Which attempt at held-out cases a checkpoint is: counted over all slots, recorded before a result is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.registry import holdout_reuse, ledger
from gate.registry.ledger import LedgerError


def test_each_checkpoint_is_one_attempt(tmp_path: Path) -> None:
    assert [holdout_reuse.record(tmp_path, ["a", "b"], name) for name in ("one", "two", "three")] == [1, 2, 3]


def test_a_case_is_known_in_whatever_file_it_stands(tmp_path: Path) -> None:
    """One old case among new ones is enough: the attempt is the highest of all its cases."""
    holdout_reuse.record(tmp_path, ["a", "b"], "one")
    assert holdout_reuse.record(tmp_path, ["b", "new"], "two") == 2
    assert holdout_reuse.record(tmp_path, ["fresh"], "two") == 1


def test_the_same_bytes_keep_their_number_and_are_recorded_once(tmp_path: Path) -> None:
    for checkpoint in ("one", "two", "one", "two"):
        holdout_reuse.record(tmp_path, ["a"], checkpoint)
    assert holdout_reuse.record(tmp_path, ["a"], "one") == 1
    assert len(ledger.read(tmp_path / "holdout_reuse.jsonl")) == 2


def test_what_was_counted_elsewhere_is_not_known_here(tmp_path: Path) -> None:
    holdout_reuse.record(tmp_path, ["a"], "one")
    holdout_reuse.record(tmp_path, ["a"], "two")
    assert [holdout_reuse.count(tmp_path, ["a"], name) for name in ("one", "two", "new")] == [1, 2, 0]
    assert holdout_reuse.count(tmp_path, ["a", "b"], "one") == 0
    assert holdout_reuse.count(tmp_path / "other", ["a"], "one") == 0


def test_a_ledger_that_was_edited_counts_nothing(tmp_path: Path) -> None:
    holdout_reuse.record(tmp_path, ["a"], "one")
    holdout_reuse.record(tmp_path, ["a"], "two")
    path = holdout_reuse.path(tmp_path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(LedgerError):
        holdout_reuse.record(tmp_path, ["a"], "three")


def test_a_line_of_something_else_is_told(tmp_path: Path) -> None:
    ledger.append(holdout_reuse.path(tmp_path), "asked", {"checkpoint": "one"})
    with pytest.raises(LedgerError, match="line 1 is not an attempt"):
        holdout_reuse.count(tmp_path, ["a"], "one")
