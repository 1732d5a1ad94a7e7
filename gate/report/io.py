"""Reports as JSON: checked against their schema when they are written as when they are read."""

from __future__ import annotations

import gc
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from jsonschema import ValidationError

from gate.errors import CaseError, ReportError
from gate.report.schema import VERSION
from gate.system import jsonl, schema
from gate.types import Json, Report

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which a server can send as an escape and UTF-8 cannot hold: kept as an escape."""


def write(path: Path, report: Report) -> None:
    """Write a report so that it is there whole or not at all, and only if it can be read back. Raises ReportError."""
    try:
        with _uncollected():
            value = {"version": VERSION} | msgspec.to_builtins(report, str_keys=True)
            if schema.error("report", value) and (flaw := schema.error("report", json.loads(json.dumps(value)))):
                raise ReportError(f"{path}: the report was not written, for it could not be read back: {_words(flaw)}")
            jsonl.write_parts(path, _parts(value))
    except OSError as error:
        raise ReportError(f"{path}: the report could not be written: {error}; the run counts as not graded") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ReportError(f"{path}: the report was not written, for it is not JSON: {error}") from error


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
        if isinstance(value, dict) and value.get("version") == VERSION - 1:
            raise ReportError(f"{where}: is a report of version {VERSION - 1}, and {VERSION} is read here: grade again")
        if flaw := schema.error("report", value):
            raise ReportError(f"{where}: is not a report of version {VERSION}: {_words(flaw)}")
        return msgspec.convert(value, Report)


def _words(flaw: ValidationError) -> str:
    """What is wrong, and where. Of a result its place alone: it may be of a case that is held out."""
    what = f"fails {flaw.validator!r}" if flaw.json_path.startswith("$.results[") else flaw.message[:300]
    return f"{flaw.json_path}: {what}"


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


def _parts(value: Json) -> Iterator[str]:
    """The text of a report: a contract or a result on a line of its own, and never the whole of it in memory."""
    before = "{"
    for key, part in value.items():
        yield f'{before}\n "{key}": '
        before = ","
        if not part or not isinstance(part, tuple):
            yield _escaped(json.dumps(part, ensure_ascii=False, allow_nan=False, indent=1).replace("\n", "\n "))
            continue
        for number, item in enumerate(part):
            text = json.dumps(item, ensure_ascii=False, allow_nan=False)
            yield _escaped(f"{',' if number else '['}\n  {text}")
        yield "\n ]"
    yield "\n}\n"


def _escaped(text: str) -> str:
    return text if text.isascii() else SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
