"""Rows of xLAM's shape as chat rows in OpenAI's form, and so as cases.

    {"id": 7, "query": "…", "tools": [{"name": "f", "parameters": {"n": {"type": "int, optional", "default": 3}}}],
     "answers": [{"name": "f", "arguments": {"n": 4}}]}

`tools` and `answers` are lists, or JSON texts of lists; parameters stand by name with Python's names of types. No
answer means that no tool fits. A file is a JSON array, as xlam-function-calling-60k is, or JSON Lines.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from gate.authoring.importers import openai_chat
from gate.authoring.importers.result import Refused
from gate.cases.json_schema import schema_errors
from gate.errors import CaseError
from gate.system import jsonl
from gate.system.text import show
from gate.types import Json

MAX_ARRAY = 1_000_000_000
"""Bytes of a file that is one array, which is read as a whole."""
DEEPEST = 8
"""Brackets in a type's name that are followed."""
LONGEST = 300
"""Characters of a type's name that is looked at."""
PLAIN = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "double": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "dict": "object",
    "object": "object",
    "none": "null",
    "nonetype": "null",
    "callable": "string",
}
"""Python's names of types, in small letters, and JSON Schema's; a function travels as its source."""
ARRAYS = ("list", "tuple", "set", "frozenset", "sequence", "iterable", "array", "ndarray")
OBJECTS = ("dict", "mapping", "defaultdict", "ordereddict")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
"""A string, also one without an end, or a mark between values."""


def read(path: Path) -> Iterator[tuple[str, Json | Refused]]:
    """Yield (category, case without split, or why there is none) of each row. Raises CaseError for no file."""
    for where, value in _values(path):
        if not isinstance(value, Refused):
            try:
                value = row(value)
            except CaseError as error:
                value = openai_chat.refusal(error, where)
        yield openai_chat.convert(value, where, prefix="xlam")


def row(value: Json) -> Json:
    """A row as a chat row: messages, tools, the row's id. Raises CaseError: "reason in general: what was found"."""
    if missing := [key for key in ("query", "tools", "answers") if key not in value]:
        raise CaseError(f"a row without query, tools or answers: there is no {', no '.join(missing)}")
    if not isinstance(value["query"], str) or not value["query"].strip():
        raise CaseError(f"query must be a text: {show(value['query'])}")
    calls = [_call(each) for each in openai_chat.listed(value["answers"], "answers")]
    messages = [
        {"role": "user", "content": value["query"]},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]
    named = {"id": value["id"]} if "id" in value else {}
    return {
        "messages": messages,
        "tools": [tool(each) for each in openai_chat.listed(value["tools"], "tools")],
        **named,
    }


def tool(given: Json) -> Json:
    """One of xLAM's tools as OpenAI's: parameters by name become a JSON Schema. Raises CaseError."""
    parameters = given.get("parameters") or {}
    if given.get("type") == "function" and isinstance(given.get("function"), dict):
        return given
    if not isinstance(parameters, dict):
        raise CaseError(f"a tool's parameters are no object: {show(parameters)}")
    if parameters.get("type") == "object" and isinstance(parameters.get("properties"), dict):
        schema = parameters
    else:
        described = {name: each if isinstance(each, dict) else {"type": each} for name, each in parameters.items()}
        needed = [name for name, each in described.items() if not _optional(each)]
        properties = {name: _property(each) for name, each in described.items()}
        schema = {"type": "object", "properties": properties, "required": needed}
    function = {"name": given.get("name"), "description": given.get("description") or "", "parameters": schema}
    return {"type": "function", "function": function}


def schema_of(name: str, depth: int = 0) -> Json:
    """The JSON Schema of a Python type's name: `List[int]` -> an array of integers. Unknown names take anything."""
    if depth > DEEPEST or len(name) > LONGEST:
        return {}
    plain = (_parts(name, ",") or [""])[0]
    if len(either := _parts(plain, "|")) > 1:
        return _union([schema_of(each, depth + 1) for each in either])
    outer, bracket, rest = plain.partition("[")
    kind = outer.strip().rpartition(".")[2].lower()
    if bracket and not rest.endswith("]"):
        return {}
    inner = _parts(rest[:-1], ",") if bracket and kind != "callable" else []
    within = [schema_of(each, depth + 1) for each in inner if each != "..."]
    if kind in ARRAYS:
        items = _union(within)
        return {"type": "array"} | ({"items": items} if items else {})
    if kind in OBJECTS:
        values = within[1] if len(within) == 2 else {}
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if kind in ("optional", "union"):
        return _union(within)
    return {"type": PLAIN[kind]} if kind in PLAIN else {}


