"""An expectation that redaction has broken is refused, and a file of traffic is read whatever its size and end."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gate.authoring import reading
from gate.errors import CaseError
from gate.types import Json
from tests.project import TOOL
from tests.unit.authoring.test_sources import a_pair, called
from tests.unit.cli.test_add import add, here, pair, rows

__all__ = ["here"]
ASKED = "Send the digest of 12 pages to ana@firm.org, and run it from /home/ana/jobs."


def called_with(command: Any) -> str:
    return json.dumps({"calls": [{"name": "terminal", "arguments": {"command": command}}]})


@pytest.mark.parametrize(
    "command",
    [
        {"$regex": "(?i)ana@.*"},
        {"$regex": r".*\bana\b.*"},
        {"$regex": "[^@]+@[^@]+"},
        {"$regex": r"^\S+@\S+$"},
        {"$regex": "/home/.*"},
        {"$contains": "@firm"},
        {"$any": ["ls", "mail ana"]},
        {"$text": "ANA FIRM"},
        "mail to firm",
        {"$contains": "/home/"},
        "mail bob@firm.org",
    ],
    ids=range(11),
)
def test_a_call_that_expects_what_was_redacted_is_refused(command: Any) -> None:
    with pytest.raises(CaseError, match=r"expect\.calls\[0\]\.arguments\.command.*: expects ") as error:
        add("live.jsonl", "--pair", pair(ASKED), "--expect", called_with(command))
    told = str(error.value)
    assert error.value.status == 4
    assert "EMAIL" in told
    assert "messages[0].content" in told
    assert "<EMAIL_1>" in told
    assert "placeholder" in told
    assert not [each for each in ("ana@", "firm", "bob") if each in told]
    assert rows() == []


@pytest.mark.parametrize(
    "answer", [{"contains": ["ana@firm"]}, {"contains": [["x", "ana"]]}, {"regex": "@firm"}, {"json": {"to": "ana"}}]
)
def test_so_is_an_answer_that_does(answer: Json) -> None:
    with pytest.raises(CaseError, match=r"expect\.answer\."):
        add("live.jsonl", "--pair", pair(ASKED), "--expect", json.dumps({"answer": answer}))


@pytest.mark.parametrize(
    "command",
    [
        "mail ana@firm.org",
        {"$regex": r"mail ana@firm\.org.*"},
        {"$regex": ".*"},
        {"$regex": r"\d+ .*"},
        {"$contains": "<EMAIL_1>"},
        "cat /home/ana/jobs/x",
        "cat /home/bob/x",
        "anagram",
        {"$anything": True},
    ],
    ids=range(9),
)
def test_one_that_still_fits_is_taken(command: Any) -> None:
    assert add("live.jsonl", "--pair", pair(ASKED), "--expect", called_with(command)) == 0


def test_a_word_that_the_question_still_has_is_no_part_of_what_is_gone() -> None:
    asked = "Write to Ana at the firm: ana@firm.org"
    assert add("live.jsonl", "--pair", pair(asked), "--expect", '{"answer": {"contains": ["Ana", "firm"]}}') == 0


def test_without_a_secret_nothing_is_held_against_an_expectation() -> None:
    assert add("live.jsonl", "--pair", pair(), "--expect", called_with({"$regex": "(?i)ana@.*"})) == 0


@pytest.mark.parametrize(
    "schema", [{"pattern": "^[^@]+@[^@]+$"}, {"minLength": 11}, {"enum": ["ana@firm.org", "bo@firm.org"]}]
)
def test_a_tool_that_takes_no_placeholder_is_said_to_be_redactions_doing(schema: Json) -> None:
    row = a_pair(called(json.dumps({"command": "ana@firm.org"})))
    row["request"]["messages"] = [{"role": "user", "content": ASKED}]
    tool = json.loads(json.dumps(TOOL))
    tool["function"]["parameters"]["properties"]["command"] |= schema
    row["request"]["tools"] = [tool]
    Path("pair.json").write_text(json.dumps(row))
    if "enum" in schema:  # the tool's own words are redacted alike
        assert add("live.jsonl", "--pair", "pair.json") == 0
        return
    with pytest.raises(CaseError, match=r"redaction did this; redacted: EMAIL .*loosen the tool's schema"):
        add("live.jsonl", "--pair", "pair.json")


def test_what_was_wrong_before_is_not_blamed_on_redaction() -> None:
    with pytest.raises(CaseError) as error:
        add("live.jsonl", "--pair", pair(ASKED), "--expect", called_with(5))
    assert "redaction" not in str(error.value)


def test_half_a_line_that_a_kill_has_left_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.dumps({"at": "2026-11-20T10:00:00Z", **a_pair()}, separators=(",", ":"))
    Path("traffic.jsonl").write_bytes(f"{whole}\n".encode() + '{"at":"2026","request":{"é'.encode()[:-1])
    assert add("live.jsonl", "--pair", "traffic.jsonl", "--line", "1") == 0
    with pytest.raises(CaseError, match=r"traffic.jsonl:2: half of a line, as a kill of gate proxy leaves it"):
        add("live.jsonl", "--pair", "traffic.jsonl", "--line", "2")
    assert add("other.jsonl", "--pair", "traffic.jsonl", "--all", "--anyway", "x") == 1
    assert "refused: traffic.jsonl:2: half of a line" in capsys.readouterr().out


@pytest.mark.parametrize("stdin", [False, True])
def test_a_long_file_is_read_line_by_line(stdin: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CHARACTERS", 2000)
    monkeypatch.setattr("gate.authoring.sources.MAX_CHARACTERS", 2000)
    asked = [a_pair() for _ in range(20)]
    for number, row in enumerate(asked):
        row["request"]["messages"] = [{"role": "user", "content": f"Which files are in folder number {number}?"}]
    text = "\n".join([*(json.dumps(row) for row in asked), json.dumps({"x": "y" * 9000}), json.dumps(asked[0])])
    Path("traffic.jsonl").write_text(text)

    def given(*options: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return add("live.jsonl", "--pair", "-" if stdin else "traffic.jsonl", *options)

    assert given("--line", "17") == 0
    assert rows()[0]["messages"][0]["content"] == "Which files are in folder number 16?"
    assert rows()[0]["source"].startswith("request and response in ")
    assert given("--line", "22", "--anyway", "x") == 0
    with pytest.raises(CaseError, match=":21: is longer than 2,000 characters"):
        given("--line", "21")
    with pytest.raises(CaseError, match="--line 23: there is none"):
        given("--line", "23")
    with pytest.raises(CaseError, match="holds many of them: name one with --line N"):
        given()
