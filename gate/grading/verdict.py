"""Decide a report: a pure function from results to a verdict. In doubt the gate stays closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from fractions import Fraction

from gate.grading import judge_scores, latency
from gate.grading.early_stop import below
from gate.grading.paired import by_test, flips, held_out, incomparable, rights
from gate.stats import holm, lower_bound, mcnemar, quantile
from gate.types import Break, Contract, Finding, Outcome, Part, Report, Result, Verdict

ALPHA = 0.05
ORDER = (Outcome.INCOMPLETE, Outcome.FAULTY, Outcome.BELOW_FLOOR, Outcome.REGRESSED, Outcome.INCONCLUSIVE, Outcome.PASS)
"""Which outcome a verdict takes when several are true: what shows least beats what shows most."""


def decide(report: Report, champion: Report | None = None, *, max_p95_seconds: float | None = None) -> Verdict:
    """The verdict on a report: PASS only when nothing is missing, every demand is met and nothing was lost.

    INCOMPLETE: the run asked too little, or less than `champion`, the report of the model to beat, was asked, or cannot
    be compared with it. FAULTY: preflight has found a fault in the files. BELOW_FLOOR: a rate is below its floor, its
    lower bound below its bound, a must was missed, the judge's mean or the seconds are not as demanded. REGRESSED: more
    cases were lost against the champion than a contract allows, or so many that it is no accident (exact McNemar, Holm
    over the tests, p < 0.05; flipped signs where a judge scores); that test only ever blocks; or answers came slower
    than accepted. INCONCLUSIVE: smoke tests alone were asked, or the judge has failed its own check-up.

    `max_p95_seconds`: the project's limit on each test that is not a smoke test (gate.registry.policy).
    """
    results = by_test(report)
    plain = tuple(
        _finding(contract, results.get(contract.test, []), report, max_p95_seconds) for contract in report.contracts
    )
    findings = _compared(plain, report, champion)
    gaps, faults = (*_gaps(report), *_lost(report, champion)), _faults(report)
    unasked = tuple(line for each in report.contracts for line in _unasked(each, results.get(each.test, []), report))
    reached = {finding.outcome for finding in findings} | {Outcome.PASS}
    if report.made.stopped and Outcome.BELOW_FLOOR in reached:
        reached -= {Outcome.INCOMPLETE}  # what was not asked could not have changed it
    elif unasked:
        reached |= {Outcome.INCOMPLETE}
    reached |= {Outcome.INCOMPLETE} if gaps else set()
    reached |= {Outcome.FAULTY} if faults else set()
    reached |= {Outcome.INCONCLUSIVE} if all(contract.smoke for contract in report.contracts) else set()
    return Verdict(next(outcome for outcome in ORDER if outcome in reached), findings, (*gaps, *unasked), faults)


def _finding(contract: Contract, own: list[Result], report: Report, max_p95_seconds: float | None) -> Finding:
    contaminated = set(contract.contaminated)
    right = {case: hit for case, hit in rights(own, contract.repeats).items() if case not in contaminated}
    hits, total = sum(right.values()), len(right)
    seconds, counted = latency.warm(own), [result for result in own if result.case not in contaminated]
    parts = _parts(contract, right)
    demands = (
        _outcome(right, contract, missed={result.case for result in own if not result.hit}),
        _below(parts),
        judge_scores.demanded(contract, counted, report.made),
        latency.demanded(contract, seconds),
        latency.within_limit(contract, own, max_p95_seconds),
    )
    outcome, why = next((each for each in demands if each[0] is not Outcome.PASS), (Outcome.PASS, ""))
    return Finding(
        test=contract.test,
        hits=hits,
        total=total,
        parsed=sum(hit for case, hit in rights(own, contract.repeats, parsed=True).items() if case in right),
        leaks=sum(result.leaked for result in own),
        lower=lower_bound(hits, total, alpha=contract.alpha),
        floor=contract.floor,
        median=quantile(seconds, 0.5),
        p95=quantile(seconds, 0.95),
        outcome=outcome,
        why=why,
        parts=parts,
        mean=judge_scores.mean(counted) if contract.rubric else None,
    )


def _parts(contract: Contract, right: dict[str, bool]) -> tuple[Part, ...]:
    """The cases of each tag with a floor of its own."""
    found = []
    for tag, floor in contract.floors.items():
        own = [right[case] for case in contract.tagged[tag] if case in right]
        lower = lower_bound(sum(own), len(own), alpha=contract.alpha)
        found.append(Part(tag, sum(own), len(own), lower, floor))
    return tuple(found)


def _below(parts: tuple[Part, ...]) -> tuple[Outcome, str]:
    below = [part for part in parts if not part.met]
    told = ", ".join(f"{part.tag} {part.hits}/{part.total} is below its floor {part.floor:g}" for part in below)
    return (Outcome.BELOW_FLOOR if below else Outcome.PASS), told


def _outcome(right: dict[str, bool], contract: Contract, *, missed: set[str]) -> tuple[Outcome, str]:
    hits, total = sum(right.values()), len(right)
    if total < len(contract.counted):
        if why := below(contract, missed):
            return Outcome.BELOW_FLOOR, why
        return Outcome.INCOMPLETE, f"{len(contract.counted) - total} of {len(contract.counted)} cases were not scored"
    if contract.must and hits < total:
        return Outcome.BELOW_FLOOR, f"{total - hits} of {total} that must be right are not"
    if hits < Fraction(str(contract.floor)) * total:
        return Outcome.BELOW_FLOOR, f"{hits}/{total} is below the floor {contract.floor:g}"
    if contract.bound is not None and (lower := lower_bound(hits, total, alpha=contract.alpha)) < contract.bound:
        attempt = f" at attempt {contract.attempt}" if contract.attempt > 1 else ""
        why = f"{hits}/{total} shows {lower:.3f} at least{attempt}, below the bound {contract.bound:g}"
        return Outcome.BELOW_FLOOR, why
    return Outcome.PASS, ""


def _compared(findings: tuple[Finding, ...], report: Report, champion: Report | None) -> tuple[Finding, ...]:
    """The findings with what was lost and won against the champion."""
    if champion is None or incomparable(report, champion):
        return findings
    own, other = by_test(report), by_test(champion)
    pairs = [flips(contract, own.get(contract.test, []), other.get(contract.test, [])) for contract in report.contracts]
    worse = [judge_scores.worse(each, own.get(each.test, []), other.get(each.test, [])) for each in report.contracts]
    chances = [mcnemar(len(lost), len(won)) if p is None else p for (lost, won), p in zip(pairs, worse, strict=True)]
    both = zip(findings, report.contracts, pairs, holm(chances), strict=True)
    found = [_regressed(finding, contract, *pair, p) for finding, contract, pair, p in both]
    times = [latency.against(each, own.get(each.test, []), other.get(each.test, [])) for each in report.contracts]
    return tuple(_slowed(finding, *time) for finding, time in zip(found, times, strict=True))


def _slowed(finding: Finding, outcome: Outcome, why: str) -> Finding:
    if finding.outcome is not Outcome.PASS or outcome is Outcome.PASS:
        return finding
    return replace(finding, outcome=outcome, why=why)


def _regressed(finding: Finding, contract: Contract, lost: tuple[str, ...], won: tuple[str, ...], p: float) -> Finding:
    open_ = [tuple(case for case in cases if case not in contract.held_out_ids) for cases in (lost, won)]
    finding = replace(finding, lost=len(lost), won=len(won), regressions=open_[0], fixes=open_[1], p=p)
    if finding.outcome is not Outcome.PASS:
        return finding
    if len(lost) > contract.allowed:
        why = f"{len(lost)} cases were right with the champion and are not now; {contract.allowed} allowed"
        return replace(finding, outcome=Outcome.REGRESSED, why=why)
    if p < ALPHA:
        told = f"{len(lost)} lost and {len(won)} won against the champion"
        told = "a lower mean of the judge's scores than the champion's" if contract.rubric else told
        why = f"{told} is no accident (p = {p:.3f})"
        return replace(finding, outcome=Outcome.REGRESSED, why=why)
    return finding


def _gaps(report: Report) -> tuple[str, ...]:
    """Every way in which this run asked too little, or something broke."""
    hidden = held_out(report)
    gaps = [f"broke: {_break(item, hidden)}" for item in report.breaks]
    gaps += [f"not scored: {_break(item, hidden)}" for item in report.skips]
    if not report.contracts:
        gaps.append("no graded test was collected")
    asked = Counter((result.test, result.case) for result in report.results)
    expected = {(contract.test, case) for contract in report.contracts for case in contract.ids}
    for contract in report.contracts:
        if not contract.counted:
            gaps.append(f"no case: {contract.test} asks nothing that counts: write cases that training has not seen")
        if contract.held_out and not contract.attempt:
            gaps.append(f"not counted: {contract.test}: which attempt this is at its held-out cases is not known")
    times = {contract.test: contract.repeats for contract in report.contracts}
    gaps += [
        f"asked {n} times, not {times.get(test, 1)}: {test}: {'a held-out case' if (test, case) in hidden else case}"
        for (test, case), n in asked.items()
        if n > times.get(test, 1) or (n < times.get(test, 1) and not report.made.stopped)
    ]
    unknown = [pair for pair in asked if pair not in expected]
    return (*gaps, *[f"unknown: {name} is in no contract" for name in _named(unknown, hidden)])


def _unasked(contract: Contract, own: list[Result], report: Report) -> list[str]:
    """What was not asked, or has no judge's score."""
    asked = Counter(result.case for result in own)
    missing = [case for case in contract.ids if asked[case] < contract.repeats]
    told = [case for case in missing if case not in contract.held_out_ids]
    few = [*told[:5], *(["…"] if len(told) > 5 else [])]
    few += [f"{len(missing) - len(told)} held-out cases"] if len(told) < len(missing) else []
    where = f"not asked: {contract.test}: {', '.join(few)} ({len(missing)} of {len(contract.ids)})"
    return [*([where] if missing else []), *judge_scores.gaps(contract, own, report.made)]


