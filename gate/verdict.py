"""Decide: from a report to a verdict, without a model, without I/O. In doubt the gate stays shut."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from gate.stats import lower_bound, quantile
from gate.types import Contract, Finding, Outcome, Report, Result, Verdict


def decide(report: Report, champion: Report | None = None) -> Verdict:
    """The verdict on a report: PASS only when nothing is missing and every contract's rate is at its floor or above.

    INCOMPLETE beats every other outcome: a run that asked too little has shown nothing. `champion` is the report of
    the model to beat; a case that it was asked and the candidate was not is a gap.
    """
    findings = tuple(_finding(contract, report.results) for contract in report.contracts)
    gaps = (*_gaps(report), *_lost(report, champion))
    if gaps:
        return Verdict(Outcome.INCOMPLETE, findings, gaps)
    below = any(finding.outcome is not Outcome.PASS for finding in findings)
    return Verdict(Outcome.BELOW_FLOOR if below else Outcome.PASS, findings)


def _finding(contract: Contract, results: tuple[Result, ...]) -> Finding:
    own = [result for result in results if result.test == contract.test]
    hits, total = sum(result.hit for result in own), len(own)
    seconds = [result.seconds for result in own]
    outcome, why = _outcome(hits, total, contract)
    return Finding(
        test=contract.test,
        hits=hits,
        total=total,
        parsed=sum(result.parsed for result in own),
        leaks=sum(result.leaked for result in own),
        lower=lower_bound(hits, total),
        floor=contract.floor,
        median=quantile(seconds, 0.5),
        p95=quantile(seconds, 0.95),
        outcome=outcome,
        why=why,
    )


def _outcome(hits: int, total: int, contract: Contract) -> tuple[Outcome, str]:
    if total < len(contract.ids):
        return Outcome.INCOMPLETE, f"{len(contract.ids) - total} of {len(contract.ids)} cases were not scored"
    if hits < Fraction(str(contract.floor)) * total:
        return Outcome.BELOW_FLOOR, f"{hits}/{total} is below the floor {contract.floor:g}"
    return Outcome.PASS, ""


def _gaps(report: Report) -> tuple[str, ...]:
    """Every way in which this run asked too little, or something broke."""
    gaps = [f"broke: {item.where}: {item.what}" for item in report.breaks]
    gaps += [f"not scored: {item.where}: {item.what}" for item in report.skips]
    if not report.contracts:
        gaps.append("no graded test was collected")
    asked = Counter((result.test, result.case) for result in report.results)
    expected = {(contract.test, case) for contract in report.contracts for case in contract.ids}
    for contract in report.contracts:
        missing = [case for case in contract.ids if not asked[contract.test, case]]
        if missing:
            gaps.append(f"not asked: {contract.test}: {_some(missing)} ({len(missing)} of {len(contract.ids)})")
        if not contract.ids:
            gaps.append(f"no case: {contract.test} asks nothing")
    gaps += [f"asked {n} times: {test}: {case}" for (test, case), n in asked.items() if n > 1]
    gaps += [f"unknown: {test}: {case} is in no contract" for test, case in asked if (test, case) not in expected]
    return tuple(gaps)


def _lost(report: Report, champion: Report | None) -> tuple[str, ...]:
    """Cases that the champion was asked and the candidate was not."""
    asked = {(result.test, result.case) for result in report.results}
    had = [(result.test, result.case) for result in champion.results] if champion else []
    return tuple(f"the champion was asked {test}: {case}" for test, case in had if (test, case) not in asked)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
