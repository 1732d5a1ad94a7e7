"""The redacted report that renderers get: held-out cases appear in sums only.

Whatever writes for a person or another program (terminal, Markdown, comparison, release) takes a Shown and no Report,
so that a new output cannot tell what is held out. A Verdict names no held-out case either (gate.grading.verdict).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gate.grading import latency
from gate.grading.paired import by_test
from gate.stats import quantile
from gate.types import HELD_OUT, Contract, Finding, Graded, Made, Outcome, Report, Result, Verdict


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long the cases took."""

    median: float
    p95: float
    """Of the warm ones where there are any."""
    cold: int
    """Requests that were the first after a start, and were followed by warm ones; the next two are of them."""
    cold_median: float
    cold_most: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all results, those of held-out cases among them."""

    results: int
    held_out_misses: int
    asked_again: int
    """Results with an answer that was asked again alone."""
    cached: int
    """Results whose every answer is from an earlier run."""
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class ShownTest:
    """One test: what it demands, what came of it, and how many cases it has."""

    contract: Contract
    """With its dev cases alone."""
    finding: Finding
    cases: int
    held_out: int
    contaminated: int
    """Results of cases that do not count, for training has learned from them."""
    contaminated_hits: int
    replaced: int
    """Burned cases whose place a fresh one has taken."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be shown of a report and its verdict."""

    checkpoint: Graded
    made: Made
    outcome: Outcome
    tests: tuple[ShownTest, ...]
    results: tuple[Result, ...]
    """Of the dev cases."""
    totals: Totals
    gaps: tuple[str, ...]
    faults: tuple[str, ...]


def shown(report: Report, verdict: Verdict) -> Shown:
    """What may be shown of a report; `verdict` is what was decided of it."""
    results = by_test(report)
    pairs = zip(report.contracts, verdict.findings, strict=True)
    return Shown(
        checkpoint=report.checkpoint,
        made=report.made,
        outcome=verdict.outcome,
        tests=tuple(_test(contract, finding, results.get(contract.test, [])) for contract, finding in pairs),
        results=tuple(result for result in report.results if result.split != HELD_OUT),
        totals=_totals(report.results),
        gaps=verdict.gaps,
        faults=verdict.faults,
    )


def _test(contract: Contract, finding: Finding, own: Sequence[Result]) -> ShownTest:
    hidden = {*contract.held_out_ids, *(result.case for result in own if result.split == HELD_OUT)}
    contaminated = [result.hit for result in own if result.case in contract.contaminated]
    asked = zip(contract.ids, contract.digests, strict=False)
    return ShownTest(
        contract=replace(
            contract,
            ids=_without(contract.ids, hidden),
            digests=tuple(digest for id_, digest in asked if id_ not in hidden),
            contaminated=_without(contract.contaminated, hidden),
            replaced=_without(contract.replaced, hidden),
            held_out=(),
            held_out_ids=(),
            tagged={tag: _without(ids, hidden) for tag, ids in contract.tagged.items()},
        ),
        finding=finding,
        cases=len(contract.ids),
        held_out=len(contract.held_out),
        contaminated=len(contaminated),
        contaminated_hits=sum(contaminated),
        replaced=len(contract.replaced),
    )


def _totals(results: Sequence[Result]) -> Totals:
    warm = latency.warm(results)
    cold = [result.seconds for result in results if result.cold] if any(not each.cold for each in results) else []
    return Totals(
        results=len(results),
        held_out_misses=sum(not result.hit and result.split == HELD_OUT for result in results),
        asked_again=sum(any(reply.verified for reply in result.replies) for result in results),
        cached=sum(all(reply.cached for reply in result.replies) for result in results),
        seconds=Seconds(
            quantile(warm, 0.5), quantile(warm, 0.95), len(cold), quantile(cold, 0.5), max(cold, default=0.0)
        ),
    )


def _without(ids: Sequence[str], hidden: set[str]) -> tuple[str, ...]:
    return tuple(id_ for id_ in ids if id_ not in hidden)
