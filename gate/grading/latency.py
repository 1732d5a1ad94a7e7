"""How long answers take: warm requests apart from the first after a start, and as a ratio to the champion's."""

from __future__ import annotations

from collections.abc import Sequence

from gate.stats import quantile
from gate.types import Contract, Made, Outcome, Report, Result

COLD = 5
"""Requests after a server's start that count as its cold start."""


def warm(results: Sequence[Result]) -> list[float]:
    """Seconds of the warm requests; of all where none is warm."""
    return [each.seconds for each in results if not each.cold] or [each.seconds for each in results]


def demanded(contract: Contract, seconds: Sequence[float]) -> tuple[Outcome, str]:
    """BELOW_FLOOR where a case takes longer than an absolute time that was asked for."""
    median = quantile(seconds, 0.5)
    if contract.within is None or median <= contract.within:
        return Outcome.PASS, ""
    return Outcome.BELOW_FLOOR, f"the median case takes {median:.2f} s, and {contract.within:g} s are accepted"


def within_limit(contract: Contract, own: Sequence[Result], limit: float | None) -> tuple[Outcome, str]:
    """BELOW_FLOOR where the 95th percentile of a test's seconds is above the project's limit; smoke tests have none.

    INCOMPLETE where answers came from the cache: their seconds are of an earlier run.
    """
    if limit is None or contract.smoke:
        return Outcome.PASS, ""
    if any(reply.cached for each in own for reply in each.replies):
        return Outcome.INCOMPLETE, "its seconds are of an earlier run, and max_p95_seconds is demanded: --gate-fresh"
    p95 = quantile(warm(own), 0.95)
    if p95 <= limit:
        return Outcome.PASS, ""
    return Outcome.BELOW_FLOOR, f"95 % of the cases take up to {p95:.2f} s, and max_p95_seconds is {limit:g}"


def against(contract: Contract, own: Sequence[Result], champion: Sequence[Result]) -> tuple[Outcome, str]:
    """REGRESSED where the median takes more times the champion's than accepted, over the cases that both answered."""
    if contract.slower is None:
        return Outcome.PASS, ""
    both = {each.case for each in own} & {each.case for each in champion}
    new, old = (quantile(warm([r for r in each if r.case in both]), 0.5) for each in (own, champion))
    if new <= contract.slower * old:
        return Outcome.PASS, ""
    ratio = f"{new / old:.2f} times" if old else "longer than"
    return Outcome.REGRESSED, f"the median case takes {ratio} the champion's {old:.2f} s; {contract.slower:g} accepted"


def incomparable(report: Report, champion: Report) -> tuple[str, ...]:
    """Why seconds cannot be set against the champion's, where a contract asks for it."""
    timed = {each.test for each in report.contracts if each.slower is not None}
    if not timed:
        return ()
    if any(reply.cached for each in champion.results if each.test in timed for reply in each.replies):
        return ("the champion's seconds are of answers from earlier runs: grade it with --gate-fresh",)
    if report.made.hardware.id and _conditions(report.made) == _conditions(champion.made):
        return ()
    return ("its seconds were measured on another machine, or with another number of requests at once",)


def _conditions(made: Made) -> tuple[str, int | None]:
    return made.hardware.id, made.ask_mode.at_once if made.ask_mode else None
