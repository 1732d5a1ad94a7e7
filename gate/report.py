"""Reports as JSON: written whole, read strictly."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from gate import jsonl
from gate.errors import CaseError, ReportError
from gate.types import Break, Contract, Json, Reply, Report, Result

VERSION = 1
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which a server can send as an escape and UTF-8 cannot hold: kept as an escape."""


def write(path: Path, report: Report) -> None:
    """Write a report so that it is there whole or not at all. Raises ReportError, for a full disk for example."""
    try:
        text = json.dumps(plain(report), ensure_ascii=False, indent=1)
        jsonl.write_whole(path, SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
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
    try:
        value = jsonl.loads(text, where=str(where))
    except CaseError as error:
        raise ReportError(f"{where}: cannot be read as a report: {error}") from error
    problem = jsonschema.exceptions.best_match(_validator().iter_errors(value))
    if problem is not None:
        raise ReportError(f"{where}: is no report of version {VERSION}: {problem.json_path}: {problem.message[:300]}")
    return Report(
        version=value["version"],
        checkpoint=value["checkpoint"],
        made=value["made"],
        contracts=tuple(contract(row) for row in value["contracts"]),
        results=tuple(result(row) for row in value["results"]),
        breaks=tuple(Break(**row) for row in value["breaks"]),
        skips=tuple(Break(**row) for row in value["skips"]),
    )


def plain(value: Any) -> Any:
    """A value of gate.types as plain JSON: dataclasses become objects, tuples lists."""
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def contract(row: Json) -> Contract:
    """The Contract that `plain` turned into `row`."""
    return Contract(**row | {key: tuple(row.get(key, ())) for key in _LISTS})


def result(row: Json) -> Result:
    """The Result that `plain` turned into `row`."""
    replies = tuple(Reply(**reply) for reply in row["replies"])
    return Result(**row | {"why": tuple(row["why"]), "replies": replies})


_LISTS = ("ids", "digests", "held_out", "burned", "replaced")


@cache
def _validator() -> Any:
    schema = json.loads(resources.files("gate").joinpath("schemas/report.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)
