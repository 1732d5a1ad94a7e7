"""The command `gate`: set up, look around, read a report. Grading itself is `pytest --model PATH`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.errors import GateError

if TYPE_CHECKING:
    from gate.types import Report, Verdict

COMMANDS = {
    "preflight": "gate.cli.preflight",
    "parity": "gate.cli.parity",
    "run": "gate.cli.run",
    "compare": "gate.report.compare",
    "judge": "gate.judge.run",
    "import": "gate.cli.import_",
    "new-persona": "gate.cli.new_persona",
    **dict.fromkeys(("seal", "unseal"), "gate.cli.seal"),
    "add": "gate.cli.add",
    "lint-cases": "gate.authoring.lint",
    "proxy": "gate.cli.proxy",
    "repair": "gate.cli.repair",
    "rounds": "gate.registry.rounds",
    **dict.fromkeys(("promote", "current", "history", "rollback", "verify-ledger"), "gate.cli.slots"),
    "verify": "gate.registry.verify",
}
"""The module of each command that has one. Some import what takes a second: the one that is named comes alone."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 when it is done, 1 when `doctor` or `show` has bad news, 4 for bad input, 130 on Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of tensors and files are any bytes
    words = sys.argv[1:] if arguments is None else arguments
    given = _parser(words[0] if words else "").parse_args(words)
    try:
        return int(given.run(given))
    except GateError as error:
        from gate.report.terminal import lines

        print(lines(f"gate: {error}"), file=sys.stderr)
        return error.status
    except BrokenPipeError:  # `| head`: nobody heard the end, so it is no 0, which a script could take for a pass
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("gate: stopped; nothing half-made is left", file=sys.stderr)
        return 130


def _parser(named: str) -> argparse.ArgumentParser:
    """A parser of the command that is named, beside those of this file; of every command where none of them is."""
    parser = argparse.ArgumentParser(
        prog="gate",
        description="A gate for small fine-tuned language models.",
        epilog="To grade a checkpoint: pytest --model PATH (see pytest --help, group gate). First time: gate doctor.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", help="fetch a demo model into the user's cache folder")
    fetch.add_argument("name", choices=["smollm2"], help="smollm2: SmolLM2-135M-Instruct, 93 MB to fetch, Apache-2.0")
    fetch.set_defaults(run=_fetch)
    doctor = commands.add_parser("doctor", help="say what this machine can serve and train, and what is missing")
    doctor.set_defaults(run=_doctor)
    show = commands.add_parser("show", help="show a report and decide again, without a model")
    decide = commands.add_parser("decide", help="decide a report again, also against a champion's, without a model")
    for command in (show, decide):
        command.add_argument("report", type=Path, help="a report.json, or the run's folder")
        command.add_argument("--champion", type=Path, metavar="REPORT", help="the report of the model to beat")
        command.add_argument(
            "--github",
            action="store_true",
            help="in GitHub Actions: write the job summary to $GITHUB_STEP_SUMMARY, and at most ten annotations",
        )
        command.set_defaults(run=_show)
    train = commands.add_parser("train", help="prepare, train, fuse, quantise, export, grade, promote: by a recipe")
    train.add_argument("recipe", type=Path, help="a recipe (trainers/recipe.py tells its keys)")
    train.add_argument("--anyway", metavar="REASON", default="", help="train against the advice; it is recorded")
    train.set_defaults(run=_train)
    plan = commands.add_parser("plan", help="will a training fit into this machine's memory, and what is advised?")
    plan.add_argument("recipe", type=Path)
    plan.set_defaults(run=_plan)
    curves = commands.add_parser("curves", help="the curves of trainings, drawn over each other, and their numbers")
    curves.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="a training's folder")
    curves.add_argument("--out", metavar="STEM", type=Path, default=Path("curves"), help="writes STEM.svg and STEM.png")
    curves.set_defaults(run=_curves)
    if named not in commands.choices:
        _add_modules(commands, named)
    return parser


def _add_modules(commands: Any, named: str) -> None:
    """Add the parsers of the named command's module; of all where it is none of theirs."""
    for name in [COMMANDS[named]] if named in COMMANDS else dict.fromkeys(COMMANDS.values()):
        module = import_module(name)
        add = module.add_parsers if hasattr(module, "add_parsers") else module.add_parser
        add(commands)


def _fetch(_: argparse.Namespace) -> int:
    from gate.checkpoints import demo

    for path in demo.fetch(progress=True):
        print(path)
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from gate.cli import doctor

    table, able = doctor.examine()
    print(table)
    return 0 if able else 1


def _train(given: argparse.Namespace) -> int:
    from trainers import steps  # numpy and more, which no other command waits for

    return steps.run(given.recipe, anyway=given.anyway)


def _plan(given: argparse.Namespace) -> int:
    from trainers import steps

    return steps.show(given.recipe)


def _curves(given: argparse.Namespace) -> int:
    from trainers import curves

    return curves.run(given.runs, given.out)


def _show(given: argparse.Namespace) -> int:
    from gate.grading.verdict import decide
    from gate.report import io as report
    from gate.report import terminal
    from gate.types import Outcome

    path = report.located(given.report)
    read = report.read(path)
    verdict = decide(read, report.read(report.located(given.champion)) if given.champion else None)
    if given.github:
        return _github(read, verdict)
    print(terminal.summary(read, verdict), terminal.verdict_line(verdict, path), sep="\n\n")
    return 0 if verdict.outcome is Outcome.PASS else 1


def _github(report: Report, verdict: Verdict) -> int:
    from gate.report import github

    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        raise GateError("--github writes where GITHUB_STEP_SUMMARY says, and that is not set")
    try:
        github.append(Path(place), github.summary(report, verdict))
    except OSError as error:
        raise GateError(f"{place}: the job summary could not be written: {error}") from error
    print("\n".join(github.alarms(verdict)))
    return 0 if verdict.outcome == "PASS" else 1


if __name__ == "__main__":
    sys.exit(main())