def _call(given: Json) -> Json:
    if not isinstance(given.get("name"), str) or not isinstance(given.get("arguments", {}), dict):
        raise CaseError(f"an answer that is not a call, with a name and arguments: {show(given)}")
    return {"type": "function", "function": {"name": given["name"], "arguments": dict(given.get("arguments", {}))}}


def _property(given: Json) -> Json:
    schema = schema_of(str(given.get("type") or ""))
    default = _default(given.get("default"), schema)
    words = given.get("description")
    described = {"description": words} if isinstance(words, str) and words else {}
    return schema | described | ({"default": default[0]} if default else {})


def _default(given: Any, schema: Json) -> list[Any]:
    """The default as a list of one, and none where it is of another type than its parameter.

    Rows write many defaults as texts: "10" is the number where a number is asked for.
    """
    if given is None or given == "":
        return []
    readings = [given]
    if isinstance(given, str):
        with contextlib.suppress(CaseError):
            readings.append(jsonl.loads(given.lower() if given in ("True", "False") else given, where=""))
    return [each for each in readings if not schema_errors(schema, each)][:1]


def _optional(given: Json) -> bool:
    return "optional" in str(given.get("type", "")).lower() or "default" in given


def _union(schemas: list[Json]) -> Json:
    """One schema for several: null is left out, as a value that may be absent is just not required."""
    if {} in schemas:
        return {}
    kinds = [each for n, each in enumerate(schemas) if each != {"type": "null"} and each not in schemas[:n]]
    if len(kinds) < 2:
        return kinds[0] if kinds else {}
    simple = all(each.keys() == {"type"} for each in kinds)
    return {"type": [each["type"] for each in kinds]} if simple else {"anyOf": kinds}


def _parts(text: str, mark: str) -> list[str]:
    """What stands between marks that are in no brackets; nothing of an empty text."""
    found, depth = [""], 0
    for character in text:
        depth += (character in "[(") - (character in "])")
        if character == mark and not depth:
            found.append("")
        else:
            found[-1] += character
    return [part.strip() for part in found if part.strip()]


def _values(path: Path) -> Iterator[tuple[str, Json | Refused]]:
    text = _array(path)
    marks = _marks(text)
    if not marks:
        yield from openai_chat.lines(path)
    line = 1
    for number, (start, end) in enumerate(pairwise(marks), start=1):
        written = text[start + 1 : end]
        line += written[: len(written) - len(written.lstrip())].count("\n")
        if written.strip() or len(marks) > 2:
            where = f"{path}:{line} row {number}"
            yield where, openai_chat.parsed_row(written.strip().encode("utf-8", "surrogateescape"), where)
        line += written.lstrip().count("\n")


def _array(path: Path) -> str:
    """The text of a file that begins as an array; empty for another file, whatever it is."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
            if stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"[":
                return ""
            if path.stat().st_size > MAX_ARRAY:
                raise CaseError(f"{path}: an array of more than {MAX_ARRAY:,} bytes: save it as JSON Lines")
            stream.seek(0)
            return stream.read().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    except OSError:
        return ""  # who reads it as lines says what is wrong


def _marks(text: str) -> list[int]:
    """Where an array begins, has its own commas, and ends; nothing of a text that is not an array as a whole.

    Each row is parsed by itself, so that a bad one is refused and the others are taken.
    """
    marks: list[int] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        depth += (mark in ("[", "{")) - (mark in ("]", "}"))
        if not marks or (mark == "," and depth == 1):
            marks.append(token.start())
        elif depth == 0 and mark != ",":
            return [*marks, token.start()] if not text[token.end() :].strip() and mark == "]" else []
    return []
