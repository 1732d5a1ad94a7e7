"""What a person or a teacher says to a miss: taken where the case itself would take it; pairs for DPO."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.errors import CaseError
from tests.unit.repair.test_build import CASES, SLOTS, a_report, asked, call, manifest, project, repair, rows


def test_words_are_needed_where_no_phrase_has_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slots = SLOTS.partition('[[phrase]]\ncategory = "no-tool"')[0]
    a_report(project(tmp_path, slots=slots), {"thanks": "model"})
    assert repair(tmp_path, "--plan") == 1
    assert "needs an answer in words" in capsys.readouterr().out
    (tmp_path / "words.jsonl").write_text(
        '{"id": "thanks", "answer": "Any time."}\n{"id": "thanks", "asked": "ok I am done, cheers"}\n'
    )
    assert repair(tmp_path, "--answers", str(tmp_path / "words.jsonl")) == 0
    (row,) = rows(tmp_path)
    assert [each["content"] for each in row["messages"]] == ["ok I am done, cheers", "Any time."]


def test_an_answer_that_its_case_calls_a_miss_is_refused_by_line(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"wide": "model"})
    (tmp_path / "words.jsonl").write_text(json.dumps({"id": "wide", "calls": [call("terminal", command="du")]}) + "\n")
    with pytest.raises(CaseError, match=r"words\.jsonl:1: wide would call this answer a miss"):
        repair(tmp_path, "--answers", str(tmp_path / "words.jsonl"))


def test_pairs_hold_what_was_expected_and_what_was_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_report(project(tmp_path), {"status": "model", "wide": "model", "thanks": "model"}, said="no idea")
    (tmp_path / "words.jsonl").write_text('{"id": "thanks", "answer": "Any time."}\n')
    assert repair(tmp_path, "--pairs", "--answers", str(tmp_path / "words.jsonl")) == 0
    (pair,) = [json.loads(line) for line in (tmp_path / "out/pairs.jsonl").open()]
    assert pair["prompt"] == CASES[0]["messages"]
    assert pair["chosen"]["tool_calls"][0]["function"] == call("terminal", command="git status")
    assert pair["rejected"] == {"role": "assistant", "content": "no idea"}
    out = capsys.readouterr().out
    assert "1 pairs: the right answer is not known" in out  # a pattern names no call
    assert "1 pairs: what the model said is what the case expects" in out  # words were wanted, and words came


def test_a_teacher_is_believed_where_its_case_would_take_its_answer(tmp_path: Path) -> None:
    a_report(project(tmp_path, slots=SLOTS.replace('name = "terminal"', 'name = "open"').replace("command =", "url =")),
             {"wide": "model"})  # fmt: skip
    told = {"requests": ["how full is my drive", "any space left on it?", "Have a look at the disk!"]}
    right, wrong = ([call("terminal", command=each)] for each in ("df -h", "rm -rf /"))
    script = [
        {"has": "Say the request below", "content": json.dumps(told)},
        {"user": "how full is my drive", "calls": right},
    ]
    script += [{"user": "any space left on it?", "calls": wrong}, {"user": "Have a look at the disk!", "calls": right}]
    (tmp_path / "teacher.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in script))
    assert repair(tmp_path, "--teacher", f"scripted:{tmp_path / 'teacher.jsonl'}", "--keep", "0") == 0
    (row,) = rows(tmp_path)
    assert asked(row) == "how full is my drive"
    assert row["messages"][-1]["tool_calls"][0]["function"] == right[0]
    reasons = {each["why"]: each["rows"] for each in manifest(tmp_path)["dropped"]}
    assert reasons == {"the teacher's answer is not what the case expects": 1, "asks it in the same words": 1}
    assert len((tmp_path / "out.teacher.jsonl").read_text().splitlines()) == 4
