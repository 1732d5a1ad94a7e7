"""How often held-out cases were looked at: `<registry>/attempts.jsonl`, a ledger over all slots.

Each checkpoint that is graded by a file's held-out cases is one attempt at that file, whatever comes of it. Whoever
tries often enough passes by luck, so the n-th checkpoint must show its bound with confidence 1 - 0.05/n (Bonferroni:
Dwork et al., "The reusable holdout", Science 349 (2015), on why). The same bytes graded again keep their number. An
edited file goes on where it was; a file with a new name, of fresh cases, begins at 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gate import ledger

EVENT = "asked"


def taken(registry: Path, files: Iterable[str], checkpoint: str) -> dict[str, int]:
    """Record that the checkpoint of this digest is asked these files' held-out cases; each file's number, from 1.

    Raises LedgerError when that cannot be recorded.
    """
    known = _seen(registry)
    if new := sorted(file for file in files if checkpoint not in known.get(file, ())):
        ledger.append(_path(registry), EVENT, {"checkpoint": checkpoint, "files": new})
        known = _seen(registry)
    return {file: known[file].index(checkpoint) + 1 for file in files}


def least(registry: Path, file: str, checkpoint: str) -> int:
    """The lowest number that a report of this checkpoint can honestly give for a file. Raises LedgerError."""
    seen = _seen(registry).get(file, [])
    return seen.index(checkpoint) + 1 if checkpoint in seen else len(seen) + 1


def _seen(registry: Path) -> dict[str, list[str]]:
    """Each file's checkpoints in the order in which they were first asked."""
    seen: dict[str, dict[str, None]] = {}
    for line in ledger.read(_path(registry)):
        for file in line.facts["files"]:
            seen.setdefault(file, {})[line.facts["checkpoint"]] = None
    return {file: list(checkpoints) for file, checkpoints in seen.items()}


def _path(registry: Path) -> Path:
    return registry / "attempts.jsonl"
