"""JSON and JSON Lines files: strict reading with file:line in every error, writing that is whole or absent."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from gate.errors import CaseError


def read(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) of a JSON Lines file; empty lines are passed over.

    Raises CaseError with file:line for anything that is not strict JSON: NaN, a repeated key, bad UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CaseError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    yield from parsed(text, where=path)


def parsed(text: str, *, where: Path) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of the text of a JSON Lines file. Raises CaseError with file:line."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, loads(line, where=f"{where}:{number}")


def bounded_lines(stream: IO[bytes], most: int) -> Iterator[bytes]:
    """The lines of a stream; of one longer than `most` bytes only one byte more than these, to tell that it is."""
    while line := stream.readline(most + 1):
        rest = line
        while len(rest) > most and not rest.endswith(b"\n"):
            rest = stream.readline(most + 1)
        yield line


def loads(text: str, *, where: str) -> Any:
    """Parse strict JSON. Raises CaseError that begins with `where`."""
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_refuse_repeated
        )
    except json.JSONDecodeError as error:
        raise CaseError(f"{where}: not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise CaseError(f"{where}: not JSON: {error or 'nested too deeply'}") from error


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut. Raises OSError."""
    write_parts(path, (text,))


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """`write_whole` of a text that need not be in memory at once. Raises OSError, and what the parts raise."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is beyond every double")
    return value


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(n for n in names if names.count(n) > 1)!r} stands twice")
    return value
