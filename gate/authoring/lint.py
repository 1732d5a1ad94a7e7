"""What is wrong with case files before a model is asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gate.authoring import case_files as places
from gate.authoring.case_files import Placed, Unread
from gate.authoring.redaction import scan
from gate.authoring.satisfiable import contradiction, unreachable
from gate.cases import loader, sealing
from gate.errors import CaseError
from gate.registry import contaminated
from gate.system.text import clean, one_line
from gate.types import HELD_OUT

ERROR, WARN = "error", "warn"
SURE = ("KEY", "PEM", "JWT", "CREDENTIAL")
"""Kinds of secrets that are told by their form. A password in a case may be made up."""
SHOWN = 30
"""Findings of a file that are listed."""
SHARE = 3
"""Of so many cases one is held out."""
FEW = 4
"""Calls from which on their share by tool says anything."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to fix, or to look at."""

    severity: str
    file: str
    line: int
    """0 where the file as a whole is meant."""
    what: str


def lint(files: Sequence[str], fixtures: Path, registry: Path) -> tuple[str, int]:
    """The table by file with its findings, and how many are errors; of all files where none is named.

    Raises CaseError where there is no such file.
    """
    names = loader.files(fixtures)
    if not names:
        raise CaseError(f"{fixtures / 'cases'}: holds no case file: name the folder above cases/ with --fixtures")
    chosen = list(dict.fromkeys(places.named(file, fixtures) for file in files)) or names
    if unknown := [name for name in chosen if name not in names]:
        raise CaseError(f"{unknown[0]}: is not a case file under {fixtures / 'cases'}; there are {', '.join(names)}")
    placed, unread = places.read(names, fixtures)
    findings = [*_twice(names, fixtures), *map(_unread, unread), *judged(placed)]
    findings += _replacing_nothing(placed, contaminated.recorded(registry))
    findings = [each for each in findings if each.file in chosen]
    errors = sum(each.severity == ERROR for each in findings)
    counts = f"{errors} errors, {len(findings) - errors} warnings in {len(chosen)} files"
    return "\n".join([_table(chosen, placed, findings), *map(clean, _lines(findings)), "", counts]), errors


def _twice(names: Sequence[str], fixtures: Path) -> Iterator[Finding]:
    for name in names:
        path = fixtures / "cases" / name
        if path.is_file() and sealing.beside(path).is_file():
            yield Finding(ERROR, name, 0, f"stands beside {sealing.beside(path).name}: remove one of them")


def _unread(each: Unread) -> Finding:
    """A sealed file may be well where there is no key; with the key that is there it must open."""
    if each.sealed and (key := sealing.key_path()).is_file():
        why = f"does not open with the key {key}, or is not a case file: bring its own key, or seal it again"
        return Finding(ERROR, each.file, each.line, why)
    return Finding(WARN if each.sealed else ERROR, each.file, each.line, each.why)


def judged(placed: Sequence[Placed]) -> Iterator[Finding]:
    """What is wrong with cases that load: each by itself, with the others, and the files."""
    for each in placed:
        for severity, what in _alone(each):
            yield Finding(severity, each.file, each.line, f"{each.case.id}: {what}")
    yield from _ids(placed)
    yield from _replaced(placed)
    yield from _alike(placed)
    files: defaultdict[str, list[Placed]] = defaultdict(list)
    for each in placed:
        files[each.file].append(each)
    for file, own in files.items():
        beside = [each for other, some in files.items() if Path(other).parent == Path(file).parent for each in some]
        for what in _balance(own, beside):
            yield Finding(WARN, file, 0, what)


def _alone(placed: Placed) -> Iterator[tuple[str, str]]:
    held = " (held out: why is not told)"
    if why := unreachable(placed.case):
        yield ERROR, "its own expected answer is a miss" + (held if placed.case.split == HELD_OUT else f": {why}")
    if why := contradiction(placed.case):
        yield ERROR, "no answer can be right" + (held if placed.case.split == HELD_OUT else f": {why}")
    places: defaultdict[str, list[str]] = defaultdict(list)
    for where, found in scan.places(placed.row):
        if not scan.reserved(found):
            places[found.kind].append(where)
    for kind, wheres in places.items():
        severity = ERROR if kind in SURE else WARN
        yield severity, f"{kind} stands in {', '.join(dict.fromkeys(wheres))}: write a placeholder"


def _ids(placed: Sequence[Placed]) -> Iterator[Finding]:
    first: dict[str, Placed] = {}
    for each in placed:
        other = first.setdefault(each.case.id, each)
        if other is not each:
            what = f"{each.case.id}: this id stands in {other.file}:{other.line}, too: give the newer case a new one"
            yield Finding(ERROR, each.file, each.line, what)


