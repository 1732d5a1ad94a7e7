"""The row of a test in a table of results, as text; all renderers use it."""

from __future__ import annotations

from gate.report.shown import ShownTest


def short(test: str) -> str:
    """suites/hermes/test_calls.py::test_x -> hermes/test_calls::test_x"""
    return test.removeprefix("suites/").replace(".py::", "::")


def percent(rate: float) -> str:
    """A rate as 97.5 %."""
    return f"{100 * rate:.1f} %"


def cells(test: ShownTest) -> dict[str, str]:
    """What a table may say of a test, by column; the test's own name is text of a suite, and not escaped."""
    finding, attempt = test.finding, test.contract.attempt
    return {
        "test": finding.test,
        "hits": f"{finding.hits}/{finding.total}",
        "rate": percent(finding.hits / (finding.total or 1)),
        "at least": percent(finding.lower),
        "floor": percent(finding.floor),
        "text parsed": f"{finding.parsed}/{finding.total}",
        "leaks": str(finding.leaks),
        "median s": f"{finding.median:.2f}",
        "p95 s": f"{finding.p95:.2f}",
        "held out": f"{test.held_out} (attempt {attempt})" if test.held_out else "0",
        "outcome": str(finding.outcome),
    }
