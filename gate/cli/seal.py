"""`gate seal FILE …`: an exam that nobody can read without the key, and `gate unseal`."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Any

from gate.cases import loader, sealing
from gate.errors import CaseError
from gate.system.text import clean

DESCRIPTION = f"""\
Encrypt case files with a key outside of the repository. Suites go on naming them; their cases are held out, graded, and
told of in sums alone.

    gate seal fixtures/cases/hermes/exam.jsonl       -> exam.jsonl.sealed; the plain file is deleted
    gate unseal fixtures/cases/hermes/exam.jsonl.sealed     -> exam.jsonl, to write a new exam

The key is made at its first use: {sealing.KEY} names the file, else it lies in the user's configuration. Without it the
suite cannot be collected, and nothing passes. A sealed file opens at its own place below fixtures/cases alone: one that
was swapped for another is noticed. What git has seen of the plain file stays in its history: seal before the first
commit."""
UNSEAL = f"""\
Open sealed case files with the key ({sealing.KEY}, or --key): the plain file is written, and then the sealed
one is deleted, for a suite is graded with one of the two. From then on anybody can read the cases, and the split that
they name counts. Seal it again when it is mended.

    gate unseal fixtures/cases/hermes/exam.jsonl.sealed     -> exam.jsonl
    gate seal fixtures/cases/hermes/exam.jsonl"""
_PROJECT = (".git", "pyproject.toml", "pytest.ini", "fixtures/cases")
"""What a project's folder holds."""


def add_parsers(commands: Any) -> None:
    """Add `seal` and `unseal` to the subparsers of the command `gate`."""
    for name, run, help_, told in (
        ("seal", _seal, "encrypt case files with a key that lies elsewhere", DESCRIPTION),
        ("unseal", _unseal, "open sealed case files, to mend them", UNSEAL),
    ):
        parser = commands.add_parser(
            name,
            help=help_,
            description=told,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("files", metavar="FILE", type=Path, nargs="+")
        parser.add_argument("--fixtures", metavar="DIR", type=Path, default=Path("fixtures"), help="default fixtures")
        parser.add_argument("--key", metavar="PATH", type=Path, default=None, help=f"default: {sealing.KEY}")
        parser.set_defaults(run=run)


def _seal(given: argparse.Namespace) -> int:
    key = given.key or sealing.key_path()
    _outside(key)
    if done := [path for path in given.files if path.name.endswith(sealing.SUFFIX)]:
        raise CaseError(f"{done[0]}: is sealed already")
    for path in given.files:
        count = len(loader.load(_name(path, given.fixtures), given.fixtures).cases)
        sealed = sealing.seal(path, key)
        print(clean(f"{sealed}: {count} cases, key {key}"))
        if _known_to_git(path):
            print(clean(f"  warning: git has {path} in its history: who has the repository can read it there"))
    return 0


def _unseal(given: argparse.Namespace) -> int:
    for path in given.files:
        print(clean(str(sealing.unseal(path, given.key or sealing.key_path()))))
    return 0


def _name(path: Path, fixtures: Path) -> str:
    folder = (fixtures / "cases").resolve()
    if not path.resolve().is_relative_to(folder):
        raise CaseError(f"{path}: is no case file: it must lie under {folder}")
    return str(path.resolve().relative_to(folder))


def _outside(key: Path) -> None:
    """A key in the project is none: who has the exam has it, too."""
    for folder in key.resolve().parents:
        if any((folder / name).exists() for name in _PROJECT):
            raise CaseError(f"{key}: lies in the repository or project {folder}: keep the key elsewhere")


def _known_to_git(path: Path) -> bool:
    command = ["git", "-C", str(path.resolve().parent), "log", "--oneline", "-1", "--", path.name]
    try:
        return bool(subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip())
    except (OSError, subprocess.TimeoutExpired):
        return False
