"""Read untrusted paths and files within limits; a refusal says what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gate.errors import CheckpointError
from gate.types import Json

JSON_LIMIT = 64 * 2**20
"""Bytes of a JSON file that is read; the largest tokenizer.json has some 35 MB."""


def path_named(text: str) -> Path | None:
    """The file or folder of this name; None where there is none, also for names that none can have."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, no such user, a NUL
        return None


def folder_named(text: str) -> Path | None:
    """The folder of this name, or None."""
    path = path_named(text)
    return path if path is not None and path.is_dir() else None


def read_object(path: Path) -> Json:
    """A JSON object. Raises CheckpointError."""
    value = read_value(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: must be a JSON object")
    return value


def read_value(path: Path) -> Any:
    """A JSON file. Raises CheckpointError."""
    try:
        return json.loads(read_text(path, JSON_LIMIT))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot be read as JSON: {error}") from error


def read_text(path: Path, limit: int) -> str:
    """A text file of at most `limit` bytes: never a pipe, a device or more than that. Raises CheckpointError."""
    if not path.exists():
        raise CheckpointError(f"{path.name} is missing")
    if not path.is_file():
        raise CheckpointError(f"{path.name} is not a regular file")
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise CheckpointError(f"{path.name} is larger than {limit // 2**20} MiB")
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}") from error
