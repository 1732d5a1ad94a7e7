"""A report for GitHub Actions: a job summary in Markdown and annotations. Model text is data in both.

Limits: docs.github.com, "Workflow commands": a step's summary of 1 MiB, ten annotations of a kind a step.
"""

from __future__ import annotations

from pathlib import Path

from gate.report.markdown import code, table
from gate.report.shown import Shown
from gate.report.table import cells
from gate.system.text import clean
from gate.types import Outcome, Result

LARGEST = 900_000
"""Bytes of a summary, under the 1,048,576 at which GitHub drops it whole."""
ANNOTATIONS = 10
MISSES = 50
COLUMNS = ("test", "hits", "rate", "at least", "floor", "outcome")


def summary(shown: Shown) -> str:
    """The job summary: outcome, table, gaps and faults, the misses of cases that are not held out."""
    where, rows = shown.checkpoint, [cells(test) for test in shown.tests]
    parts = [
        f"## {shown.outcome}: {code(where.name)}",
        f"sha256 {code(where.digest[:12])} on {code(shown.made.runtime)}",
        table(list(COLUMNS), [[code(row["test"]), *[row[column] for column in COLUMNS[1:]]] for row in rows]),
        _list("Missing", shown.gaps),
        _list("Faults of the files", shown.faults),
        _list("Blocked", _blocked(shown)),
        _misses(shown),
    ]
    return _cut("\n\n".join(part for part in parts if part))


def alarms(shown: Shown) -> list[str]:
    """At most ten workflow commands, an error each; none for a PASS."""
    if shown.outcome is Outcome.PASS:
        return []
    why = [*shown.gaps, *shown.faults, *_blocked(shown)]
    told = why[: ANNOTATIONS - 1] + ([f"and {len(why) - ANNOTATIONS + 1} more"] if len(why) >= ANNOTATIONS else [])
    return [f"::error title=gate {shown.outcome}::{_data(line)}" for line in told or [str(shown.outcome)]]


def append(path: Path, text: str) -> None:
    """Add to the file that GITHUB_STEP_SUMMARY names. Raises OSError."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text + "\n")


def _blocked(shown: Shown) -> list[str]:
    return [f"{test.finding.test}: {test.finding.why}" for test in shown.tests if test.finding.why]


def _list(title: str, lines: tuple[str, ...] | list[str]) -> str:
    if not lines:
        return ""
    more = [f"- and {len(lines) - MISSES} more"] if len(lines) > MISSES else []
    return "\n".join([f"### {title}", "", *[f"- {code(line)}" for line in lines[:MISSES]], *more])


def _misses(shown: Shown) -> str:
    missed = [result for result in shown.results if not result.hit]
    hidden = shown.totals.held_out_misses
    lines = [_miss(result) for result in missed[:MISSES]]
    lines += [f"- and {len(missed) - MISSES} more in the report"] if len(missed) > MISSES else []
    lines += [f"- {hidden} of held-out cases"] if hidden else []
    return "\n".join(["### Misses", "", *lines]) if lines else ""


def _miss(result: Result) -> str:
    stage = f", stage {code(result.stage)}" if result.stage else ""
    return f"- {code(result.test)} {code(result.case)}{stage}: {code('; '.join(result.why) or 'a miss')}"


def _data(text: str) -> str:
    """A command's message: one line, escaped as @actions/core does it."""
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _cut(text: str) -> str:
    """A summary that GitHub does not drop: whole lines, as many as fit."""
    kept: list[str] = []
    size = 0
    for line in text.split("\n"):
        size += len(line.encode("utf-8", "surrogatepass")) + 1
        if size > LARGEST:
            return "\n".join([*kept, "", "(cut: the report holds all)"])
        kept.append(line)
    return text
