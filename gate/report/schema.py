"""The JSON Schema of a report, made from the classes in gate.types.

python -m gate.report.schema      writes it where the package has it
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from gate.types import Json, Report

VERSION = 2
"""Of the form of a report. A report of another version is refused: it is graded again."""
PLACE = Path(__file__).parents[1] / "schemas" / "report.json"
FOUND = {
    "if": {"properties": {"status": {"const": "found"}}},
    "then": {"properties": {"found": {"minItems": 1}}},
}
"""A check that found something says what."""


def generated() -> Json:
    """The schema: every field of every class is required, and no other is allowed."""
    _, parts = msgspec.json.schema_components([Report], ref_template="#/$defs/{name}")
    parts = {name: _closed(part) for name, part in parts.items()}
    report = parts.pop("Report")
    parts["Check"] |= FOUND
    properties = {"version": {"const": VERSION}} | report["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **report,
        "title": f"A report of pytest-gate, version {VERSION}",
        "properties": properties,
        "required": list(properties),
        "$defs": parts,
    }


def text() -> str:
    """The schema as the file in the package holds it."""
    return json.dumps(generated(), indent=2, ensure_ascii=False) + "\n"


def _closed(part: Any) -> Any:
    """A part of a schema without defaults; of a class, with all of its fields required and no other allowed."""
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items() if key not in ("default", "description", "title")}
    if "properties" in part:
        closed |= {"required": list(part["properties"]), "additionalProperties": False}
        closed["properties"] = {name: _closed(value) for name, value in part["properties"].items()}
    return closed


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
