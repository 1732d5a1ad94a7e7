"""A judge's scores as text: its agreement with people, its scores, and its warnings."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from gate.report.shown import Shown
from gate.system.text import one_line
from gate.types import Checkup, Means


def summary(shown: Shown) -> str:
    """Of each rubric the check-up and the means; empty where no judge has looked."""
    judge = shown.made.judge
    if judge is None:
        return ""
    lines = [f"judged by {one_line(judge.name)} (sha256 {judge.digest[:12]}, {judge.seconds:.0f} s)"]
    lines += [f"  warning: {one_line(warning)}" for warning in judge.warnings]
    parts = ["\n".join(lines), *[_rubric(name, check) for name, check in judge.rubrics.items()]]
    return "\n".join([*parts, *_ruled(shown)])


def _rubric(name: str, check: Checkup) -> str:
    lines = [f"rubric {one_line(name)}: {_agreement(check)}"]
    lines += [f"  NOT BELIEVED: {one_line(fault)}" for fault in check.faults]
    lines += [_mean(test, each, check.scale) for test, each in check.tests.items()]
    if check.confusion:
        lines.append(_confusion(check))
    return "\n".join(lines)


def _agreement(check: Checkup) -> str:
    kappa = check.kappa
    if kappa is None:
        return f"no verdict on any of {check.anchors} anchors"
    return (
        f"kappa with {check.anchors - check.silent} of {check.anchors} anchors {kappa.value:.2f} "
        f"({kappa.lower:.2f} to {kappa.upper:.2f}, bar {check.bar:g}), bias {check.bias:+.2f}, "
        f"error follows length r = {check.length:+.2f}, "
        f"another score under a turned scale {check.other} of {check.turned} times"
    )


def _mean(test: str, each: Means, scale: Sequence[int]) -> str:
    if each.mean is None:
        return f"  {one_line(test)}: some answers have no score"
    told = "; its error cannot be taken out"
    if (corrected := each.corrected) is not None:
        bounds = f"{corrected.lower:.2f} to {corrected.upper:.2f}"
        told = f"; without the judge's error {corrected.value:.2f} ({bounds})"
    return f"  {one_line(test)}: mean {each.mean:.2f} on {scale[0]} to {scale[1]}{told}"


def _confusion(check: Checkup) -> str:
    steps = range(check.scale[0], check.scale[1] + 1)
    table = [[f"person {a}", *[check.confusion.get(f"{a} {b}", "") for b in steps]] for a in steps]
    text = tabulate(table, ["anchors", *[f"judge {step}" for step in steps]])
    return "\n".join(f"  {line}" for line in text.splitlines())


def _ruled(shown: Shown) -> list[str]:
    """Answers that no judge was shown."""
    return [
        f"  not shown to the judge: {one_line(each.case)}: {one_line(each.judged.reason)}"
        for each in shown.results
        if each.judged is not None and each.judged.ruled
    ]
