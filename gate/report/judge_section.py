"""A judge's scores as text: does it agree with people, what did it say, and what of it may be believed."""

from __future__ import annotations

from tabulate import tabulate

from gate.system.text import one_line
from gate.types import Json, Report


def told(report: Report) -> str:
    """Of each rubric the check-up and the means; empty where no judge has looked."""
    judge = report.made.get("judge")
    if not judge:
        return ""
    lines = [f"judged by {one_line(judge['name'])} (sha256 {judge['digest'][:12]}, {judge['seconds']:.0f} s)"]
    lines += [f"  warning: {one_line(warning)}" for warning in judge["warnings"]]
    parts = ["\n".join(lines), *[_rubric(name, check) for name, check in judge["rubrics"].items()]]
    return "\n".join([*parts, *_ruled(report)])


def _rubric(name: str, check: Json) -> str:
    lines = [f"rubric {one_line(name)}: {_agreement(check)}"]
    lines += [f"  NOT BELIEVED: {one_line(fault)}" for fault in check["faults"]]
    lines += [_mean(test, each, check["scale"]) for test, each in check["tests"].items()]
    if check.get("confusion"):
        lines.append(_confusion(check))
    return "\n".join(lines)


def _agreement(check: Json) -> str:
    if "kappa" not in check:
        return f"no verdict on any of {check['anchors']} anchors"
    kappa, order = check["kappa"], check["order"]
    return (
        f"kappa with {check['anchors'] - check['silent']} of {check['anchors']} anchors {kappa['value']:.2f} "
        f"({kappa['lower']:.2f} to {kappa['upper']:.2f}, bar {check['bar']:g}), bias {check['bias']:+.2f}, "
        f"error follows length r = {check['length']:+.2f}, "
        f"another score under a turned scale {order['other']} of {order['asked']} times"
    )


def _mean(test: str, each: Json, scale: list[int]) -> str:
    if each["mean"] is None:
        return f"  {one_line(test)}: some answers have no score"
    corrected = each["corrected"]
    told = (
        f"; without the judge's error {corrected['value']:.2f} ({corrected['lower']:.2f} to {corrected['upper']:.2f})"
        if corrected
        else "; its error cannot be taken out"
    )
    return f"  {one_line(test)}: mean {each['mean']:.2f} on {scale[0]} to {scale[1]}{told}"


def _confusion(check: Json) -> str:
    steps = range(check["scale"][0], check["scale"][1] + 1)
    table = [[f"person {a}", *[check["confusion"].get(f"{a} {b}", "") for b in steps]] for a in steps]
    text = tabulate(table, ["anchors", *[f"judge {step}" for step in steps]])
    return "\n".join(f"  {line}" for line in text.splitlines())


def _ruled(report: Report) -> list[str]:
    """Answers that no judge was shown."""
    found = [each for each in report.results if each.judged.get("ruled")]
    return [f"  not shown to the judge: {one_line(each.case)}: {one_line(each.judged['reason'])}" for each in found]
