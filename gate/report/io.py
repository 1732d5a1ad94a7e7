"""Reports as JSON: written whole, read strictly."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from gate.errors import CaseError, ReportError
from gate.system import jsonl, schema
from gate.types import Break, Contract, Json, Reply, Report, Result

VERSION = 1
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which a server can send as an escape and UTF-8 cannot hold: kept as an escape."""


def write(path: Path, report: Report) -> None:
    """Write a report so that it is there whole or not at all. Raises ReportError, for a full disk for example."""
    try:
        jsonl.write_parts(path, _parts(report))
    except OSError as error:
        raise ReportError(f"{path}: the report could not be written: {error}; the run counts as not graded") from error


def located(path: Path) -> Path:
    """The report of a run that was named by its folder or by the report itself."""
    return path / "report.json" if path.is_dir() else path


def read(path: Path) -> Report:
    """Read a report and check it against its schema. Raises ReportError."""
    return parsed(text(path), where=path)


def text(path: Path) -> str:
    """A report's text, which is read once: what is decided is then what is kept. Raises ReportError."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: cannot be read as a report: {error}") from error


def digest(text: str) -> str:
    """sha256 of a report's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def parsed(text: str, *, where: Path) -> Report:
    """A report, checked against its schema. Raises ReportError."""
    with _uncollected():
        try:
            value = jsonl.loads(text, where=str(where))
        except CaseError as error:
            raise ReportError(f"{where}: cannot be read as a report: {error}") from error
        if flaw := schema.error("report", value):
            raise ReportError(f"{where}: is no report of version {VERSION}: {flaw.json_path}: {flaw.message[:300]}")
        return Report(
            version=value["version"],
            checkpoint=value["checkpoint"],
            made=value["made"],
            contracts=tuple(contract(row) for row in value["contracts"]),
            results=tuple(result(row) for row in value["results"]),
            breaks=tuple(Break(**row) for row in value["breaks"]),
            skips=tuple(Break(**row) for row in value["skips"]),
        )


def contract(row: Json) -> Contract:
    """The Contract that `plain` turned into `row`."""
    return Contract(**row | {key: tuple(row.get(key, ())) for key in _LISTS})


def result(row: Json) -> Result:
    """The Result that `plain` turned into `row`."""
    replies = tuple(Reply(**reply) for reply in row["replies"])
    return Result(**row | {"why": tuple(row["why"]), "replies": replies})


_LISTS = ("ids", "digests", "held_out", "burned", "replaced")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Python's search for cycles rests: what is parsed has none, and to search it takes as long as to parse it."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _parts(report: Report) -> Iterator[str]:
    """The text of json.dumps(plain(report), indent=1), a result at a time: the whole of it is never in memory."""
    before = "{"
    for name, key in _keys(Report):
        yield f"{before}\n {key}: "
        value, before = getattr(report, name), ","
        if not value or not isinstance(value, tuple):
            yield _escaped(_indented(value, "\n "))
            continue
        for number, item in enumerate(value):
            yield _escaped(("," if number else "[") + "\n  " + _indented(item, "\n  "))
        yield "\n ]"
    yield "\n}\n"


def _indented(value: Any, start: str) -> str:
    """A value as json.dumps(plain(value), indent=1) writes it, in half the time. `start`: what its lines begin with."""
    kind: Any = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    if kind is bool or value is None:
        return _WORDS[value]
    inner = f"{start} "
    if isinstance(value, dict):
        return _framed("{}", [f"{inner}{_key(key)}: {_indented(part, inner)}" for key, part in value.items()], start)
    if isinstance(value, list | tuple):
        return _framed("[]", [inner + _indented(part, inner) for part in value], start)
    if hasattr(kind, "__dataclass_fields__"):
        texts = [f"{inner}{key}: {_indented(getattr(value, name), inner)}" for name, key in _keys(kind)]
        return _framed("{}", texts, start)
    return json.dumps(value, ensure_ascii=False)


def _framed(frame: str, texts: list[str], start: str) -> str:
    return f"{frame[0]}{','.join(texts)}{start}{frame[1]}" if texts else frame


def _key(key: Any) -> str:
    """A key that is no text stands as json.dumps would have it: 1 as "1", None as "null"."""
    return encode_basestring(key if isinstance(key, str) else json.dumps(key))


def _escaped(text: str) -> str:
    return text if text.isascii() else SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@cache
def _keys(kind: type) -> list[tuple[str, str]]:
    """The fields of a dataclass, plain and as JSON."""
    return [(field.name, encode_basestring(field.name)) for field in fields(kind)]


_WORDS = {True: "true", False: "false", None: "null"}
