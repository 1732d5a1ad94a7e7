"""Case files and tool schemas: one JSON object a line becomes a Case."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gate.cases import expected, sealing
from gate.errors import CaseError
from gate.system import jsonl, schema
from gate.types import HELD_OUT, Case, Json

MAX_TOKENS = 512
"""Tokens of an answer when the case does not say: room for a long call, an end for a runaway."""
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
"""The one form of a JSON value."""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Every case of one file."""

    cases: tuple[Case, ...]
    digest: str
    """sha256 of what they ask: ids, messages, resolved tools, expectations, limits."""
    marks: tuple[tuple[str, str], ...]
    """Each one's (see `marks`)."""

    def tagged(self, tag: str) -> list[str]:
        """The ids of the cases that bear a tag."""
        return [case.id for case in self.cases if tag in case.tags]


def load(name: str, fixtures: Path) -> CaseFile:
    """Read `fixtures/cases/<name>`; tools given by name come from `fixtures/tools/<tools>.json`.

    Raises CaseError, with file:line where there is one, for a missing or empty file, bad JSON, an unknown key,
    a repeated id, an unknown tools name or a bad expectation.
    """
    path = _inside(fixtures / "cases", name)
    if path.name.endswith(sealing.SUFFIX):
        return _sealed(path, fixtures)
    return _loaded(path, jsonl.read(path), fixtures)


def parse(row: Any, fixtures: Path) -> Case:
    """One row of a case file, with the tools and the system prompt that it names of `fixtures`. Raises CaseError."""
    _check_shape(row)
    offered = tools(row.get("tools", []), fixtures)
    if problems := expected.check(row["expect"], offered):
        raise CaseError(f"case {row['id']!r}: expect: " + "; ".join(problems))
    return Case(
        id=row["id"],
        messages=_messages(row, fixtures),
        tools=offered,
        expect=row["expect"],
        split=row["split"],
        tags=tuple(row.get("tags", [])),
        source=row.get("source", ""),
        max_tokens=row.get("max_tokens", MAX_TOKENS),
        replaces=row.get("replaces", ""),
        calls=expected.ExpectedCalls(row["id"], row["expect"], offered),
        answer=expected.ExpectedAnswer(row["id"], row["expect"]),
    )


def files(fixtures: Path) -> list[str]:
    """The names of all case files, sealed ones by the name that a suite gives them."""
    folder = fixtures / "cases"
    found = [*folder.rglob("*.jsonl"), *folder.rglob(f"*.jsonl{sealing.SUFFIX}")]
    return sorted({str(path.relative_to(folder)).removesuffix(sealing.SUFFIX) for path in found})


def _sealed(path: Path, fixtures: Path) -> CaseFile:
    """A sealed file: every case is held out, and an error tells nothing of what stands in it."""
    text = sealing.text(path)
    try:
        rows = [(n, row | {"split": HELD_OUT}) for n, row in jsonl.parsed(text, where=path)]
        return _loaded(path, rows, fixtures)
    except (CaseError, TypeError):
        raise CaseError(f"{path}: what is sealed is not a case file: unseal and fix it") from None


def _loaded(path: Path, rows: Iterable[tuple[int, Any]], fixtures: Path) -> CaseFile:
    cases: dict[str, Case] = {}
    for number, row in rows:
        where = f"{path}:{number}"
        try:
            case = parse(row, fixtures)
        except CaseError as error:
            raise CaseError(f"{where}: {error}") from error
        if case.id in cases:
            raise CaseError(f"{where}: id {case.id!r} stands twice in this file: give the new case a new id")
        cases[case.id] = case
    if not cases:
        raise CaseError(f"{path}: holds no case: a suite that asks nothing cannot pass")
    every, marks = tuple(cases.values()), []

    def asked() -> Iterator[str]:
        for text, both in _marked(every):
            marks.append(both)
            yield text

    return CaseFile(every, _sha256(asked()), tuple(marks))


def tools(named: str | list[Json], fixtures: Path) -> list[Json]:
    """Tools, or those of `fixtures/tools/<named>.json`, checked. Raises CaseError."""
    if isinstance(named, list):
        return _checked_tools(named)
    path = fixtures / "tools" / f"{named}.json"
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise CaseError(f"tools {named!r}: there is no {path} (known: {known})") from error
    return _tools_file(path, changed)


def marks(case: Case) -> tuple[str, str]:
    """What a case asks and expects, and what it asks alone: 16 hex digits each."""
    return all_marks((case,))[0]


def all_marks(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """The marks of each case, sooner than one by one."""
    return [both for _, both in _marked(cases)]


def _marked(cases: Sequence[Case]) -> Iterator[tuple[str, tuple[str, str]]]:
    """The canonical JSON of all that counts of each case, and its marks. The cases of a file share their tools."""
    offered = {key: _canonical(tools) for key, tools in {id(case.tools): case.tools for case in cases}.items()}
    for case in cases:
        messages, tools = _canonical(case.messages), offered[id(case.tools)]
        rest = _canonical([case.expect, case.split, case.max_tokens])
        whole = f"[{_canonical(case.id)},{messages},{tools},{rest[1:]}"
        yield whole, (_sha256([whole])[:16], _sha256([messages, tools])[:16])


def _sha256(items: Iterable[str]) -> str:
    """Of a list, by the canonical JSON of its items."""
    seen, between = hashlib.sha256(b"["), b""
    for item in items:
        seen.update(between + item.encode("utf-8", "surrogatepass"))
        between = b","
    seen.update(b"]")
    return seen.hexdigest()


def _messages(row: Json, fixtures: Path) -> list[Json]:
    """The messages, with the system prompt that the case names in front, and its suffix behind that."""
    messages, name, suffix = row["messages"], row.get("system"), row.get("system_suffix")
    given = messages[0]["content"] or "" if messages[0]["role"] == "system" else None
    if name is not None and given is not None:
        raise CaseError(f"case {row['id']!r}: names a system prompt and has a system message: keep one")
    system = _system(fixtures / "systems" / f"{name}.txt") if name is not None else given
    texts = [text for text in (system, suffix) if text is not None]
    rest = messages[1:] if given is not None else messages
    return [{"role": "system", "content": "\n\n".join(texts)}, *rest] if texts else messages


def _system(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(each.stem for each in path.parent.glob("*.txt"))) or "none"
        raise CaseError(f"system {path.stem!r}: {path} cannot be read (known: {known}): {error}") from error


def _check_shape(row: Any) -> None:
    if error := schema.error("case", row):
        raise CaseError(f"{error.json_path.replace('$', 'case', 1)}: {error.message[:300]}")


@cache
def _tools_file(path: Path, _changed: int) -> list[Json]:
    try:
        value = jsonl.loads(path.read_text(encoding="utf-8"), where=str(path))
        if not isinstance(value, list) or not value:
            raise CaseError(f"{path}: must be a list of OpenAI tools, and not an empty one")
        return _checked_tools(value)
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    except CaseError as error:
        raise CaseError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def _checked_tools(tools: list[Json]) -> list[Json]:
    if problems := expected.tools_problems(tools):
        raise CaseError("; ".join(problems))
    return tools


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CaseError(f"cases {name!r}: must lie under {folder}")
    if path.is_file() and sealing.beside(path).is_file():
        raise CaseError(f"cases {name!r}: {path} stands beside the sealed one: remove one of them")
    if not sealing.resolve(path).is_file():
        raise CaseError(f"cases {name!r}: there is no {path}")
    return sealing.resolve(path)
