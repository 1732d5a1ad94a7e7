"""Any number of reports side by side; each is compared with the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tabulate import tabulate

from gate.errors import GateError
from gate.grading import judge_scores
from gate.grading.paired import by_test, flips, rights
from gate.grading.verdict import decide
from gate.report.shown import Shown, shown
from gate.stats import lower_bound, mcnemar
from gate.system.text import clean
from gate.types import Contract, Graded, Report

SIGNIFICANT = 0.01


@dataclass(frozen=True, slots=True)
class Pair:
    """One test of a report against the first report."""

    hits: int
    total: int
    lower: float
    """One-sided 95 % lower bound of the rate."""
    mean: float | None
    """Of a judge's scores."""
    lost: int
    won: int
    p: float
    """Exact one-sided McNemar p of "won no more than lost"."""


def comparison(
    read: Sequence[Report], *, split: str | None, better: Sequence[str] = (), kept: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """The tables, and which tests are not `better` or not `kept` in every other report. Raises GateError."""
    some = [_only(report, split) for report in read]
    pairs = compared(some)
    names = [clean(report.checkpoint.name) for report in some]
    tables = (
        (_rows(pairs, names), ["test", *names]),
        (_facts([shown(report, decide(report)) for report in some]), ["", *names]),
    )
    text = "\n\n".join(tabulate(rows, head, disable_numparse=True) for rows, head in tables)
    return text, [*_unmet(pairs, names, better, "better"), *_unmet(pairs, names, kept, "kept")]


def compared(read: list[Report]) -> dict[str, list[Pair | None]]:
    """Each test of the first report with its pair in every report; None where other cases were asked."""
    first = read[0]
    told: dict[str, list[Pair | None]] = {}
    for contract in first.contracts:
        told[contract.test] = [_pair(contract, first, report) for report in read]
    return told


def _pair(contract: Contract, first: Report, report: Report) -> Pair | None:
    other = next((each for each in report.contracts if each.test == contract.test), None)
    if other is None or other.digest != contract.digest:
        return None
    own, base = by_test(report).get(contract.test, []), by_test(first).get(contract.test, [])
    lost, won = flips(contract, own, base)
    right = {case: hit for case, hit in rights(own, contract.repeats).items() if case not in contract.contaminated}
    hits, total = sum(right.values()), len(right)
    return Pair(
        hits,
        total,
        lower_bound(hits, total, alpha=contract.alpha),
        judge_scores.mean(own) if contract.rubric else None,
        len(lost),
        len(won),
        mcnemar(len(won), len(lost)),
    )


def _only(report: Report, split: str | None) -> Report:
    if split is None:
        return report
    return replace(report, results=tuple(result for result in report.results if result.split == split))


def _rows(told: dict[str, list[Pair | None]], names: list[str]) -> list[list[str]]:
    return [
        [clean(test), *["other cases" if pair is None else _cell(pair, first=n == 0) for n, pair in enumerate(pairs)]]
        for test, pairs in told.items()
        if len(pairs) == len(names)
    ]


def _cell(pair: Pair, *, first: bool) -> str:
    against = "" if first else f" (+{pair.won} -{pair.lost}, p {pair.p:.2g})"
    mean = "" if pair.mean is None else f", mean {pair.mean:.2f}"
    return f"{pair.hits}/{pair.total}, at least {100 * pair.lower:.0f} %{mean}{against}"


def _facts(each: list[Shown]) -> list[list[str]]:
    streamed = [one.made.streaming for one in each]
    return [
        ["median s", *[f"{one.totals.seconds.median:.2f}" for one in each]],
        ["p95 s", *[f"{one.totals.seconds.p95:.2f}" for one in each]],
        ["first token s", *[_figure(one.first_token if one else None) for one in streamed]],
        ["tokens a second", *[_figure(one.tokens_per_second if one else None) for one in streamed]],
        ["size MB", *[_size(one.checkpoint) for one in each]],
        ["runtime", *[clean(one.made.runtime) for one in each]],
        ["sha256", *[one.checkpoint.digest[:12] for one in each]],
    ]


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"


def _size(graded: Graded) -> str:
    return "?" if graded.bytes is None else f"{graded.bytes / 1e6:,.0f}"


def _unmet(told: dict[str, list[Pair | None]], names: list[str], tests: Sequence[str], want: str) -> list[str]:
    """What was asked for of a test and does not hold. Raises GateError for a test that there is not."""
    if unknown := [test for test in tests if test not in told]:
        raise GateError(f"{unknown[0]}: no such test in the first report; there are {', '.join(told)}")
    faults = []
    for test in tests:
        first = told[test][0]
        for name, pair in list(zip(names, told[test], strict=True))[1:]:
            if pair is None or first is None:
                faults.append(f"{name}: {test}: was asked other cases")
            elif not 0 < first.total == pair.total:
                faults.append(f"{name}: {test}: has {pair.total} results, the first {first.total}")
            elif want == "better" and pair.p >= SIGNIFICANT:
                faults.append(f"{name}: {test}: won {pair.won}, lost {pair.lost}: p = {pair.p:.3g}")
            elif want == "kept" and pair.lost:
                faults.append(f"{name}: {test}: lost {pair.lost} cases")
    return faults
