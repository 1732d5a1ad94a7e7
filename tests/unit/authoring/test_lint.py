"""`gate lint-cases` finds what is wrong with case files, and tells nothing of what is held out."""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from gate.cli import cases as lint_cases
from gate.errors import CaseError
from gate.registry import contaminated
from gate.types import Json
from tests.project import TOOL, a_case

PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
READ = {"type": "function", "function": {"name": "read", "parameters": PATH}}
LONG = "Please show me everything that lies in the folder of the {} project."


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fixtures/tools").mkdir(parents=True)
    (tmp_path / "fixtures/cases").mkdir()
    (tmp_path / "fixtures/tools/tools.json").write_text(json.dumps([TOOL]))
    (tmp_path / "fixtures/tools/both.json").write_text(json.dumps([TOOL, READ]))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "fixtures/cases"


def lint(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    lint_cases.add_parsers(parser.add_subparsers())
    given = parser.parse_args(["lint-cases", *arguments])
    status: int = given.run(given)
    return status


def write(folder: Path, *rows: Any, name: str = "c.jsonl") -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def asks(name: str, text: str, **more: Any) -> Json:
    return a_case(name, messages=[{"role": "user", "content": text}]) | more


GOOD = [a_case("pwd"), a_case("whoami", split="held-out"), a_case("thanks", calls=[])]


def test_a_good_file_has_no_finding(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, *GOOD)
    assert lint() == 0
    out = capsys.readouterr().out
    assert "0 errors, 0 warnings in 1 files" in out
    assert [line.split() for line in out.splitlines() if line.startswith("c.jsonl")] == [
        ["c.jsonl", "3", "1", "0", "0"]
    ]


def test_this_projects_own_cases_have_no_error(request: pytest.FixtureRequest) -> None:
    assert lint("--fixtures", str(request.config.rootpath / "fixtures")) == 0


EXPECTED = {"calls": [{"name": "terminal", "arguments": {"command": {"$any": [{"$text": "ls"}]}}}]}
NEVER = {"calls": [{"name": "terminal", "arguments": {"command": {"$number": 5}}}]}
JSON = {"answer": {"json": {"a": {"$any": ["x", 1]}}, "json_schema": {"properties": {"a": {"type": "integer"}}}}}
WRONG_JSON = {"answer": {"json": {"a": "x"}, "json_schema": {"properties": {"a": {"type": "integer"}}}}}
CONTRADICTS = {"answer": {"contains": ["Tower", ["bridge"]], "not_contains": ["ridge"]}}
CONSISTENT = {"answer": {"contains": [["bridge", "tower"]], "not_contains": ["ridge"]}}
PRIVATE = "sk" + "-proj-" + "7aB3" * 10


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("{half", "c.jsonl:4: not JSON"),
        ({"id": "x"}, "c.jsonl:4: case: 'messages' is a required property"),
        (a_case("x", tools="unknown"), "tools 'unknown'"),
        (a_case("x", calls=[{"name": "rm", "arguments": {}}]), "is not offered"),
        (a_case("pwd") | {"messages": [{"role": "user", "content": "another one"}]}, "c.jsonl:4: "),
        (asks("x", "pwd"), "x: asks exactly what c.jsonl:1 pwd (dev) asks"),
        (asks("x", "  PWD!"), None),
        (asks("x", "pwd", split="held-out"), "x: asks exactly what c.jsonl:1 pwd (dev) asks: one is held out"),
        (asks("x", "PWD.", split="held-out"), "asks in the same words what c.jsonl:1 pwd (dev) asks: one is held out"),
        (asks("x", "x", expect=EXPECTED), None),
        (asks("x", "x", expect=NEVER), "x: its own expected answer is a miss: terminal.command: "),
        (asks("x", "x", expect=JSON), None),
        (asks("x", "x", expect=WRONG_JSON), "x: its own expected answer is a miss: answer.a: "),
        (
            asks("x", "x", expect=CONTRADICTS),
            'x: no answer can be right: contains ["bridge"] and not_contains ["ridge"]',
        ),
        (asks("x", "x", expect=CONSISTENT), None),
        (asks("x", "x", replaces="gone"), "x: replaces 'gone', which is not a case of any file"),
        (asks("x", "x", replaces="x"), "x: replaces 'x', which is itself"),
        (asks("x", "x", replaces="pwd"), None),
        (asks("x", f"use {PRIVATE}"), "x: KEY stands in messages[0].content"),
    ],
)
def test_an_error_is_told_with_its_line(
    here: Path, capsys: pytest.CaptureFixture[str], row: Any, what: str | None
) -> None:
    write(here, *GOOD, row)
    assert lint() == (1 if what else 0)
    out = capsys.readouterr().out
    assert ("error c.jsonl:4: " in out) is bool(what)
    assert (what or "") in out
    assert PRIVATE not in out


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (
            [a_case("a"), a_case("b"), a_case("c"), a_case("thanks", calls=[], split="held-out")],
            "1 of 4 cases are held out",
        ),
        ([a_case("a"), a_case("b", split="held-out")], "no case of this folder offers tools and expects none"),
        ([*GOOD, asks("x", "mail ana@firm.org")], "c.jsonl:4: x: EMAIL stands in messages[0].content"),
        (
            [asks(name, name, tools="both", split="held-out") for name in ("pwd", "whoami")] + GOOD[2:],
            "1 of 2 tools are offered and never expected: read",
        ),
        (
            [asks(name, name, tools="both", split="held-out") for name in ("pwd", "ls", "id", "df")] + GOOD[2:],
            "4 of 4 expected calls are of terminal",
        ),
        ([*GOOD, asks("x", LONG.format("heron")), asks("y", LONG.format("herons"), split="dev")], "y: asks nearly (0."),
    ],
)
def test_a_warning_is_no_error(here: Path, capsys: pytest.CaptureFixture[str], rows: list[Json], what: str) -> None:
    write(here, *rows)
    assert lint() == 0
    out = capsys.readouterr().out
    assert what in out
    assert "warn  c.jsonl" in out


