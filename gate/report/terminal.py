"""A report and its verdict as text for a terminal. Model text is data: no control character gets through."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from gate.report import confusion, judge_section
from gate.stats import quantile
from gate.system.text import wanted_call
from gate.types import Finding, Json, Outcome, Part, Reply, Report, Result, Verdict

FRAGILE = 5
"""Hits with the smallest margins that are listed."""
MISSES = 40
"""Misses that a terminal shows; the report holds all."""


def summary(report: Report, verdict: Verdict) -> str:
    """The table by suite and test, each miss, the fragile hits, and what is missing."""
    parts = [
        _served(report),
        _table(report, verdict),
        confusion.told(report),
        judge_section.told(report),
        _misses(report),
    ]
    parts += [_constrained(report), _fragile(report), _blamed(report)]
    parts += [_burned(report), _determinism(report.made.get("canary") or {}), _asked(report), _waited(report)]
    parts += [_flipped(report, verdict), _warnings(report), _forced(report), _faults(verdict), _missing(verdict)]
    return "\n\n".join(part for part in parts if part)


def verdict_line(verdict: Verdict, report: Path) -> str:
    """One line: the outcome, the totals, why, and where the report lies."""
    hits, total = sum(f.hits for f in verdict.findings), sum(f.total for f in verdict.findings)
    below = [_short_test(f.test) for f in verdict.findings if f.outcome is Outcome.BELOW_FLOOR]
    why = f"{len(verdict.gaps)} gaps, first: {verdict.gaps[0]}" if verdict.gaps else ""
    why = why or (f"preflight: {verdict.faults[0]}" if verdict.faults else "")
    why = why or (f"below the floor: {', '.join(below)}" if below else "every floor is met")
    return clean(f"{verdict.outcome}: {hits}/{total} hits; {why}; report: {report}")


def clean(text: str) -> str:
    """Text that cannot steer a terminal: control, format and surrogate characters become visible escapes.

    Nor a GitHub runner, which takes `##[` anywhere in a line for a command (actions/runner, ActionCommand.cs).
    """
    text = text.replace("##[", "##\\[")
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escaped(c) for c in text)


def lines(text: str) -> str:
    """Text of several lines, each of which cannot steer a terminal."""
    return "\n".join(clean(line) for line in text.split("\n"))


def _served(report: Report) -> str:
    seconds = report.made["seconds"]
    digest = report.checkpoint["digest"][:12] + ("" if report.checkpoint["verified"] else " (unverified: a URL)")
    where, runtime = clean(report.checkpoint["where"]), clean(report.made["runtime"])
    return f"{where}  sha256 {digest}  on {runtime}, {seconds:.0f} s in all"


def _table(report: Report, verdict: Verdict) -> str:
    head = ["test", "hits", "rate", "at least*", "floor", "text parsed", "leaks", "median s", "p95 s", "outcome"]
    rows = [row for finding in verdict.findings for row in (_row(finding), *map(_part, finding.parts))]
    if report.made.get("blame", {}).get("asked") == "all":
        head.insert(3, "raw")
        raw = [text for each in verdict.findings for text in (_raw(each.test, report), *[""] * len(each.parts))]
        for row, text in zip(rows, raw, strict=True):
            row.insert(3, text)
    note = "* one-sided 95 % Clopper-Pearson lower bound of the rate"
    tries = {contract.cases: contract.attempt for contract in report.contracts if contract.held_out}
    if tries:
        counted = ", ".join(f"{clean(file)} {number}" for file, number in tries.items())
        note += f"; with held-out cases, 5 % are divided by the attempt: {counted}"
    align = ("left", *["right"] * (len(head) - 2), "left")
    return tabulate(rows, head, disable_numparse=True, colalign=align) + f"\n{note}"


def _raw(test: str, report: Report) -> str:
    """Hits by the raw text, of those where it can be told."""
    told = [result.raw for result in report.results if result.test == test and result.raw is not None]
    return f"{sum(told)}/{len(told)}"


def _row(finding: Finding) -> list[str]:
    total = finding.total or 1
    return [
        clean(_short_test(finding.test)),
        f"{finding.hits}/{finding.total}",
        f"{100 * finding.hits / total:.1f} %",
        f"{100 * finding.lower:.1f} %",
        f"{100 * finding.floor:.1f} %",
        f"{finding.parsed}/{finding.total}",
        str(finding.leaks),
        f"{finding.median:.2f}",
        f"{finding.p95:.2f}",
        str(finding.outcome),
    ]


def _part(part: Part) -> list[str]:
    """The row of a tag with a floor of its own."""
    rates = [f"{100 * rate:.1f} %" for rate in (part.hits / (part.total or 1), part.lower, part.floor)]
    outcome = "PASS" if part.met else "BELOW_FLOOR"
    return [clean(f"  {part.tag}"), f"{part.hits}/{part.total}", *rates, "", "", "", "", outcome]


def _misses(report: Report) -> str:
    missed = [result for result in report.results if not result.hit]
    shown = [result for result in missed if result.split != "held-out"]
    lines = [_miss(result) for result in shown[:MISSES]]
    lines += [f"… and {len(shown) - MISSES} more misses in the report"] if len(shown) > MISSES else []
    hidden = len(missed) - len(shown)
    lines += [f"{hidden} misses of held-out cases, which are not shown one by one"] if hidden else []
    return "\n".join(lines)


def _miss(result: Result) -> str:
    stage = f", stage {result.stage}" if result.stage else ""
    lines = [f"MISS {_short_test(result.test)} {result.case} ({result.split}){stage}"]
    lines.append(f"  asked     {_cut(result.asked)}")
    if result.expect:
        lines.append(f"  expected  {_cut(_expected(result.expect))}")
    lines += [f"  got       {_cut(_got(reply))}" for reply in result.replies[-1:]]
    lines += [f"  because   {_cut(reason)}" for reason in result.why[:6]]
    return "\n".join(clean(line) for line in lines)


def _fragile(report: Report) -> str:
    """Hits whose smallest gap between the two best tokens is smallest: the first to flip under another runtime."""
    told = [result for result in report.results if result.split != "held-out"]
    hits = [(result.margin, result) for result in told if result.hit and result.margin is not None]
    nearest = sorted(hits, key=lambda pair: pair[0])[:FRAGILE]
    if not nearest:
        return ""
    rows = [f"  {margin:6.3f} nats  {_short_test(r.test)} {r.case}" for margin, r in nearest]
    return clean("fragile hits, by their smallest margin:") + "\n" + "\n".join(clean(row) for row in rows)


def _constrained(report: Report) -> str:
    """Hits whose raw text is none: right only because of how they were served."""
    found = [result for result in report.results if result.hit and result.stage and result.split != "held-out"]
    rows = [f"  {result.stage:8}  {_short_test(result.test)} {result.case}" for result in found[:MISSES]]
    more = [f"  … and {len(found) - MISSES} more in the report"] if len(found) > MISSES else []
    return "\n".join(clean(row) for row in ["hits that are none raw:", *rows, *more]) if found else ""


def _blamed(report: Report) -> str:
    """How many misses each stage has, and why some have none."""
    made = report.made.get("blame") or {"asked": "", "problems": {}}
    misses = [result for result in report.results if not result.hit and result.split != "held-out"]
    if not misses or not made["asked"]:
        return ""
    if made["asked"] == "off":
        return "attribution: off (--gate-attribution=off): no stages"
    stages = Counter(result.stage or "not told" for result in misses).most_common()
    lines = [f"attribution: {', '.join(f'{stage} {count}' for stage, count in stages)}"]
    lines += [f"  not told {count} times: {_cut(why)}" for why, count in made["problems"].items()]
    return "\n".join(clean(line) for line in lines)


def _determinism(canary: Json) -> str:
    """Whether the same question got the same answer, on one line; what differed under it."""
    if not canary:
        return ""
    if "why" in canary:
        return clean(f"determinism: {_cut(canary['why'])}")
    names = {"alone": "alone", "batched": "batched", "cold": "cold/warm"}
    words = {True: "equal", False: "DIFFERENT", None: "not possible"}
    told = [f"{name} {words[canary.get(key)]}" for key, name in names.items()]
    lines = [f"determinism: {', '.join(told)}", *[f"  {line}" for line in canary.get("differences", [])]]
    return "\n".join(clean(line) for line in lines)


def _asked(report: Report) -> str:
    """How the cases were asked: which answers were sure among others, which were asked again, which known already."""
    way = report.made.get("asked")
    if not way:
        return ""
    told = [f"asked {'one at a time' if way['at_once'] == 1 else str(way['at_once']) + ' at once'}"]
    results = report.results
    if way["name"] == "verified":
        again = sum(any(reply.verified for reply in result.replies) for result in results)
        share = f"{again} of {len(results)} verified"
        why = f"misses, and hits with margins up to {way['bound']:.3f} nats"
        told.append(f"{share}: {why} ({way['lost']} lost and {way['won']} won by it)")
    if way["why"]:
        told.append(clean(way["why"]))
    if known := sum(all(reply.cached for reply in result.replies) for result in results):
        told.append(f"{known} of {len(results)} cached from earlier runs (--gate-fresh asks again)")
    return "; ".join(told) + (f"\nstopped early: {clean(report.made['stopped'])}" if report.made.get("stopped") else "")


def _burned(report: Report) -> str:
    """Cases that were asked and do not count."""
    rows = []
    for contract in report.contracts:
        own = [each.hit for each in report.results if each.test == contract.test and each.case in contract.burned]
        if own:
            fresh = f"{len(contract.replaced)} of them have a fresh one"
            rows.append(f"  {_short_test(contract.test)}: {len(own)}, {sum(own)} of them right; {fresh}")
    return "\n".join(["learned from by training, and not counted:", *map(clean, rows)]) if rows else ""


def _waited(report: Report) -> str:
    """The cold start apart from the warm requests, and what one sees who waits alone."""
    cold = [result.seconds for result in report.results if result.cold]
    warm = [result.seconds for result in report.results if not result.cold]
    lines = []
    if cold and warm:
        told = f"the first {len(cold)} requests {quantile(cold, 0.5):.2f} s (most {max(cold):.2f} s)"
        lines.append(f"seconds of a case, median: {told}, then {quantile(warm, 0.5):.2f} s")
    streamed = report.made.get("latency") or {}
    if "first_token" in streamed:
        rate = streamed["tokens_per_second"]
        speed = f", then {rate:.1f} tokens a second" if rate else ""
        lines.append(f"streamed alone: first token after {streamed['first_token']:.2f} s{speed}")
    return "\n".join(lines)


def _flipped(report: Report, verdict: Verdict) -> str:
    """Cases that went the other way than with the champion, lost and won; held-out ones as a number."""
    rows = []
    held = {(result.test, result.case) for result in report.results if result.split == "held-out"}
    for finding in verdict.findings:
        p = f", p = {finding.p:.3f}" if finding.p is not None else ""
        for word, cases in (("lost", finding.regressions), ("won", finding.fixes)):
            if cases:
                told = [case for case in cases if (finding.test, case) not in held]
                hidden = [f"{len(cases) - len(told)} held out"] if len(cases) > len(told) else []
                shown = ", ".join(told[:MISSES] + (["…"] if len(told) > MISSES else []) + hidden)
                rows.append(clean(f"  {word:4}  {_short_test(finding.test)}: {shown} ({len(cases)} cases{p})"))
    return "\n".join(["against the champion:", *rows]) if rows else ""


def _warnings(report: Report) -> str:
    found = [check for check in report.made.get("preflight") or [] if check["status"] == "found"]
    rows = [f"  {check['id']} {check['name']}: {check['found'][0]}" for check in found if check["severity"] == "warn"]
    return "\n".join(["warnings of preflight:", *[clean(row) for row in rows]]) if rows else ""


def _forced(report: Report) -> str:
    rows = [f"  {each['slot']} line {each['line']}: {each['reason']}" for each in report.made.get("forced") or []]
    return "\n".join(["promoted by force, without having passed:", *[clean(row) for row in rows]]) if rows else ""


def _faults(verdict: Verdict) -> str:
    rows = ["faults of the files, found by preflight:", *[f"  {clean(fault)}" for fault in verdict.faults]]
    return "\n".join(rows) if verdict.faults else ""


def _missing(verdict: Verdict) -> str:
    if not verdict.gaps:
        return ""
    more = [f"  … and {len(verdict.gaps) - MISSES} more in the report"] if len(verdict.gaps) > MISSES else []
    return "\n".join(["incomplete:", *[f"  {clean(gap)}" for gap in verdict.gaps[:MISSES]], *more])


def _expected(expect: Json) -> str:
    if set(expect) <= {"calls", "order"} and "calls" in expect:
        return ", ".join(wanted_call(call) for call in expect["calls"]) or "no call"
    return json.dumps(expect, ensure_ascii=False)


def _got(reply: Reply) -> str:
    calls = ", ".join(_call(call) for call in reply.calls)
    text = f"text {json.dumps(reply.content, ensure_ascii=False)}" if reply.content else ""
    return " and ".join(filter(None, (calls, text))) or f"nothing ({reply.fault or 'empty'})"


def _call(call: Json) -> str:
    arguments = call.get("arguments")
    if not isinstance(arguments, dict):
        return f"{call.get('name')}({json.dumps(arguments, ensure_ascii=False)})"
    return f"{call.get('name')}({', '.join(f'{k}={json.dumps(v, ensure_ascii=False)}' for k, v in arguments.items())})"


def _short_test(test: str) -> str:
    """suites/hermes/test_calls.py::test_x -> hermes/test_calls::test_x"""
    return test.removeprefix("suites/").replace(".py::", "::")


def _cut(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode() if character != "\t" else " "
