"""`gate show | decide | compare | judge`: commands that read reports."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.cli.options import REPORT, add_fixtures
from gate.errors import GateError
from gate.types import SPLITS

if TYPE_CHECKING:
    from gate.report.shown import Shown

SHOW = """\
Decide a report again and print it: the table of tests, each miss, what is missing, the verdict. With --champion the
verdict includes the comparison with that report, as in a promotion."""
SHOW_EPILOG = """\
examples:
  gate {name} runs/20260101-120000-adapter
  gate {name} runs/20260101-120000-adapter --champion runs/20251201-120000-adapter
  gate {name} runs/20260101-120000-adapter --github          in a job of GitHub Actions

exit status 1: the verdict is not PASS"""
COMPARE = """\
Print reports of the same cases side by side: hits by test, cases lost and won against the first, latency, size."""
COMPARE_EPILOG = """\
examples:
  gate compare runs/base runs/adapter runs/8bit runs/gguf
  gate compare runs/base runs/* --split held-out --better suites/test_calls.py::test_calls

exit status 1: --better or --kept does not hold for a report"""
JUDGE = """\
Score a report's answers by the rubrics that its suites name, and decide again. The candidate is not asked again.

The judge first scores the rubric's anchors; if it does not agree with them, the verdict is INCONCLUSIVE. A URL's key is
read from GATE_JUDGE_API_KEY. The scores of an earlier judge are replaced, and the report says so."""
JUDGE_EPILOG = """\
examples:
  gate judge runs/20260101-120000-adapter --judge path/to/a/larger/model
  gate judge runs/20260101-120000-adapter --judge http://127.0.0.1:8080/v1 --judge-name qwen3-32b

exit status 1: the verdict is not PASS"""


def add_parsers(commands: Any) -> None:
    """Add `show`, `decide`, `compare` and `judge` to the subparsers of the command `gate`."""
    for name, summary in (
        ("show", "show a report and decide it again"),
        ("decide", "decide a report again, also against a champion's"),
    ):
        parser = commands.add_parser(name, help=summary, description=SHOW, epilog=SHOW_EPILOG.format(name=name))
        parser.add_argument("report", metavar="REPORT", type=Path, help=REPORT)
        parser.add_argument("--champion", type=Path, metavar="REPORT", help="the report of the model to beat")
        parser.add_argument(
            "--github",
            action="store_true",
            help="in GitHub Actions: write the job summary to $GITHUB_STEP_SUMMARY, and at most ten annotations",
        )
        parser.set_defaults(run=_show)
    parser = commands.add_parser(
        "compare", help="print any number of reports side by side", description=COMPARE, epilog=COMPARE_EPILOG
    )
    parser.add_argument("reports", metavar="REPORT", type=Path, nargs="+", help=REPORT)
    parser.add_argument("--split", choices=SPLITS, help="only these cases")
    parser.add_argument(
        "--better", metavar="TEST", action="append", default=[], help="this test must be better: exact McNemar p < 0.01"
    )
    parser.add_argument("--kept", metavar="TEST", action="append", default=[], help="this test must lose no case")
    parser.set_defaults(run=_compare)
    parser = commands.add_parser(
        "judge",
        help="score a report's answers with a judge, without asking the candidate again",
        description=JUDGE,
        epilog=JUDGE_EPILOG,
    )
    parser.add_argument("report", metavar="REPORT", type=Path, help=REPORT)
    parser.add_argument("--judge", metavar="PATH|URL", required=True, help="the judge, as --model takes it")
    parser.add_argument("--judge-name", metavar="NAME", default="", help="the name of a URL's model")
    add_fixtures(parser, "rubrics/ and cases/")
    parser.set_defaults(run=_judge)


def _show(args: argparse.Namespace) -> int:
    from gate.grading.verdict import decide
    from gate.registry import policy
    from gate.report import io as reports
    from gate.report import terminal
    from gate.report.shown import shown

    path = reports.located(args.report)
    read = reports.read(path)
    champion = reports.read(reports.located(args.champion)) if args.champion else None
    verdict = decide(read, champion, max_p95_seconds=policy.read(Path()).max_p95_seconds)
    if args.github:
        _write_github(shown(read, verdict))
    else:
        print(terminal.summary(shown(read, verdict)), terminal.verdict_line(verdict, path), sep="\n\n")
    return 0 if verdict.outcome == "PASS" else 1


def _write_github(shown: Shown) -> None:
    from gate.report import github

    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        raise GateError("--github writes to the file that GITHUB_STEP_SUMMARY names, and it is not set")
    try:
        github.append(Path(place), github.summary(shown))
    except OSError as error:
        raise GateError(f"{place}: the job summary could not be written: {error}") from error
    print("\n".join(github.alarms(shown)))


def _compare(args: argparse.Namespace) -> int:
    from gate.report import compare
    from gate.report import io as reports

    read = [reports.read(reports.located(path)) for path in args.reports]
    text, unmet = compare.comparison(read, split=args.split, better=args.better, kept=args.kept)
    print(text)
    for line in unmet:
        print(f"NOT MET: {line}")
    return 1 if unmet else 0


def _judge(args: argparse.Namespace) -> int:
    from gate.grading.verdict import decide
    from gate.judge.run import Judge, scored
    from gate.registry import policy
    from gate.report import io as reports
    from gate.report import terminal
    from gate.report.shown import shown
    from gate.system.progress import Progress

    path = reports.located(args.report)
    read = reports.read(path)
    judge = Judge.named(args.judge, args.judge_name)
    with Progress() as progress:
        judged = scored(read, judge, args.fixtures, say=progress)
    reports.write(path, judged)
    verdict = decide(judged, max_p95_seconds=policy.read(Path()).max_p95_seconds)
    print(terminal.summary(shown(judged, verdict)), terminal.verdict_line(verdict, path), sep="\n\n")
    return 0 if verdict.outcome == "PASS" else 1
