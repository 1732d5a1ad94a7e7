"""Slow answers kept beside what is made of them, a line an answer: a stopped run goes on where it was, and a second
run of the same command builds the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from gate.errors import CaseError, GateError
from gate.system import disk, jsonl, typed


class AnswerFileError(GateError):
    """Answers cannot be kept, or a line is none."""


class AnswerFile:
    """The answers of a file by what was asked. Half a last line, which a kill leaves, is cut off."""

    def __init__(self, path: Path, line: type[msgspec.Struct]) -> None:
        """`line`: a Struct with `asked`, a text, and `answer`. Raises AnswerFileError that names file and line."""
        self._path = path
        self._known: dict[str, Any] = {}
        try:
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) < len(data):
                disk.cut(path, len(whole))
            for number, value in jsonl.parsed(whole.decode(), where=path):
                read: Any = typed.converted(value, line, where=f"{path}:{number}", error=AnswerFileError)
                self._known[read.asked] = read.answer
        except (OSError, UnicodeDecodeError, CaseError) as error:
            raise AnswerFileError(f"{path}: cannot be read: {error}; delete it to ask again") from error

    def get(self, asked: str) -> Any:
        """What was answered; None where this was not asked."""
        return self._known.get(asked)

    def keep(self, asked: str, answer: Any) -> Any:
        """Keep an answer, and return it. Raises AnswerFileError."""
        self._known[asked] = answer
        line = {"asked": asked, "answer": msgspec.to_builtins(answer)}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            disk.add(self._path, json.dumps(line, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise AnswerFileError(f"{self._path}: cannot be written: {error}; what is there is kept") from error
        return answer
