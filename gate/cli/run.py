"""`gate run PATH`: pytest --model PATH for CI, with an exit status for each way to end."""

from __future__ import annotations

import argparse
from typing import Any

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


def add_parsers(commands: Any) -> None:
    """Add `run` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "run",
        help="grade a checkpoint, for CI: pytest --model PATH with an exit status for each way to end",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("path", metavar="PATH", help="what --model takes: a folder, a .gguf file or a URL")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="arguments of pytest")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Grade; the exit status says how it ended."""
    from gate.plugin.exit_status import graded

    return graded(given.path, given.arguments)
