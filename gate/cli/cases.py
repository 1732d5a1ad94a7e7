"""`gate lint-cases` checks case files; `gate seal` and `gate unseal` encrypt and decrypt them."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Any

from gate.cases import loader, sealing
from gate.cli.options import add_fixtures, add_registry
from gate.errors import CaseError
from gate.system.text import clean

LINT = """\
Check case files before a model is asked: lines that do not load, duplicate ids and questions, expectations that nothing
can meet, files that ask one thing only, secrets.

An error breaks a run, or makes it prove something else than it seems to; a warning is for you to judge. Of a held-out
case only the id is printed."""
LINT_EPILOG = """\
examples:
  gate lint-cases                            every file under fixtures/cases
  gate lint-cases hermes/calls.jsonl         findings in this file, which is compared with all files
  gate lint-cases --fixtures other/fixtures

exit status 1: errors were found"""
SEAL = f"""\
Encrypt case files with a key outside of the repository. Suites name them as before; their cases are held out, graded,
and reported as sums only. The plain file is deleted.

The key is created at its first use: {sealing.KEY} names the file, else it is in the user's configuration folder.
Without the key the suite cannot be collected, and nothing passes. A sealed file opens only at its own path below
fixtures/cases, so that it cannot be swapped for another. A plain file that was committed stays in git's history: seal
before the first commit."""
UNSEAL = f"""\
Decrypt sealed case files with the key ({sealing.KEY}, or --key). The plain file is written, and then the sealed one is
deleted, because a suite is graded with one of the two. From then on anyone can read the cases, and the split that they
name counts. Seal the file again when it is fixed."""
SEAL_EPILOG = "example:\n  gate seal fixtures/cases/hermes/exam.jsonl        -> exam.jsonl.sealed"
UNSEAL_EPILOG = "example:\n  gate unseal fixtures/cases/hermes/exam.jsonl.sealed        -> exam.jsonl"
_PROJECT = (".git", "pyproject.toml", "pytest.ini", "fixtures/cases")
"""Names that mark a project's folder."""


def add_parsers(commands: Any) -> None:
    """Add `lint-cases`, `seal` and `unseal` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "lint-cases", help="check case files, without a model", description=LINT, epilog=LINT_EPILOG
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="case files (default: all of them)")
    add_fixtures(parser)
    add_registry(parser)
    parser.set_defaults(run=_lint)
    for name, run, summary, description, epilog in (
        ("seal", _seal, "encrypt case files with a key kept elsewhere", SEAL, SEAL_EPILOG),
        ("unseal", _unseal, "decrypt sealed case files, to fix them", UNSEAL, UNSEAL_EPILOG),
    ):
        parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
        parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="below fixtures/cases")
        add_fixtures(parser)
        parser.add_argument("--key", metavar="PATH", type=Path, default=None, help=f"default: {sealing.KEY}")
        parser.set_defaults(run=run)


def _lint(args: argparse.Namespace) -> int:
    from gate.authoring.lint import lint  # scipy, which takes a second

    text, errors = lint(args.files, args.fixtures, args.registry)
    print(text)
    return 1 if errors else 0


def _seal(args: argparse.Namespace) -> int:
    key = args.key or sealing.key_path()
    _check_outside_projects(key)
    if sealed_already := [path for path in args.files if path.name.endswith(sealing.SUFFIX)]:
        raise CaseError(f"{sealed_already[0]}: is sealed already")
    for path in args.files:
        count = len(loader.load(_name(path, args.fixtures), args.fixtures).cases)
        sealed = sealing.seal(path, key)
        print(clean(f"{sealed}: {count} cases, key {key}"))
        if _in_git_history(path):
            print(clean(f"  warning: git has {path} in its history, where anyone with the repository can read it"))
    return 0


def _unseal(args: argparse.Namespace) -> int:
    for path in args.files:
        print(clean(str(sealing.unseal(path, args.key or sealing.key_path()))))
    return 0


def _name(path: Path, fixtures: Path) -> str:
    folder = (fixtures / "cases").resolve()
    if not path.resolve().is_relative_to(folder):
        raise CaseError(f"{path}: is not a case file: it must be under {folder}")
    return str(path.resolve().relative_to(folder))


def _check_outside_projects(key: Path) -> None:
    """Raises CaseError for a key in a project: whoever has the sealed file would have the key, too."""
    for folder in key.resolve().parents:
        if any((folder / name).exists() for name in _PROJECT):
            raise CaseError(f"{key}: is in the repository or project {folder}: keep the key elsewhere")


def _in_git_history(path: Path) -> bool:
    command = ["git", "-C", str(path.resolve().parent), "log", "--oneline", "-1", "--", path.name]
    try:
        return bool(subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip())
    except (OSError, subprocess.TimeoutExpired):
        return False
