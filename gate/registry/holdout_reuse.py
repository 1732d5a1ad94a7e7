"""How often held-out cases were used: `<registry>/holdout_reuse.jsonl`, a ledger over all slots.

Each checkpoint that is asked a held-out case is one attempt at it, whatever comes of it and in whatever file the case
stands. Whoever tries often enough passes by luck, so the n-th checkpoint must show its bound with confidence 1 - 0.05/n
(Bonferroni; Dwork et al., "The reusable holdout", Science 349 (2015), on why). The same bytes asked again keep their
number; what a URL serves cannot be known again, so each run of one is an attempt. Fresh cases begin at 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gate.registry import ledger
from gate.registry.ledger import LedgerError

EVENT = "asked"


def record(registry: Path, cases: Iterable[str], checkpoint: str) -> int:
    """Record that a checkpoint is asked these held-out cases; the number of this attempt at them, from 1.

    `cases`: what each asks (gate.cases.loader.marks); `checkpoint`: its digest. Raises LedgerError when it cannot be
    recorded.
    """
    wanted = set(cases)
    known = _seen(path(registry))
    if new := sorted(case for case in wanted if checkpoint not in known.get(case, ())):
        ledger.append(path(registry), EVENT, {"checkpoint": checkpoint, "cases": new})
        known = _seen(path(registry))
    return max(known[case].index(checkpoint) + 1 for case in wanted)


def count(registry: Path, cases: Iterable[str], checkpoint: str) -> int:
    """The number that was recorded; 0 where this registry has not seen it asked them all. Raises LedgerError."""
    known = _seen(path(registry))
    places = [known.get(case, []) for case in set(cases)]
    if not all(checkpoint in place for place in places):
        return 0
    return max(place.index(checkpoint) + 1 for place in places)


def path(registry: Path) -> Path:
    """The ledger of held-out cases and the checkpoints that were asked them."""
    return registry / "holdout_reuse.jsonl"


def _seen(ledger_: Path) -> dict[str, list[str]]:
    """Each case's checkpoints in the order in which they were first asked it."""
    seen: dict[str, dict[str, None]] = {}
    for line in ledger.read(ledger_):
        try:
            cases, checkpoint = list(line.facts["cases"]), str(line.facts["checkpoint"])
        except (KeyError, TypeError) as error:
            raise LedgerError(f"{ledger_}: line {line.number} is not an attempt at held-out cases") from error
        for case in cases:
            seen.setdefault(case, {})[checkpoint] = None
    return {case: list(checkpoints) for case, checkpoints in seen.items()}
