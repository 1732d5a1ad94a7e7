"""Runs pytest on a checkpoint in this process; the exit status says which way the run has ended."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gate.types import Outcome, Verdict

STATUS = {
    Outcome.PASS: 0,
    Outcome.FAULTY: 1,
    Outcome.BELOW_FLOOR: 1,
    Outcome.REGRESSED: 1,
    Outcome.INCOMPLETE: 3,
    Outcome.INCONCLUSIVE: 4,
}
USAGE, INFRASTRUCTURE = 2, 3
QUIET = ("-W", "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning")
"""gate itself is imported before pytest starts, and holds no assertions."""


class _Listener:
    """Keeps the verdict of the run that pytest makes."""

    verdict: Verdict | None = None

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        run = config.pluginmanager.get_plugin("gate-run")
        self.verdict = getattr(run, "verdict", None) or self.verdict


def graded(model: str, arguments: Sequence[str]) -> int:
    """Run `pytest --model MODEL ARGUMENTS`; the exit status of its verdict, or of there being none."""
    listener = _Listener()
    code = pytest.main([f"--model={model}", *QUIET, *arguments], plugins=[listener])
    return status(listener.verdict, int(code))


def status(verdict: Verdict | None, code: int) -> int:
    """The exit status of a run, by its verdict and pytest's own exit status."""
    if verdict is None:
        return USAGE if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED) else INFRASTRUCTURE
    if verdict.outcome is Outcome.PASS and code != pytest.ExitCode.OK:
        return INFRASTRUCTURE  # another test failed beside the graded ones
    return STATUS[verdict.outcome]
