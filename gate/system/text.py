"""Text for a person to read: JSON values and paths on one line, and nothing that steers a terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any


def join(path: str, key: str) -> str:
    """The path of an object's key."""
    return f"{path}.{key}" if key.removeprefix("$").isidentifier() and len(key) <= 40 else f"{path}[{show(key, 40)}]"


def show(value: Any, limit: int = 60) -> str:
    """Any object as JSON on one line of at most `limit` characters."""
    text = ""
    try:
        for chunk in json.JSONEncoder(ensure_ascii=False).iterencode(value):
            text += chunk
            if len(text) > limit:
                break
    except (TypeError, ValueError, RecursionError):
        text += f"<{type(value).__name__}, not JSON>"
    return one_line(text, limit)


def one_line(text: str, limit: int = 200) -> str:
    """A text of at most `limit` characters with everything unprintable escaped."""
    cut = text[: limit + 1]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def clean(text: str) -> str:
    """Text that cannot steer a terminal: control, format and surrogate characters become visible escapes.

    Nor a GitHub runner, which takes `##[` anywhere in a line for a command (actions/runner, ActionCommand.cs).
    """
    text = text.replace("##[", "##\\[")
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escaped(c) for c in text)


def lines(text: str) -> str:
    """Text of several lines, each of which cannot steer a terminal."""
    return "\n".join(clean(line) for line in text.split("\n"))


def parted(one: Sequence[object], other: Sequence[object]) -> int:
    """The first place at which two texts or lists differ; where one of them ends, when it begins the other."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode() if character != "\t" else " "
