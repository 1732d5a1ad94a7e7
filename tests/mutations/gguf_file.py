"""A GGUF file taken apart and written again: keys and tensors as a test wants them, in a second."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from gate.checkpoints.probes.gguf import SCALARS, STRING, Cursor

ALIGNMENT = 32


class GgufFile:
    """`keys` maps a name to [type, raw bytes]; `tensors` a name to [dimensions as stored, type, data]."""

    def __init__(self, path: Path) -> None:
        self.keys: dict[str, list[Any]] = {}
        self.tensors: dict[str, list[Any]] = {}
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            cursor = Cursor(data)
            cursor.at = 8
            count, fields = cursor.number("Q"), cursor.number("Q")
            for _ in range(fields):
                name, kind, begin = cursor.text(), cursor.number("I"), cursor.at
                cursor.value(kind)
                self.keys[name] = [kind, data[begin : cursor.at]]
            self._read_tensors(cursor, data, count)

    def _read_tensors(self, cursor: Cursor, data: mmap.mmap, count: int) -> None:
        told = []
        for _ in range(count):
            name, dimensions = cursor.text(), cursor.number("I")
            shape = [cursor.number("Q") for _ in range(dimensions)]
            told.append((name, shape, cursor.number("I"), cursor.number("Q")))
        start = -(-cursor.at // ALIGNMENT) * ALIGNMENT
        for name, shape, kind, offset in told:
            block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
            numbers = 1
            for dimension in shape:
                numbers *= dimension
            length = numbers // block * size
            self.tensors[name] = [shape, kind, bytearray(data[start + offset : start + offset + length])]

    def text(self, name: str) -> str:
        return bytes(self.keys[name][1][8:]).decode()

    def set_text(self, name: str, text: str) -> None:
        self.keys[name] = [STRING, struct.pack("<Q", len(text.encode())) + text.encode()]

    def set_number(self, name: str, value: float, kind: int | None = None) -> None:
        """Set a scalar, of the type it has or of `kind` (4 uint32, 6 float32, 7 bool)."""
        kind = self.keys[name][0] if kind is None else kind
        self.keys[name] = [kind, struct.pack("<" + SCALARS[kind], value)]

    def set_in_array(self, name: str, number: int, value: int) -> None:
        """Set one element of an array of 32-bit integers."""
        raw = bytearray(self.keys[name][1])
        struct.pack_into("<i", raw, 12 + 4 * number, value)
        self.keys[name][1] = bytes(raw)

    def drop_first(self, name: str) -> None:
        """Drop the first element of an array of texts."""
        kind, raw = self.keys[name]
        inner, count, length = struct.unpack_from("<IQQ", raw)
        self.keys[name] = [kind, struct.pack("<IQ", inner, count - 1) + raw[20 + length :]]

    def write(self, path: Path) -> Path:
        head = [b"GGUF", struct.pack("<IQQ", 3, len(self.tensors), len(self.keys))]
        for name, (kind, raw) in self.keys.items():
            head += [_string(name), struct.pack("<I", kind), raw]
        offset = 0
        for name, (shape, kind, data) in self.tensors.items():
            head += [_string(name), struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)]
            offset += -(-len(data) // ALIGNMENT) * ALIGNMENT
        with path.open("wb") as stream:
            stream.write(b"".join(head))
            for _, _, data in self.tensors.values():
                stream.write(bytes(-stream.tell() % ALIGNMENT))
                stream.write(data)
            stream.write(bytes(-stream.tell() % ALIGNMENT))
        return path


def rewritten(source: Path, target: Path, change: Callable[[GgufFile], object]) -> Path:
    """The GGUF with a change applied."""
    file = GgufFile(source)
    change(file)
    return file.write(target)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
