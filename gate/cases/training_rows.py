"""Training rows as mlx-lm reads them: the files of a data set, the format of a row, the conversation in it.

Source: mlx_lm/tuner/datasets.py (0.32.2), load_local_dataset and create_dataset.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.errors import CaseError
from gate.system import jsonl
from gate.types import Json

SPLITS = ("train", "valid", "test")
"""A folder's files that mlx-lm reads; it passes over every other."""
FORMATS = {"completions": ("prompt", "completion"), "chat": ("messages",), "text": ("text",)}
"""The keys of each format, in the order in which mlx-lm looks for them."""
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a training file."""

    path: Path
    number: int
    value: Any
    """The parsed line; None where there is a fault."""
    fault: str
    """Why the line is not a strict JSON object; empty when it is one."""

    @property
    def where(self) -> str:
        return f"{self.path}:{self.number}"


def files(train: Path) -> list[Path]:
    """The file itself, or those of a folder that mlx-lm reads."""
    if not train.is_dir():
        return [train]
    return [path for split in SPLITS if (path := train / f"{split}.jsonl").is_file()]


def read(path: Path) -> Iterator[Row]:
    """Every line of a file; what is not a strict JSON object, or cannot be read, is a row with a fault."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield _row(path, number, line)
    except OSError as error:
        yield Row(path, 0, None, f"cannot be read: {error.strerror}")


def form(value: Any) -> str:
    """The format that mlx-lm sees in a row; empty where it sees none."""
    if not isinstance(value, dict):
        return ""
    return next((name for name, keys in FORMATS.items() if all(key in value for key in keys)), "")


def messages(value: Json, format_: str) -> list[Any]:
    """The conversation of a row as mlx-lm hands it to the template; empty for text."""
    if format_ == "completions":
        return [
            {"role": "user", "content": value.get("prompt")},
            {"role": "assistant", "content": value.get("completion")},
        ]
    found = value.get("messages") if format_ == "chat" else None
    return found if isinstance(found, list) else []


def calls(message: Any) -> list[tuple[Any, Any]]:
    """(name, arguments) of each tool call of a message, as they stand; the flat form without "function" counts, too."""
    found = message.get("tool_calls") if isinstance(message, dict) else None
    objects = [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []
    functions = [call["function"] if isinstance(call.get("function"), dict) else call for call in objects]
    return [(function.get("name"), function.get("arguments")) for function in functions]


def parsed(arguments: Any) -> Any:
    """Arguments as an object: a text is parsed once, and stays a text where it is not JSON."""
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments


def shown(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"… and {more} more"] if more > 0 else list(lines)


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        value = jsonl.loads(line.decode(), where="")
    except UnicodeDecodeError as error:
        return Row(path, number, None, f"is not UTF-8 (byte {error.start} of the line)")
    except CaseError as error:
        fault = "is empty, and mlx-lm stops at it" if not line.strip() else str(error).removeprefix(": ")
        return Row(path, number, None, fault)
    if not isinstance(value, dict):
        return Row(path, number, None, f"must be a JSON object, found {type(value).__name__}")
    return Row(path, number, value, "")
