"""Held-out cases in a run: counted as an attempt before they are told of, and told of only in sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gate import attempts
from gate.types import Contract, Reply, Result

HELD = "held-out"
SEALED_CALL = {"name": "(held out)", "arguments": {}}


def numbered(contracts: list[Contract], registry: Path, checkpoint: str) -> list[Contract]:
    """The contracts with the number of this attempt at their held-out cases, which is recorded first.

    Raises LedgerError when it cannot be.
    """
    files = {contract.cases for contract in contracts if contract.held_out}
    numbers = attempts.taken(registry, files, checkpoint) if files else {}
    return [replace(contract, attempt=numbers.get(contract.cases, 0)) for contract in contracts]


def sealed(result: Result) -> Result:
    """A held-out result without its text: what remains is needed to count it and to pair it with the champion's."""
    if result.split != HELD:
        return result
    return replace(result, why=(), asked="", expect={}, replies=tuple(_sealed(reply) for reply in result.replies))


def hide(report: pytest.TestReport) -> None:
    """Take from a test's report what a terminal or a JUnit file could show of a held-out case."""
    report.sections = []
    if hasattr(report, "gate_hit"):
        report.gate_hit = None  # type: ignore[attr-defined]


def _sealed(reply: Reply) -> Reply:
    """Times and margins stay; that a call leaked stays, and not which."""
    leaks = [SEALED_CALL] * len(reply.leaks)
    return replace(reply, content="", reasoning="", calls=[], leaks=leaks, fault="", raw="")