def test_ids_and_questions_are_compared_across_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, *GOOD)
    write(here, asks("pwd", "something else"), asks("y", "whoami"), name="sub/d.jsonl")
    assert lint("sub/d.jsonl") == 1
    out = capsys.readouterr().out
    assert "error sub/d.jsonl:1: pwd: this id stands in c.jsonl:1, too" in out
    assert "error sub/d.jsonl:2: y: asks exactly what c.jsonl:2 whoami (held-out) asks: one is held out" in out
    assert "error c.jsonl" not in out


def test_no_tool_cases_may_stand_in_a_file_beside(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, *GOOD[:2])
    write(here, GOOD[2] | {"split": "held-out"}, name="words.jsonl")
    assert lint() == 0
    assert "0 warnings" in capsys.readouterr().out


def test_one_bad_line_hides_no_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, *GOOD, "{half", {"id": "x"}, asks("z", "pwd"))
    assert lint() == 1
    out = capsys.readouterr().out
    assert all(f"error c.jsonl:{line}: " in out for line in (4, 5, 6))


@pytest.mark.parametrize(
    "row",
    [
        asks("x", "the zebra", split="held-out", expect={"calls": [{"name": "zebra", "arguments": {}}]}),
        asks("x", "the zebra", split="held-out", expect={"answer": {"contains": ["zebra"], "not_contains": ["zebra"]}}),
        asks("x", "the zebra", split="held-out", messages=[{"role": "zebra", "content": "zebra"}]),
        asks("x", f"the zebra {PRIVATE}", split="held-out"),
        asks(
            "x", "the zebra", split="held-out", expect={"answer": {"json": "zebra", "json_schema": {"type": "integer"}}}
        ),
    ],
    ids=range(5),
)
def test_nothing_of_a_held_out_case_is_told(here: Path, capsys: pytest.CaptureFixture[str], row: Json) -> None:
    write(here, *GOOD, row)
    assert lint() == 1
    out = capsys.readouterr().out
    assert "error c.jsonl:4" in out
    assert "zebra" not in out
    assert PRIVATE not in out


def test_cases_that_a_judge_scores_need_not_be_held_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, *[asks(f"p{n}", f"{n} say hi", tools=[], expect={"answer": {"regex": "\\S"}}) for n in range(4)])
    assert lint() == 0
    assert "0 warnings" in capsys.readouterr().out


def test_an_empty_file_is_an_error(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, "")
    assert lint() == 1
    assert "holds no case" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["gone.jsonl"], ["--fixtures", "nowhere"]])
def test_what_is_not_there_is_bad_input(here: Path, arguments: list[str]) -> None:
    write(here, *GOOD)
    with pytest.raises(CaseError):
        lint(*arguments)


def test_a_sealed_file_without_its_key_is_no_error(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_SEAL_KEY", str(here / "no.key"))
    write(here, *GOOD)
    (here / "exam.jsonl.sealed").write_bytes(b"anything")
    assert lint() == 0
    assert "warn  exam.jsonl: is sealed and does not open here" in capsys.readouterr().out


def test_a_sealed_file_that_its_key_does_not_open_is_an_error(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.key").write_bytes(b"A" * 43 + b"=")
    monkeypatch.setenv("GATE_SEAL_KEY", str(here / "a.key"))
    write(here, *GOOD)
    (here / "exam.jsonl.sealed").write_bytes(b"anything")
    assert lint() == 1
    assert "error exam.jsonl: does not open with the key" in capsys.readouterr().out


def test_a_plain_file_beside_a_sealed_one_is_an_error(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here, *GOOD)
    (here / "c.jsonl.sealed").write_bytes(b"anything")
    assert lint() == 1
    assert "error c.jsonl: stands beside c.jsonl.sealed: remove one of them" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "status"), [("pwd!", 1), ("Where am I?", 1), ("Name this place.", 0)])
def test_a_fresh_case_that_asks_what_training_has_learned_is_an_error(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, status: int
) -> None:
    write(here, *GOOD, asks("x", text, replaces="pwd"))
    told = {"0" * 16: ["request: pwd", "request: where am i"]}
    contaminated.record(here.parent.parent / "registry", {"0" * 16: "pwd"}, {"repair": "r"}, told)
    assert lint() == status
    assert (
        "x: replaces nothing: asks nearly what the contaminated case 'pwd' asks" in capsys.readouterr().out
    ) is bool(status)


def test_many_cases_take_seconds(here: Path) -> None:
    """10,000 take some five seconds of one core (benchmarks/startup.py); here a tenth of it, on a machine at work."""
    dice = random.Random(0)
    words = [f"w{n}" for n in range(3000)]
    write(here, *[asks(f"n{n}", " ".join(dice.choices(words, k=14)), tools="both") for n in range(1000)])
    started = time.process_time()
    assert lint() == 0
    assert time.process_time() - started < 6
