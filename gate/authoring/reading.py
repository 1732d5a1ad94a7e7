"""The text of a file of traffic or chats, or of standard input: whole, or line by line where it is long."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gate.errors import CaseError
from gate.system import jsonl

MAX_CHARACTERS = 64 * 2**20
"""Of a file that is read as a whole, and of each line of a longer one."""
SAVED = '{"at":'
"""What a line of gate proxy begins with."""


def text(name: str) -> tuple[str | Iterator[str], str]:
    """(text, name) of a file or of standard input; the lines where it is too long to be one JSON value."""
    label = "stdin" if name == "-" else name
    try:
        stream = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115 - read on, line by line
        data = stream.read(MAX_CHARACTERS + 1)
    except OSError as error:
        raise CaseError(f"{name}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_CHARACTERS:
        return _streamed(data, stream, label), label
    return _unicode(data, label).removeprefix("\ufeff"), label


def _streamed(data: bytes, stream: IO[bytes], name: str) -> Iterator[str]:
    """The lines of what was read and of what comes; of one that is too long only so much as to tell that it is."""
    head = io.BytesIO(data + stream.readline(MAX_CHARACTERS))
    for part in (head, stream):
        for line in jsonl.bounded_lines(part, MAX_CHARACTERS):
            yield _unicode(line, name)


def _unicode(data: bytes, name: str) -> str:
    """The text, also where a kill has cut the last line within a character. Raises CaseError for what is no UTF-8."""
    whole, newline, last = data.rpartition(b"\n")
    cut = last.startswith(SAVED.encode()) and not last.endswith(b"}")
    try:
        return (whole + newline).decode() + last.decode(errors="replace" if cut else "strict")
    except UnicodeDecodeError as error:
        raise CaseError(f"{name}: is not UTF-8 (byte {error.start}): save it as UTF-8") from error
