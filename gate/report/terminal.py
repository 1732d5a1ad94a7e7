"""A report and its verdict as text for a terminal. Model text is data: no control character gets through."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from gate.cases.matchers.matcher import describe_call
from gate.report import confusion, judge_section
from gate.report.shown import Shown
from gate.report.table import cells, percent, short
from gate.system.text import clean
from gate.types import Json, Outcome, Part, Reply, Result, Verdict

FRAGILE = 5
"""Hits with the smallest margins that are listed."""
MISSES = 40
"""Misses that a terminal shows; the report holds all."""


def summary(shown: Shown) -> str:
    """The table by suite and test, each miss, the fragile hits, and what is missing."""
    return "\n\n".join(text for section in SECTIONS if (text := section(shown)))


def verdict_line(verdict: Verdict, report: Path) -> str:
    """One line: the outcome, the totals, why, and where the report lies."""
    hits, total = sum(f.hits for f in verdict.findings), sum(f.total for f in verdict.findings)
    below = [short(f.test) for f in verdict.findings if f.outcome is Outcome.BELOW_FLOOR]
    why = f"{len(verdict.gaps)} gaps, first: {verdict.gaps[0]}" if verdict.gaps else ""
    why = why or (f"preflight: {verdict.faults[0]}" if verdict.faults else "")
    why = why or (f"below the floor: {', '.join(below)}" if below else "every floor is met")
    return clean(f"{verdict.outcome}: {hits}/{total} hits; {why}; report: {report}")


def _served(shown: Shown) -> str:
    graded, made = shown.checkpoint, shown.made
    digest = graded.digest[:12] + ("" if graded.verified else " (unverified: a URL)")
    return f"{clean(graded.where)}  sha256 {digest}  on {clean(made.runtime)}, {made.seconds:.0f} s in all"


def _table(shown: Shown) -> str:
    head = ["hits", "rate", "at least", "floor", "text parsed", "leaks", "median s", "p95 s", "outcome"]
    if shown.made.attribution is not None and shown.made.attribution.asked == "all":
        head.insert(2, "raw")
    rows = []
    for test in shown.tests:
        row = cells(test) | {"test": short(test.finding.test), "raw": _raw(test.finding.test, shown)}
        lines = (row, *map(_part, test.finding.parts))
        rows += [[clean(each["test"]), *[each.get(column, "") for column in head]] for each in lines]
    note = "* one-sided 95 % Clopper-Pearson lower bound of the rate"
    tries = {test.contract.cases: test.contract.attempt for test in shown.tests if test.held_out}
    if tries:
        counted = ", ".join(f"{clean(file)} {number}" for file, number in tries.items())
        note += f"; with held-out cases, 5 % are divided by the attempt: {counted}"
    align = ("left", *["right"] * (len(head) - 1), "left")
    names = ["test", *["at least*" if column == "at least" else column for column in head]]
    return tabulate(rows, names, disable_numparse=True, colalign=align) + f"\n{note}"


def _raw(test: str, shown: Shown) -> str:
    """Hits by the raw text, of those where it can be told."""
    told = [result.raw for result in shown.results if result.test == test and result.raw is not None]
    return f"{sum(told)}/{len(told)}"


def _reasons(shown: Shown) -> str:
    """Why a test has not passed, a line each."""
    findings = [test.finding for test in shown.tests if test.finding.why]
    return "\n".join(clean(f"{short(each.test)}: {each.why}") for each in findings)


def _part(part: Part) -> dict[str, str]:
    """The row of a tag with a floor of its own."""
    return {
        "test": f"  {part.tag}",
        "hits": f"{part.hits}/{part.total}",
        "rate": percent(part.hits / (part.total or 1)),
        "at least": percent(part.lower),
        "floor": percent(part.floor),
        "outcome": "PASS" if part.met else "BELOW_FLOOR",
    }


def _misses(shown: Shown) -> str:
    missed = [result for result in shown.results if not result.hit]
    lines = [_miss(result) for result in missed[:MISSES]]
    lines += [f"… and {len(missed) - MISSES} more misses in the report"] if len(missed) > MISSES else []
    hidden = shown.totals.held_out_misses
    lines += [f"{hidden} misses of held-out cases, which are not shown one by one"] if hidden else []
    return "\n".join(lines)


def _miss(result: Result) -> str:
    stage = f", stage {result.stage}" if result.stage else ""
    lines = [f"MISS {short(result.test)} {result.case} ({result.split}){stage}"]
    lines.append(f"  asked     {_cut(result.asked)}")
    if result.expect:
        lines.append(f"  expected  {_cut(_expected(result.expect))}")
    lines += [f"  got       {_cut(_got(reply))}" for reply in result.replies[-1:]]
    lines += [f"  because   {_cut(reason)}" for reason in result.why[:6]]
    return "\n".join(clean(line) for line in lines)


def _fragile(shown: Shown) -> str:
    """Hits whose smallest gap between the two best tokens is smallest: the first to flip under another runtime."""
    hits = [(result.margin, result) for result in shown.results if result.hit and result.margin is not None]
    nearest = sorted(hits, key=lambda pair: pair[0])[:FRAGILE]
    if not nearest:
        return ""
    rows = [f"  {margin:6.3f} nats  {short(r.test)} {r.case}" for margin, r in nearest]
    return clean("fragile hits, by their smallest margin:") + "\n" + "\n".join(clean(row) for row in rows)


def _constrained(shown: Shown) -> str:
    """Hits whose raw text is none: right only because of how they were served."""
    found = [result for result in shown.results if result.hit and result.stage]
    rows = [f"  {result.stage:8}  {short(result.test)} {result.case}" for result in found[:MISSES]]
    more = [f"  … and {len(found) - MISSES} more in the report"] if len(found) > MISSES else []
    return "\n".join(clean(row) for row in ["hits that are none raw:", *rows, *more]) if found else ""


def _attribution(shown: Shown) -> str:
    """How many misses each stage has, and why some have none."""
    made = shown.made.attribution
    misses = [result for result in shown.results if not result.hit]
    if not misses or made is None:
        return ""
    if made.asked == "off":
        return "attribution: off (--gate-attribution=off): no stages"
    stages = Counter(result.stage or "not told" for result in misses).most_common()
    lines = [f"attribution: {', '.join(f'{stage} {count}' for stage, count in stages)}"]
    lines += [f"  not told {count} times: {_cut(why)}" for why, count in made.problems.items()]
    return "\n".join(clean(line) for line in lines)


def _determinism(shown: Shown) -> str:
    """Whether the same question got the same answer, on one line; what differed under it."""
    found = shown.made.determinism
    if found is None:
        return ""
    if found.why:
        return clean(f"determinism: {_cut(found.why)}")
    parts = {"sequential": found.sequential, "batched": found.batched, "cold/warm": found.cold}
    words = {True: "equal", False: "DIFFERENT", None: "not possible"}
    told = ", ".join(f"{name} {words[equal]}" for name, equal in parts.items())
    return "\n".join(clean(line) for line in (f"determinism: {told}", *[f"  {line}" for line in found.differences]))


def _ask_mode(shown: Shown) -> str:
    """How the cases were asked: which answers were sure among others, which were asked again, which known already."""
    mode, totals = shown.made.ask_mode, shown.totals
    if mode is None:
        return ""
    told = [f"asked {'one at a time' if mode.at_once == 1 else str(mode.at_once) + ' at once'}"]
    if mode.name == "verified":
        sure = "" if mode.bound is None else f", and hits with margins up to {mode.bound:.3f} nats"
        share = f"{totals.asked_again} of {totals.results} verified: misses{sure}"
        told.append(f"{share} ({mode.lost} lost and {mode.won} won by it)")
    if mode.why:
        told.append(clean(mode.why))
    if totals.cached:
        told.append(f"{totals.cached} of {totals.results} cached from earlier runs (--gate-fresh asks again)")
    return "; ".join(told) + (f"\nstopped early: {clean(shown.made.stopped)}" if shown.made.stopped else "")


def _contaminated(shown: Shown) -> str:
    """Cases that were asked and do not count."""
    rows = [
        f"  {short(test.finding.test)}: {test.contaminated}, {test.contaminated_hits} of them right; "
        f"{test.replaced} of them have a fresh one"
        for test in shown.tests
        if test.contaminated
    ]
    return "\n".join(["learned from by training, and not counted:", *map(clean, rows)]) if rows else ""


def _waited(shown: Shown) -> str:
    """The cold start apart from the warm requests, and what one sees who waits alone."""
    seconds, streamed = shown.totals.seconds, shown.made.streaming
    lines = []
    if seconds.cold:
        told = f"the first {seconds.cold} requests {seconds.cold_median:.2f} s (most {seconds.cold_most:.2f} s)"
        lines.append(f"seconds of a case, median: {told}, then {seconds.median:.2f} s")
    if streamed is not None and streamed.first_token is not None:
        rate = streamed.tokens_per_second
        speed = f", then {rate:.1f} tokens a second" if rate else ""
        lines.append(f"streamed alone: first token after {streamed.first_token:.2f} s{speed}")
    return "\n".join(lines)


def _flipped(shown: Shown) -> str:
    """Cases that went the other way than with the champion, lost and won; held-out ones as a number."""
    rows = []
    for finding in (test.finding for test in shown.tests):
        p = f", p = {finding.p:.3f}" if finding.p is not None else ""
        for word, count, cases in (("lost", finding.lost, finding.regressions), ("won", finding.won, finding.fixes)):
            hidden = [f"{count - len(cases)} held out"] if count > len(cases) else []
            told = ", ".join([*cases[:MISSES], *(["…"] if len(cases) > MISSES else []), *hidden])
            rows += [clean(f"  {word:4}  {short(finding.test)}: {told} ({count} cases{p})")] if count else []
    return "\n".join(["against the champion:", *rows]) if rows else ""


def _warnings(shown: Shown) -> str:
    found = [check for check in shown.made.preflight if check.status == "found" and check.severity == "warn"]
    rows = [f"  {check.id} {check.name}: {check.found[0]}" for check in found]
    return "\n".join(["warnings of preflight:", *[clean(row) for row in rows]]) if rows else ""


def _forced(shown: Shown) -> str:
    rows = [f"  {each.slot} line {each.line}: {each.reason}" for each in shown.made.forced]
    return "\n".join(["promoted by force, without having passed:", *[clean(row) for row in rows]]) if rows else ""


def _faults(shown: Shown) -> str:
    rows = ["faults of the files, found by preflight:", *[f"  {clean(fault)}" for fault in shown.faults]]
    return "\n".join(rows) if shown.faults else ""


def _missing(shown: Shown) -> str:
    if not shown.gaps:
        return ""
    more = [f"  … and {len(shown.gaps) - MISSES} more in the report"] if len(shown.gaps) > MISSES else []
    return "\n".join(["incomplete:", *[f"  {clean(gap)}" for gap in shown.gaps[:MISSES]], *more])


def _expected(expect: Json) -> str:
    if set(expect) <= {"calls", "order"} and "calls" in expect:
        return ", ".join(describe_call(call) for call in expect["calls"]) or "no call"
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


def _cut(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


SECTIONS: tuple[Callable[[Shown], str], ...] = (
    *(
        _served,
        _table,
        _reasons,
        confusion.summary,
        judge_section.summary,
        _misses,
        _constrained,
        _fragile,
        _attribution,
        _contaminated,
    ),
    *(_determinism, _ask_mode, _waited, _flipped, _warnings, _forced, _faults, _missing),
)
"""The parts of a summary, from its top; one that has nothing to say is left out."""
