"""Child: the header of a GGUF file, every length checked against the file before it is followed.

Source: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md). The gguf package's own reader makes several
numpy arrays of each token and takes seconds for one vocabulary; here its constants are used, not its reader.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, TokenType

from gate.system import sandbox
from gate.types import Json

LONG = 64
"""Elements above which an array is told by its digest."""
ORDINARY = (TokenType.NORMAL, TokenType.BYTE)
SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
"""GGUF's value types by number, as struct's letters."""
STRING, ARRAY = 8, 9
DEEP = 4
"""Arrays in arrays in arrays …"""


class Cursor:
    """A place in a mapped file; a step beyond its end raises."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def number(self, letter: str) -> Any:
        (value,) = struct.unpack_from("<" + letter, self.data, self.at)
        self.at += struct.calcsize("<" + letter)
        return value

    def text(self) -> str:
        length = self.number("Q")
        if length > len(self.data) - self.at:
            raise ValueError(f"a text of {length} bytes at byte {self.at} does not fit into the file")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def value(self, type_: int, depth: int = 0) -> Any:
        if type_ == STRING:
            return self.text()
        if type_ == ARRAY and depth < DEEP:
            return self._array(depth)
        if type_ not in SCALARS:
            raise ValueError(f"unknown value type {type_} at byte {self.at}")
        return self.number(SCALARS[type_])

    def _array(self, depth: int) -> list[Any]:
        inner, count = self.number("I"), self.number("Q")
        smallest = 8 if inner in (STRING, ARRAY) else struct.calcsize("<" + SCALARS.get(inner, "B"))
        if count * smallest > len(self.data) - self.at:
            raise ValueError(f"an array of {count} elements at byte {self.at} does not fit into the file")
        if inner in SCALARS:
            values = struct.unpack_from(f"<{count}{SCALARS[inner]}", self.data, self.at)
            self.at += count * smallest
            return list(values)
        return [self.value(inner, depth + 1) for _ in range(count)]


def header(request: Json) -> Json:
    """{"metadata", "tokens", "texts", "tensors": [name, type, shape, first byte, bytes]} of {"path"}."""
    with open(request["path"], "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = Cursor(data)
        _, version, count, fields = (cursor.number(letter) for letter in "IIQQ")
        values = _fields(cursor, fields)
        tensors = _tensors(cursor, count, alignment=values.get("general.alignment", 32))
    texts = values.get("tokenizer.ggml.tokens") or []
    types = values.get("tokenizer.ggml.token_type") or []
    kinds = zip(texts, types, strict=False)
    return {
        "metadata": {name: _short(value) for name, value in values.items()} | {"GGUF.version": version},
        "tokens": {text: [number, type_] for number, (text, type_) in enumerate(kinds) if type_ not in ORDINARY},
        "texts": _named(values, texts),
        "tensors": tensors,
    }


def _fields(cursor: Cursor, count: int) -> Json:
    values: Json = {}
    for _ in range(count):
        name = cursor.text()
        if name in values:
            raise ValueError(f"key {name!r} stands twice")
        values[name] = cursor.value(cursor.number("I"))
    return values


def _tensors(cursor: Cursor, count: int, *, alignment: Any) -> list[list[Any]]:
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"general.alignment is {alignment!r}, not a power of two")
    told = [_tensor(cursor) for _ in range(count)]
    names = {name for name, *_ in told}
    if len(names) != len(told):
        raise ValueError("a tensor's name stands twice")
    data = -(-cursor.at // alignment) * alignment
    return [[name, type_, shape, data + offset, size] for name, type_, shape, offset, size in told]


def _tensor(cursor: Cursor) -> tuple[str, str, list[int], int, int]:
    name, dimensions = cursor.text(), cursor.number("I")
    if dimensions > 4:
        raise ValueError(f"{name[:80]!r} has {dimensions} dimensions")
    shape = [cursor.number("Q") for _ in range(dimensions)][::-1]
    type_, offset = GGMLQuantizationType(cursor.number("I")), cursor.number("Q")
    block, size = GGML_QUANT_SIZES[type_]
    if shape and shape[-1] % block:
        raise ValueError(f"{name[:80]!r} has rows of {shape[-1]}, which {type_.name} cannot hold")
    return name, type_.name, shape, offset, math.prod(shape) // block * size


def _named(values: Json, texts: list[str]) -> dict[str, str]:
    prefix, suffix = "tokenizer.ggml.", "_token_id"
    ids = {name: n for name, n in values.items() if name.startswith(prefix) and name.endswith(suffix)}
    return {name.removeprefix(prefix): texts[number] for name, number in ids.items() if 0 <= number < len(texts)}


def _short(value: Any) -> Any:
    if isinstance(value, list) and len(value) > LONG:
        return {"array": len(value), "sha256": hashlib.sha256(json.dumps(value).encode()).hexdigest()}
    return value


if __name__ == "__main__":
    sandbox.answer(header)
