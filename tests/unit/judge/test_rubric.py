"""A rubric is read whole or refused with its file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.errors import CaseError
from gate.judge import rubric
from tests import rubrics


def test_a_rubric_has_its_scale_and_anchors(tmp_path: Path) -> None:
    rubrics.write(tmp_path, votes=3)
    found = rubric.load("short", tmp_path)
    assert (found.lowest, found.highest, found.votes, found.bar) == (0, 3, 3, 0.6)
    assert len(found.anchors) == 44
    assert found.scale[0].example.startswith("I would be happy")


def test_its_digest_changes_with_either_file(tmp_path: Path) -> None:
    rubrics.write(tmp_path)
    seen = {rubric.load("short", tmp_path).digest}
    for name in ("short.toml", "short.jsonl"):
        path = tmp_path / "rubrics" / name
        path.write_text(path.read_text().replace("Question 1?", "Question 1!").replace("slop", "slops"))
        seen.add(rubric.load("short", tmp_path).digest)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("bar = 0.6", "bar = 0", "bar"),
        ("bar = 0.6", "bar = true", "bar"),
        ("votes = 1", "votes = 2", "votes"),
        ("votes = 1", "votes = 11", "votes"),
        ("bar = 0.6", "bar = 0.6\nbars = 1", "bars: unknown key: did you mean bar"),
        ("value = 3", "value = 5", "each one above the last"),
        ("value = 3", 'value = "3"', r"score\[3\].value: expected a whole number, found \"3\""),
        ('means = "slop"', 'means = " "', "means"),
        ('about = "Short and direct."', "", "about"),
        ("bar = 0.6", "bar =", "cannot be read"),
    ],
)
def test_a_bad_rubric_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    rubrics.write(tmp_path)
    path = tmp_path / "rubrics/short.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CaseError, match=why):
        rubric.load("short", tmp_path)


def test_too_few_anchors_are_refused(tmp_path: Path) -> None:
    rubrics.write(tmp_path)
    rows = rubrics.anchors()
    path = tmp_path / "rubrics/short.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:39]))
    with pytest.raises(CaseError, match="39 anchors"):
        rubric.load("short", tmp_path)
    path.write_text("".join(json.dumps(row | {"score": 3}) + "\n" for row in rows))
    with pytest.raises(CaseError, match="0 of them below"):
        rubric.load("short", tmp_path)
    path.write_text("".join(json.dumps(row | {"score": row["score"] or 1}) + "\n" for row in rows))
    with pytest.raises(CaseError, match="no anchor has the score 0"):
        rubric.load("short", tmp_path)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"id": "x"}, "asked: is missing"),
        ({"id": "x", "asked": "?", "answer": "", "score": 1}, "answer: expected a text that is not blank"),
        ({"id": "x", "asked": "?", "answer": "a", "score": 4}, "scale 0 to 3"),
        ({"id": "x", "asked": "?", "answer": "a", "score": True}, "score: expected a whole number"),
        ({"id": "a00", "asked": "?", "answer": "a", "score": 1}, "twice"),
    ],
)
def test_a_bad_anchor_is_refused_by_its_line(tmp_path: Path, row: dict[str, object], why: str) -> None:
    rubrics.write(tmp_path)
    with (tmp_path / "rubrics/short.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    with pytest.raises(CaseError, match=rf"short\.jsonl:45: .*{why}"):
        rubric.load("short", tmp_path)


def test_a_missing_rubric_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"rubric 'none': .*none\.toml"):
        rubric.load("none", tmp_path)
