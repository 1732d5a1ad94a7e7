"""`gate run PATH`: runs `pytest --model PATH` for CI, with an exit status for each outcome."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gate.types import Outcome, Verdict

if TYPE_CHECKING:
    import pytest

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
DESCRIPTION = "Grade a checkpoint as `pytest --model PATH` does. Everything after PATH goes to pytest."
EPILOG = """\
example:
  gate run path/to/adapter -n 4 --junitxml=junit.xml

exit status:
  0  PASS
  1  blocked: FAULTY, BELOW_FLOOR or REGRESSED
  2  usage: bad input, nothing was graded
  3  INCOMPLETE: something broke, was not asked or was not judged
  4  INCONCLUSIVE: only smoke tests were asked, or the judge failed its own check"""


class _Listener:
    """A pytest plugin that keeps the verdict of the run."""

    verdict: Verdict | None = None

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        from gate.plugin.state import RUN

        run = config.stash.get(RUN, None)
        self.verdict = (run.verdict if run is not None else None) or self.verdict


def add_parsers(commands: Any) -> None:
    """Add `run` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "run",
        help="grade a checkpoint, for CI: pytest --model PATH with an exit status for each outcome",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("path", metavar="PATH", help="what --model takes: a folder, a .gguf file or a URL")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="arguments of pytest")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run pytest in this process, and return the exit status of its verdict (`status`)."""
    import pytest  # no other command needs it

    listener = _Listener()
    code = pytest.main([f"--model={args.path}", *QUIET, *args.arguments], plugins=[listener])
    return status(listener.verdict, int(code))


def status(verdict: Verdict | None, code: int) -> int:
    """The exit status of a run.

    `verdict` is None if the run ended without one; `code` is pytest's own exit status.
    """
    import pytest

    if verdict is None:
        return USAGE if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED) else INFRASTRUCTURE
    if verdict.outcome is Outcome.PASS and code != pytest.ExitCode.OK:
        return INFRASTRUCTURE  # a test that is not graded failed
    return STATUS[verdict.outcome]
