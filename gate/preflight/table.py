"""Checks as text for a terminal: a line each, and below what was found with its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from gate.preflight.rule import SEVERITIES
from gate.types import Check

SHOWN = 8
"""Lines of one finding that are printed; JSON holds all."""
MARKS = {"ok": "ok", "found": "FOUND", "not possible": "not possible", "not applicable": "not applicable"}


def table(checks: Sequence[Check]) -> str:
    """All checks that apply, one line each, then the findings; those for other kinds in one line."""
    rows = [[check.id, check.meaning, _status(check)] for check in checks if check.status != "not applicable"]
    parts = [tabulate(rows, ["id", "true of a good artifact", ""], maxcolwidths=[None, 78, 60])]
    parts += [f"not applicable: {other}"] if (other := _other(checks)) else []
    return "\n\n".join([*parts, *findings(checks)])


def findings(checks: Iterable[Check]) -> list[str]:
    """What was found, worst first, a paragraph each."""
    found = sorted(
        (check for check in checks if check.status == "found"), key=lambda check: SEVERITIES.index(check.severity)
    )
    return [_finding(check) for check in found]


def counted(checks: Sequence[Check]) -> str:
    """21 ok, 5 not possible, 2 found (1 fail, 1 warn)"""
    number = {status: sum(check.status == status for check in checks) for status in MARKS}
    severities = [check.severity for check in checks if check.status == "found"]
    worst = ", ".join(f"{severities.count(name)} {name}" for name in SEVERITIES if name in severities)
    told = [f"{number['ok']} ok", f"{number['not possible']} not possible"]
    return ", ".join([*told, *([f"{number['found']} found ({worst})"] if worst else [])])


def _other(checks: Sequence[Check]) -> str:
    """P01, P02 (not for kind mlx); P18, P19 (no --train was given)"""
    reasons: dict[str, list[str]] = {}
    for check in checks:
        if check.status == "not applicable" and check.id not in reasons.setdefault(check.found[0], []):
            reasons[check.found[0]].append(check.id)
    return "; ".join(f"{', '.join(ids)} ({reason})" for reason, ids in reasons.items())


def _status(check: Check) -> str:
    return MARKS[check.status] + (f": {check.found[0]}" if check.status == "not possible" else "")


def _finding(check: Check) -> str:
    lines = [f"{check.severity.upper()} {check.id} {check.name}", f"  it should be true that: {check.meaning}"]
    lines += [f"  found    {line}" for line in check.found[:SHOWN]]
    lines += [f"  … and {len(check.found) - SHOWN} more"] if len(check.found) > SHOWN else []
    return "\n".join([*lines, f"  remedy   {check.remedy}"])