def _replaced(placed: Sequence[Placed]) -> Iterator[Finding]:
    """A fresh case names the contaminated one whose place it takes."""
    ids = {each.case.id for each in placed}
    for each in placed:
        given = each.row.get("replaces", [])
        for name in [given] if isinstance(given, str) else given:
            if name not in ids or name == each.case.id:
                what = f"replaces {name!r}, which is {'itself' if name in ids else 'not a case of any file'}"
                yield Finding(ERROR, each.file, each.line, f"{each.case.id}: {what}")


def _replacing_nothing(placed: Sequence[Placed], known: Mapping[str, str]) -> Iterator[Finding]:
    """A case that nearly asks what training has learned is contaminated itself, and takes no place of another."""
    found = contaminated.among([each.case for each in placed], known)
    for number, id_ in found.items():
        each = placed[number]
        if each.case.replaces and id_ != each.case.id:
            what = (
                f"replaces nothing: asks nearly what the contaminated case {id_!r} asks, or a row that was built of it"
            )
            yield Finding(ERROR, each.file, each.line, f"{each.case.id}: {what}: write one that asks something else")


def _alike(placed: Sequence[Placed]) -> Iterator[Finding]:
    """Each case with the worst of the earlier ones that ask the same."""
    from gate.authoring.duplicates import alike  # scipy, which takes a second

    every = [each.case for each in placed]
    worst: dict[int, tuple[bool, bool, float, int]] = {}
    for pair in alike(every, every):
        late, early = max(pair.given, pair.known), min(pair.given, pair.known)
        if late != early:
            leak = every[late].split != every[early].split
            found = (leak, pair.same, pair.similarity, -early)
            worst[late] = max(found, worst.get(late, found))
    for number, (leak, same, similarity, early) in sorted(worst.items()):
        each, other = placed[number], placed[-early]
        how = "exactly" if same else "in the same words" if similarity == 1 else f"nearly ({similarity:.2f})"
        what = f"{each.case.id}: asks {how} what {other.name} asks" + (": one is held out" if leak else "")
        yield Finding(ERROR if leak or same else WARN, each.file, each.line, what)


def _balance(own: Sequence[Placed], beside: Sequence[Placed]) -> Iterator[str]:
    """What a file asks too little of. `beside`: all cases of its folder, where the no-tool cases may stand."""
    held = sum(each.case.split == HELD_OUT for each in own)
    if SHARE * held < len(own) and not all(_judged(each) for each in own):
        yield f"{held} of {len(own)} cases are held out: at least a third should be"
    called = Counter(call["name"] for each in own for call in each.case.expect.get("calls", []))
    offered = Counter(tool["function"]["name"] for each in own for tool in each.case.tools)
    if not called:
        return
    never = [name for name, count in offered.items() if name not in called and count > 1]
    more = ", …" if len(never) > 8 else ""
    if never:
        yield f"{len(never)} of {len(offered)} tools are offered and never expected: {', '.join(never[:8])}{more}"
    name, most = called.most_common(1)[0]
    if called.total() >= FEW and len(offered) > 1 and 2 * most > called.total():
        yield f"{most} of {called.total()} expected calls are of {name}: a model that always calls it does well"
    if not any(each.case.tools and each.case.expect.get("calls") == [] for each in beside):
        yield "no case of this folder offers tools and expects none: a model that always calls one does well"


def _judged(placed: Placed) -> bool:
    """Does any answer do? Then a judge scores it, and its text must be kept: it cannot be held out."""
    return placed.case.expect == {"answer": {"regex": r"\S"}}


def _table(chosen: Sequence[str], placed: Sequence[Placed], findings: Sequence[Finding]) -> str:
    rows: list[list[Any]] = []
    for name in chosen:
        own = [each for each in placed if each.file == name]
        counts = Counter(each.severity for each in findings if each.file == name)
        rows.append([clean(name), len(own), sum(e.case.split == HELD_OUT for e in own), counts[ERROR], counts[WARN]])
    head, align = ["file", "cases", "held out", "errors", "warnings"], ("left", *["right"] * 4)
    return tabulate(rows, head, disable_numparse=True, colalign=align)


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    """By file, errors first."""
    files: defaultdict[str, list[Finding]] = defaultdict(list)
    for each in sorted(findings, key=lambda each: (each.file, each.severity, each.line)):
        files[each.file].append(each)
    for file, some in files.items():
        yield ""
        for each in some[:SHOWN]:
            yield f"{each.severity:5} {file}{f':{each.line}' if each.line else ''}: {one_line(each.what, 300)}"
        if len(some) > SHOWN:
            yield f"      {file}: … and {len(some) - SHOWN} more"
