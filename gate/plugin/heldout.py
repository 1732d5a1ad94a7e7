"""Held-out cases in a run: each use is recorded before results are reported, and only sums are reported.

A sum over a part of them would tell of single ones, so a test that was not asked all of its cases tells nothing of the
held-out ones.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gate.plugin.state import FIELD
from gate.registry import holdout_reuse
from gate.types import HELD_OUT, Contract, Reply, Result

SEALED_CALL = {"name": "(held out)", "arguments": {}}


def numbered(contracts: Sequence[Contract], registry: Path, checkpoint: str) -> list[Contract]:
    """The contracts with the number of this attempt at their held-out cases, which is recorded first.

    Raises LedgerError when it cannot be.
    """
    return [
        replace(each, attempt=holdout_reuse.record(registry, each.held_out, checkpoint)) if each.held_out else each
        for each in contracts
    ]


def countable(contracts: Sequence[Contract], results: Sequence[Result]) -> tuple[Result, ...]:
    """The results that sums may count: held-out ones only where all were asked and the attempt is recorded."""
    asked = Counter((result.test, result.case) for result in results)
    whole = {
        each.test
        for each in contracts
        if each.attempt and all(asked[each.test, id_] >= each.repeats for id_ in each.ids)
    }
    return tuple(result for result in results if result.split != HELD_OUT or result.test in whole)


def sealed(result: Result) -> Result:
    """A result as a report may hold it: of a held-out one no text."""
    if result.split != HELD_OUT:
        return result
    replies = tuple(_silent(reply) for reply in result.replies)
    return replace(result, why=(), asked="", expect={}, replies=replies, stage="", raw=None)


def hide(report: pytest.TestReport) -> str:
    """Take from a test's report what could show a held-out case; how it broke, when it did.

    To pytest it has then passed: its own summary would name the case. The gate counts the break.
    """
    report.sections = []
    report.duration, report.stop = 0.0, report.start  # a sure hit has been asked before, and takes no time
    if report.when == "call":
        report.user_properties = [*(each for each in report.user_properties if each[0] != FIELD), (FIELD, HELD_OUT)]
    if not report.failed:
        return ""
    report.outcome, report.longrepr = "passed", None
    return f"a held-out case broke in its {report.when} phase; which and how is not shown"


@contextlib.contextmanager
def unlogged(split: str) -> Iterator[None]:
    """While a held-out case's test runs nothing is logged: --log-file would keep a suite's own words of it."""
    before = logging.root.manager.disable
    if split == HELD_OUT:
        logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _silent(reply: Reply) -> Reply:
    """Times and margins stay; that a call leaked stays, and not which."""
    leaks = [SEALED_CALL] * len(reply.leaks)
    return replace(reply, content="", reasoning="", calls=[], leaks=leaks, fault="", raw="")