def _lost(report: Report, champion: Report | None) -> tuple[str, ...]:
    """Why the champion's report cannot be set against this one: other conditions, or cases that were not asked."""
    if champion is None:
        return ()
    reasons = (*incomparable(report, champion), *latency.incomparable(report, champion))
    apart = tuple(f"not compared with the champion: {reason}: grade it again here" for reason in reasons)
    asked = {(result.test, result.case) for result in report.results}
    had = dict.fromkeys((result.test, result.case) for result in champion.results)
    names = _named([pair for pair in had if pair not in asked], held_out(report) | held_out(champion))
    return apart + tuple(f"the champion was asked {name}" for name in names)


def _faults(report: Report) -> tuple[str, ...]:
    """What preflight found that forbids promotion."""
    bad = [check for check in report.made.preflight if check.status == "found" and check.severity != "warn"]
    return tuple(f"{check.id} {check.name}: {check.found[0]}" for check in bad)


def _named(pairs: Sequence[tuple[str, str]], hidden: Set[tuple[str, str]]) -> list[str]:
    """Cases by test and id; those that are held out as a number, test by test."""
    counts = Counter(test for test, case in pairs if (test, case) in hidden)
    names = [f"{test}: {case}" for test, case in pairs if (test, case) not in hidden]
    return names + [f"{test}: {count} held-out cases" for test, count in counts.items()]


def _break(item: Break, hidden: Set[tuple[str, str]]) -> str:
    """What broke and where; of a held-out case its test alone."""
    test, _, rest = item.where.partition("[")
    if (test, rest.removesuffix("]").partition("~")[0]) in hidden:  # c~2: the case c, asked for the second time
        return f"{test}: a held-out case; which and how is not shown"
    return f"{item.where}: {item.what}"
