"""The tools that a request offers: their names, and the types of their arguments."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from gate.models.tool_calls.literals import parsed
from gate.types import Json

Untyped = Callable[[str], Any]
"""How a syntax converts a value whose type is unknown."""

_NAMESPACES = ("functions.", "function.", "default_api.", "tools.", "tool.", "api.")
_INTEGER = re.compile(r"[-+]?\d{1,4000}(?:\.0*)?")
_EXACT = 2**53
_ALIASES = (
    ("int", "integer"),
    ("uint", "integer"),
    ("long", "integer"),
    ("num", "number"),
    ("float", "number"),
    ("double", "number"),
    ("bool", "boolean"),
    ("dict", "object"),
    ("obj", "object"),
    ("map", "object"),
    ("list", "array"),
    ("arr", "array"),
)


class Tools:
    """Tools as in the OpenAI API, nested or flat. Malformed entries are ignored."""

    def __init__(self, listed: object) -> None:
        self.offered = isinstance(listed, list | tuple)
        """Is there a list of tools? An empty one offers no tool; None says nothing."""
        self._properties: dict[str, Json] = {}
        for entry in listed if isinstance(listed, list | tuple) else ():
            self._add(entry)
        self._folded = {name.casefold() for name in self._properties}

    def has(self, name: str) -> bool:
        """Is a tool of this name offered? Case is ignored: a call in the wrong case is still a call."""
        return self.resolve(name).casefold() in self._folded

    def admits(self, name: str) -> bool:
        """May a call of this name count without a marker?"""
        return not self.offered or self.has(name)

    def resolve(self, name: str) -> str:
        """The name without quotes and namespace where that is an offered tool, else the name."""
        if name.casefold() in self._folded:
            return name
        short = name.strip("\"'` ")
        for space in _NAMESPACES:
            short = short.removeprefix(space)
        return short if short.casefold() in self._folded else name

    def keys(self, name: str) -> list[str]:
        """The names of a tool's arguments, in the order of its schema."""
        return list(self._schema(name))

    def only_fit(self, arguments: Json) -> str | None:
        """The only tool that takes these arguments, for a call with a number instead of a name."""
        fitting = [name for name, properties in self._properties.items() if arguments.keys() <= properties.keys()]
        if len(self._properties) == 1:
            return next(iter(self._properties))
        return fitting[0] if len(fitting) == 1 else None

    def coerce(self, name: str, key: str, written: str, untyped: Untyped) -> Any:
        """Convert a text to the type in the tool's schema; the text itself where it is not of that type."""
        types = set(_types(self._schema(name).get(key)))
        if not types:
            return untyped(written)
        text = written.strip()
        for kind, read in _READERS:
            if kind in types:
                try:
                    return read(text)
                except (ValueError, OverflowError):
                    continue
        return written

    def _schema(self, name: str) -> Json:
        return self._properties.get(self.resolve(name), {})

    def _add(self, entry: object) -> None:
        if not isinstance(entry, dict):
            return
        function = entry.get("function", entry)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return
        parameters = function.get("parameters") or function.get("input_schema") or {}
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        self._properties[function["name"]] = properties if isinstance(properties, dict) else {}


def _types(schema: object, depth: int = 0) -> Iterator[str]:
    """The JSON types that a schema allows. Unknown names of types are ignored."""
    if not isinstance(schema, dict) or depth > 8:
        return
    kinds = schema.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if isinstance(kind, str):
            yield from _kind(kind)
    for choice in ("anyOf", "oneOf", "allOf"):
        for option in schema[choice] if isinstance(schema.get(choice), list) else ():
            yield from _types(option, depth + 1)
    if kinds is None and isinstance(schema.get("enum"), list):
        yield from {_ENUM[type(value)] for value in schema["enum"] if type(value) in _ENUM}


def _kind(written: str) -> Iterator[str]:
    if written == "string" or written in dict(_READERS):
        yield written
        return
    yield from (kind for alias, kind in _ALIASES if written.lower().startswith(alias))


def _null(text: str) -> None:
    if text.lower() not in ("null", "none"):
        raise ValueError(text)


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text.partition(".")[0])


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return _integer(text)
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _object(text: str) -> Json:
    value = container(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _array(text: str) -> list[Any]:
    value = container(text)
    if not isinstance(value, list):
        raise ValueError(text)
    return value


def container(text: str) -> Any:
    """Parse an object or array, also with quotes escaped once too often. Raises ValueError."""
    try:
        return parsed(text)
    except ValueError:
        if '\\"' not in text:
            raise
    try:
        return parsed(json.loads(f'"{text}"', strict=False))
    except (ValueError, RecursionError):
        raise ValueError(text) from None


_ENUM = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}
_READERS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("null", _null),
    ("integer", _integer),
    ("number", _number),
    ("boolean", _boolean),
    ("object", _object),
    ("array", _array),
)
