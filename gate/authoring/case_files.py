"""Read all case files of a folder line by line; a line that does not load is reported, and the others are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gate.cases import loader, sealing
from gate.errors import CaseError
from gate.system import jsonl
from gate.system.text import one_line
from gate.types import HELD_OUT, Case, Json


@dataclass(frozen=True, slots=True)
class Placed:
    """A case, and where it stands."""

    file: str
    """As a marker names it: below fixtures/cases."""
    line: int
    row: Json
    """As it is written; empty where the file is sealed."""
    case: Case

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.case.id} ({self.case.split})"


@dataclass(frozen=True, slots=True)
class Unread:
    """A line that is not a case; line 0 is the file."""

    file: str
    line: int
    why: str
    sealed: bool = False
    """It may be well, but the key to it is elsewhere."""


def named(file: str, fixtures: Path) -> str:
    """A case file as a marker names it, also where its whole path is given."""
    folder, path = (fixtures / "cases").resolve(), Path(file)
    resolved = path.resolve()
    name = resolved.relative_to(folder).as_posix() if resolved.is_relative_to(folder) else path.as_posix()
    return name.removesuffix(sealing.SUFFIX)


def sealed(name: str, fixtures: Path) -> bool:
    """Can a case file be read with a key alone?"""
    path = fixtures / "cases" / name
    return sealing.resolve(path) != path and sealing.resolve(path).is_file()


def read(names: Iterable[str], fixtures: Path) -> tuple[list[Placed], list[Unread]]:
    """Every case that loads, and why the other lines do not."""
    placed: list[Placed] = []
    unread: list[Unread] = []
    for name in names:
        for each in (_sealed if sealed(name, fixtures) else _lines)(name, fixtures):
            placed.append(each) if isinstance(each, Placed) else unread.append(each)
    return placed, unread


def _sealed(name: str, fixtures: Path) -> Iterator[Placed | Unread]:
    """The cases of a sealed file, to be compared with; their rows are not looked at."""
    try:
        for number, case in enumerate(loader.load(name, fixtures).cases, start=1):
            yield Placed(name, number, {}, case)
    except CaseError:
        yield Unread(name, 0, "is sealed and does not open here: nothing was compared with it", sealed=True)


def _lines(name: str, fixtures: Path) -> Iterator[Placed | Unread]:
    try:
        lines = (fixtures / "cases" / name).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        yield Unread(name, 0, f"cannot be read: {error}")
        return
    if not any(line.strip() for line in lines):
        yield Unread(name, 0, "holds no case: a suite that asks nothing cannot pass")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _line(name, number, line, fixtures)


def _line(name: str, number: int, line: str, fixtures: Path) -> Placed | Unread:
    try:
        row = jsonl.loads(line, where="line")
        return Placed(name, number, row, loader.parse(row, fixtures))
    except CaseError as error:
        why = one_line(str(error).removeprefix("line: "), 300)
        return Unread(name, number, why if HELD_OUT not in line else _untold(why))


def _untold(why: str) -> str:
    """Where a held-out case is wrong, and nothing that stands there."""
    return why.partition(": ")[0] + ": does not load (held out: what stands there is not told; pytest names it)"
