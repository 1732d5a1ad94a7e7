"""Confusion matrices as text, with the rates of false positives and false negatives."""

from __future__ import annotations

from tabulate import tabulate

from gate.cases.labels import NO_ANSWER, NO_JSON
from gate.report.shown import Shown
from gate.report.table import short
from gate.stats import upper_bound
from gate.system.text import one_line
from gate.types import Contract

COLUMNS = 12
"""Kinds of answers that a matrix shows; the others are one column."""
REST = "(others)"
UNREAD = (NO_JSON, NO_ANSWER)

Rows = dict[str, dict[str, int]]


def summary(shown: Shown) -> str:
    """Every matrix in which something was confused, and the false positives and negatives where a label is positive."""
    parts = [_test(test.contract, shown.made.confusion.get(test.contract.test, {})) for test in shown.tests]
    return "\n\n".join(part for part in parts if part)


def _test(contract: Contract, rows: Rows) -> str:
    lines = [_matrix(contract.test, rows)] if _confused(rows) else []
    if contract.positive and contract.positive in rows:
        lines.append(_false(contract.positive, rows))
    return "\n".join(lines)


def _confused(rows: Rows) -> bool:
    return any(got != wanted for wanted, row in rows.items() for got in row)


def _matrix(test: str, rows: Rows) -> str:
    counts: dict[str, int] = {}
    for row in rows.values():
        for got, count in row.items():
            counts[got] = counts.get(got, 0) + count
    extra = sorted((got for got in counts if got not in rows), key=lambda got: -counts[got])
    shown = [*rows, *extra][:COLUMNS]
    rest = [got for got in counts if got not in shown]
    head = ["wanted", *map(_short, shown), *([REST] if rest else [])]
    table = [
        [
            _short(wanted),
            *[row.get(got) or "" for got in shown],
            *([sum(row.get(got, 0) for got in rest)] if rest else []),
        ]
        for wanted, row in rows.items()
    ]
    title = f"confusion of {one_line(short(test))} (a row: what was wanted, a column: what came)"
    return f"{title}\n{tabulate(table, head)}"


def _false(positive: str, rows: Rows) -> str:
    """Rates of the false answers among those that were answers, and how many were none."""
    negative = next(label for label in rows if label != positive) if len(rows) > 1 else ""
    parts = []
    for name, wanted, got in (("positives", negative, positive), ("negatives", positive, negative)):
        row = rows.get(wanted, {})
        count, total = row.get(got, 0), sum(count for label, count in row.items() if label not in UNREAD)
        most = upper_bound(count, total)
        parts.append(f"false {name} {count}/{total} ({100 * count / (total or 1):.1f} %, at most {100 * most:.1f} %)")
    unread = sum(row.get(label, 0) for row in rows.values() for label in UNREAD)
    return f"  {_short(positive)}: {', '.join(parts)}; {unread} answers were no JSON"


def _short(label: str) -> str:
    return one_line(label, 28)
