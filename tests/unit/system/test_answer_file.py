"""Answers of a teacher outlive a kill, and what is not an answer is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from gate.system.answer_file import AnswerFile, AnswerFileError


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    asked: str
    answer: list[str]


def test_what_was_kept_is_known_again_and_half_a_line_is_not(tmp_path: Path) -> None:
    path = tmp_path / "in/answers.jsonl"
    file = AnswerFile(path, Line)
    assert file.get("a") is None
    assert file.keep("a", ["é"]) == file.get("a") == ["é"]
    with path.open("a") as stream:
        stream.write('{"asked": "b", "ans')
    again = AnswerFile(path, Line)
    assert (again.get("a"), again.get("b")) == (["é"], None)
    again.keep("b", [])
    assert AnswerFile(path, Line).get("b") == []


@pytest.mark.parametrize("line", ["{}", "3", "no", '{"asked": "a", "answer": "text"}', '{"asked": "a", "answer": [1]}'])
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"asked": "a", "answer": []}}\n{line}\n')
    with pytest.raises(AnswerFileError, match=r"a\.jsonl:2: "):
        AnswerFile(tmp_path / "a.jsonl", Line)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(AnswerFileError, match=r"a\.jsonl: cannot be read"):
        AnswerFile(tmp_path / "a.jsonl", Line)
    (tmp_path / "file").write_text("")
    file = AnswerFile(tmp_path / "b.jsonl", Line)
    file._path = tmp_path / "file/b.jsonl"
    with pytest.raises(AnswerFileError, match="cannot be written"):
        file.keep("a", [])
