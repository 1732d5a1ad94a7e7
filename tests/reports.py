"""A whole report for tests, to be changed with dataclasses.replace."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec

from gate.report.schema import VERSION
from gate.types import Break, Contract, Graded, Hardware, Made, Reply, Report, Result

REPLY = Reply("hi 😀", "", [], [], "stop", "", {}, 0.1, 200, 0.5, "{}")
GRADED = Graded("mlx", "m", "/m", "0" * 64, verified=True, bytes=1)
HARDWARE = Hardware("Linux 6.1", "x86_64", "p", 1, 1, "one")
MADE = Made("0.1.0", "3.11", "2026-01-01T00:00:00+00:00", 1.5, ("pytest",), "mlx_lm", {}, {"seed": 0}, HARDWARE, {})
WHOLE = Report(
    checkpoint=GRADED,
    made=MADE,
    contracts=(Contract("t", "c.jsonl", "1" * 64, ("a", "b"), 0.5),),
    results=(Result("t", "a", "dev", False, False, ("wrong",), "?", {"calls": []}, (REPLY,)),),
    breaks=(Break("t[b]", "call: no answer"),),
    skips=(),
)


def made(report: Report, **changes: Any) -> Report:
    """The report under other conditions."""
    return replace(report, made=replace(report.made, **changes))


def asked(*contracts: Contract, results: tuple[Result, ...] = (), **more: Any) -> Report:
    """A report of these contracts and results, in which nothing broke."""
    return replace(WHOLE, contracts=contracts, results=results, breaks=(), **more)


def as_json(report: Report) -> dict[str, Any]:
    """The object that a report's file holds."""
    value: dict[str, Any] = json.loads(json.dumps({"version": VERSION} | msgspec.to_builtins(report)))
    return value
