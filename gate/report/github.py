"""A report for GitHub Actions: a job summary in Markdown and annotations. Model text is data in both.

Limits: docs.github.com, "Workflow commands": a step's summary of 1 MiB, ten annotations of a kind a step.
"""

from __future__ import annotations

from pathlib import Path

from gate.report.markdown import code, table
from gate.system.text import clean
from gate.types import Finding, Outcome, Report, Result, Verdict

LARGEST = 900_000
"""Bytes of a summary, under the 1,048,576 at which GitHub drops it whole."""
ANNOTATIONS = 10
MISSES = 50
HELD = "held-out"


def summary(report: Report, verdict: Verdict) -> str:
    """The job summary: outcome, table, gaps and faults, the misses of cases that are not held out."""
    where = report.checkpoint
    title, bytes_ = f"## {verdict.outcome}: {code(where['name'])}", f"sha256 {code(where['digest'][:12])}"
    head = f"{title}\n\n{bytes_} on {code(report.made['runtime'])}"
    rows = [_row(finding) for finding in verdict.findings]
    parts = [head, table(["test", "right", "rate", "at least", "floor", "outcome"], rows)]
    parts += [_list("Missing", verdict.gaps), _list("Faults of the files", verdict.faults)]
    parts += [_list("Blocked", [f"{each.test}: {each.why}" for each in verdict.findings if each.why]), _misses(report)]
    return _cut("\n\n".join(part for part in parts if part))


def alarms(verdict: Verdict) -> list[str]:
    """At most ten workflow commands, an error each; none for a PASS."""
    if verdict.outcome is Outcome.PASS:
        return []
    why = [*verdict.gaps, *verdict.faults, *[f"{each.test}: {each.why}" for each in verdict.findings if each.why]]
    told = why[: ANNOTATIONS - 1] + ([f"and {len(why) - ANNOTATIONS + 1} more"] if len(why) >= ANNOTATIONS else [])
    return [f"::error title=gate {verdict.outcome}::{_data(line)}" for line in told or [str(verdict.outcome)]]


def append(path: Path, text: str) -> None:
    """Add to the file that GITHUB_STEP_SUMMARY names. Raises OSError."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text + "\n")


def _row(finding: Finding) -> list[str]:
    rate = 100 * finding.hits / (finding.total or 1)
    return [
        code(finding.test),
        f"{finding.hits}/{finding.total}",
        f"{rate:.1f} %",
        f"{100 * finding.lower:.1f} %",
        f"{100 * finding.floor:.1f} %",
        str(finding.outcome),
    ]


def _list(title: str, lines: tuple[str, ...] | list[str]) -> str:
    if not lines:
        return ""
    more = [f"- and {len(lines) - MISSES} more"] if len(lines) > MISSES else []
    return "\n".join([f"### {title}", "", *[f"- {code(line)}" for line in lines[:MISSES]], *more])


def _misses(report: Report) -> str:
    missed = [result for result in report.results if not result.hit]
    told = [result for result in missed if result.split != HELD]
    lines = [_miss(result) for result in told[:MISSES]]
    lines += [f"- and {len(told) - MISSES} more in the report"] if len(told) > MISSES else []
    lines += [f"- {len(missed) - len(told)} of held-out cases"] if len(told) < len(missed) else []
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
