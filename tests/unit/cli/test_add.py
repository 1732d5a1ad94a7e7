"""`gate add`: one case, without secrets, not twice, whole or not at all."""

from __future__ import annotations

import argparse
import io
import json
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader
from gate.cli import add as adding
from gate.errors import CaseError, GateError
from gate.system import jsonl
from gate.types import Json
from tests.project import a_case
from tests.unit.authoring.test_sources import a_pair, a_report, called, fixtures

KEY = "sk" + "-proj-" + "7aB3" * 10
LS = {"calls": [{"name": "terminal", "arguments": {"command": "ls"}}]}
LONG = "Please show me everything that lies in the folder of the {} project."


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fixtures").mkdir()
    fixtures(tmp_path / "fixtures", a_case("pwd"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(*arguments: str) -> int:
    """The command as `gate` would run it."""
    parser = argparse.ArgumentParser()
    adding.add_parsers(parser.add_subparsers())
    given = parser.parse_args(["add", *arguments])
    status: int = given.run(given)
    return status


def rows(name: str = "live.jsonl") -> list[Json]:
    path = Path("fixtures/cases") / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def pair(asked: str = "List the files, please.", message: Json | None = None, **more: Any) -> str:
    row = a_pair(message, **more)
    row["request"]["messages"] = [{"role": "user", "content": asked}]
    Path("pair.json").write_text(json.dumps(row))
    return "pair.json"


def test_a_pair_becomes_a_case_that_expects_what_the_model_did(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add("live.jsonl", "--pair", pair(at="2026-11-20T08:00:00Z"), "--tag", "files") == 0
    (row,) = rows()
    assert row["expect"] == LS
    assert row["split"] == "dev"
    assert row["tags"] == ["files"]
    assert row["source"].startswith("request and response of 2026-11-20 in pair.json, 20")
    assert row["tools"] == "tools"
    assert row["id"].startswith("live-")
    assert len(loader.load("live.jsonl", here / "fixtures").cases) == 1
    out = capsys.readouterr().out
    assert "model did  terminal(command=" in out
    assert 'gate("live.jsonl", floor=1.0)' in out


def test_tools_that_stand_in_no_file_are_written_out(here: Path) -> None:
    (here / "fixtures/cases/c.jsonl").unlink()
    (here / "fixtures/tools/tools.json").write_text("[]")
    add("live.jsonl", "--pair", pair())
    assert rows()[0]["tools"][0]["function"]["name"] == "terminal"


@pytest.mark.parametrize(
    ("options", "expect"),
    [
        (
            ["--call", 'terminal({"command": "ls -l"})'],
            {"calls": [{"name": "terminal", "arguments": {"command": "ls -l"}}]},
        ),
        (["--call", 'terminal({"command": {"$regex": "ls.*"}})'], None),
        (["--no-call"], {"calls": []}),
        (
            ["--no-call", "--contains", "b.txt", "--contains", "c"],
            {"calls": [], "answer": {"contains": ["b.txt", "c"]}},
        ),
        (["--expect", '{"answer": {"regex": "x"}}'], {"answer": {"regex": "x"}}),
    ],
)
def test_what_was_right_can_be_said(options: list[str], expect: Json | None) -> None:
    assert add("live.jsonl", "--pair", pair(), *options) == 0
    assert rows()[0]["expect"] == (
        expect or {"calls": [{"name": "terminal", "arguments": {"command": {"$regex": "ls.*"}}}]}
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--call", "terminal(oops)"], "not JSON"),
        (["--call", "terminal([1])"], "must be one JSON object"),
        (["--call", "!"], "--call"),
        (["--call", 'rm({"x": 1})'], "'?\"?rm"),
        (["--call", 'terminal({"command": 5})'], "command"),
        (["--no-call", "--call", "terminal({})"], "contradict"),
        (["--expect", "{}", "--no-call"], "--expect says all"),
        (["--expect", "[]"], "must be one JSON object"),
        (["--id", "not an id"], "id"),
        (["--id", "pwd"], "is taken"),
        (["--all", "--id", "x"], "--id and --edit are for one"),
        (["--turn", "1"], "--turn names one turn"),
        (["--line", "9"], "--line 9"),
        (["--tools", "unknown", "--no-call"], None),
    ],
)
def test_bad_input_is_an_error_and_nothing_is_written(options: list[str], why: str | None) -> None:
    if why is None:  # the source names its tools
        assert add("live.jsonl", "--pair", pair(), *options) == 0
        return
    with pytest.raises(CaseError, match=why):
        add("live.jsonl", "--pair", pair(), *options)
    assert rows() == []


@pytest.mark.parametrize("name", ["../x.jsonl", "live.json", "/x.jsonl"])
def test_the_file_lies_below_the_cases(name: str) -> None:
    with pytest.raises(CaseError, match="name a file below"):
        add(name, "--pair", pair())


def test_words_that_no_rule_can_judge_need_an_expectation() -> None:
    row = a_pair({"role": "assistant", "content": "It depends on many things."})
    row["response"]["choices"][0]["finish_reason"] = "stop"
    del row["request"]["tools"]
    Path("words.json").write_text(json.dumps(row))
    with pytest.raises(CaseError, match="nothing says what is right"):
        add("live.jsonl", "--pair", "words.json")
    assert add("live.jsonl", "--pair", "words.json", "--contains", "depends") == 0


def test_calls_that_do_not_parse_are_never_expected() -> None:
    with pytest.raises(CaseError, match="nothing says what is right"):
        add("live.jsonl", "--pair", pair(message=called("{oops")))


def test_no_secret_is_shown_or_written(capsys: pytest.CaptureFixture[str]) -> None:
    answer = called(json.dumps({"command": f"curl -u ana@firm.org -H 'Authorization: Bearer {KEY}' /home/ana"}))
    asked = f"Use {KEY} as ana@firm.org in /home/ana, password: hunter2"
    assert add("live.jsonl", "--pair", pair(asked, answer), "--source", "from ana@firm.org", "--tag", KEY) == 0
    told = capsys.readouterr().out + Path("fixtures/cases/live.jsonl").read_text()
    assert not [each for each in (KEY, "ana@firm.org", "/home/ana", "hunter2") if each in told]
    (row,) = rows()
    assert row["messages"][0]["content"] == "Use sk-proj-REDACTED as <EMAIL_1> in ~, password: <PASSWORD_1>"
    command = row["expect"]["calls"][0]["arguments"]["command"]
    assert command == "curl -u <EMAIL_1> -H 'Authorization: Bearer sk-proj-REDACTED' ~"
    assert "redacted   KEY 4x: messages[0].content, expect.calls[0].arguments.command, tags" in told.replace(
        "tags[0]", "tags"
    )


def test_no_secret_is_in_an_error() -> None:
    with pytest.raises(GateError) as error:
        add("live.jsonl", "--pair", pair(), "--expect", json.dumps(KEY))
    assert KEY not in str(error.value)
    assert "sk-proj-REDACTED" in str(error.value)


def test_the_same_question_is_refused_and_the_nearest_one_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert add("live.jsonl", "--pair", pair(LONG.format("heron"))) == 0
    assert add("other.jsonl", "--pair", pair(LONG.format("herons"))) == 1
    out = capsys.readouterr().out
    assert "live.jsonl:1 live-" in out
    assert "similarity 0." in out
    assert f"it asks    {LONG.format('heron')}" in out
    assert rows("other.jsonl") == []


def test_a_held_out_neighbour_is_named_and_not_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = a_case("exam", split="held-out", messages=[{"role": "user", "content": LONG.format("heron")}])
    (here / "fixtures/cases/exam.jsonl").write_text(json.dumps(secret) + "\n")
    assert add("live.jsonl", "--pair", pair(LONG.format("herons"))) == 1
    out = capsys.readouterr().out
    assert "exam.jsonl:1 exam (held-out)" in out
    assert LONG.format("heron") not in out


def test_a_reason_adds_it_anyway_and_stands_in_the_source() -> None:
    add("live.jsonl", "--pair", pair())
    assert add("live.jsonl", "--pair", pair(), "--anyway", "also a regression test") == 0
    first, second = rows()
    assert second["source"].endswith("; added anyway: also a regression test")
    assert first["id"] != second["id"]


def test_an_id_stays_the_same_for_the_same_question(here: Path) -> None:
    add("live.jsonl", "--pair", pair())
    before = rows()[0]["id"]
    (here / "fixtures/cases/live.jsonl").unlink()
    add("live.jsonl", "--pair", pair(), "--no-call", "--source", "elsewhere")
    assert rows()[0]["id"] == before


def test_a_dry_run_shows_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(here.rglob("*"))
    assert add("new/live.jsonl", "--pair", pair(), "--dry-run") == 0
    assert sorted(here.rglob("*")) == sorted([*before, here / "pair.json"])
    out = capsys.readouterr().out
    assert "expected   terminal(command=" in out
    assert "nothing was written" in out


def test_a_new_folder_is_made() -> None:
    assert add("fixtures/cases/new/live.jsonl", "--pair", pair()) == 0
    assert len(rows("new/live.jsonl")) == 1


def test_what_stood_in_the_file_stays_byte_for_byte(here: Path) -> None:
    path = here / "fixtures/cases/c.jsonl"
    before = "\n" + path.read_text().rstrip("\n") + "  "
    path.write_text(before)
    path.chmod(0o664)
    add("c.jsonl", "--pair", pair())
    assert path.read_text().startswith(before + "\n{")
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


def test_a_kill_while_writing_leaves_the_file_as_it_was(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = here / "fixtures/cases/c.jsonl"
    before = path.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jsonl.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        add("c.jsonl", "--pair", pair())
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["c.jsonl"]


def test_two_at_once_lose_nothing() -> None:
    several = []
    for name in ("heron", "windmill-restoration", "lighthouse", "quarterly budget"):
        path = Path(pair(f"What does {name} mean to the {name} people of {name}?"))
        several.append(str(path.rename(f"{name}.json")))
    with ThreadPoolExecutor(len(several)) as pool:
        assert list(pool.map(lambda each: add("live.jsonl", "--pair", each), several)) == [0] * 4
    assert len(rows()) == 4


def test_a_broken_file_is_not_added_to(here: Path) -> None:
    path = here / "fixtures/cases/c.jsonl"
    path.write_text(path.read_text() + "{half")
    with pytest.raises(CaseError, match=r"c.jsonl:2: .*fix it first"):
        add("c.jsonl", "--pair", pair())


def test_a_miss_of_a_report_is_the_case_itself_until_there_is_a_reason(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = str(a_report(here / "fixtures"))
    assert add("again.jsonl", "--from", report, "pwd") == 1
    assert "asks what c.jsonl:1 pwd (dev) asks (exactly the same)" in capsys.readouterr().out
    assert add("again.jsonl", "--from", report, "pwd", "--anyway", "must never be lost again") == 0
    (row,) = rows("again.jsonl")
    assert row["expect"] == a_case("pwd")["expect"]
    assert row["tools"] == "tools"
    assert row["source"].startswith("miss of c.jsonl pwd in run, ")


def test_a_fresh_case_names_the_one_it_replaces() -> None:
    assert add("c.jsonl", "--pair", pair(), "--replaces", "pwd") == 0
    assert rows("c.jsonl")[1]["replaces"] == "pwd"


def test_many_are_refused_one_by_one_and_the_others_added(capsys: pytest.CaptureFixture[str]) -> None:
    several = []
    for name in ("heron", "herons", "windmill-restoration"):
        row = a_pair()
        row["request"]["messages"] = [{"role": "user", "content": LONG.format(name)}]
        several.append(json.dumps(row))
    Path("all.jsonl").write_text("\n".join([*several, "{half", '{"request": 1}']))
    assert add("live.jsonl", "--pair", "all.jsonl", "--all") == 1
    out = capsys.readouterr().out
    assert [
        LONG.format(name) == row["messages"][0]["content"]
        for name, row in zip(("heron", "windmill-restoration"), rows(), strict=True)
    ] == [True, True]
    assert "of this command asks (similarity 0." in out
    assert "refused: all.jsonl:4: not JSON" in out
    assert "3 refused" in out


def test_several_rows_need_a_choice() -> None:
    Path("two.jsonl").write_text(f"{json.dumps(a_pair())}\n{json.dumps(a_pair())}\n")
    with pytest.raises(CaseError, match="holds 2 of them: name one with --line N, or take --all"):
        add("live.jsonl", "--pair", "two.jsonl")
    assert add("live.jsonl", "--pair", "two.jsonl", "--line", "2") == 0


def test_standard_input_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(a_pair()).encode())))
    assert add("live.jsonl", "--pair", "-") == 0


def an_editor(*edits: str) -> str:
    """A command that changes the file by one line of Python after another, each time it is called."""
    Path("edits.json").write_text(json.dumps(edits))
    Path("editor.py").write_text(
        "import json, pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1]); edits = json.loads(pathlib.Path('edits.json').read_text())\n"
        "text = path.read_text(); pathlib.Path(f'seen{len(edits)}').write_text(text)\n"
        "pathlib.Path('edits.json').write_text(json.dumps(edits[1:]))\n"
        "path.write_text(eval(edits[0], {'text': text}))\n"
    )
    return f"{sys.executable} {Path('editor.py').absolute()}"


def test_the_editor_opens_again_with_the_error_until_the_case_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = """text.replace('"ls"', '5')"""
    right = """text.replace('5', '"pwd of ana@firm.org"').replace('files, please', 'files of ana@firm.org')"""
    monkeypatch.setenv("VISUAL", an_editor(wrong, right))
    assert add("live.jsonl", "--pair", pair(), "--edit") == 0
    assert "# the model called terminal(" in Path("seen2").read_text()
    assert "# error: " in Path("seen1").read_text()
    assert rows()[0]["expect"]["calls"][0]["arguments"] == {"command": "pwd of <EMAIL_1>"}


def test_an_emptied_case_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", an_editor("''"))
    assert add("live.jsonl", "--pair", pair(), "--edit") == 1
    assert rows() == []


def test_an_editor_that_changes_nothing_does_not_go_on_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", an_editor("text.replace('\"ls\"', '5')", "text", "text"))
    with pytest.raises(CaseError, match="the editor changed nothing"):
        add("live.jsonl", "--pair", pair(), "--edit")


@pytest.mark.parametrize(("editor", "why"), [("false", "ended with 1"), ("no-such-editor", "cannot be started")])
def test_an_editor_that_fails_adds_nothing(monkeypatch: pytest.MonkeyPatch, editor: str, why: str) -> None:
    monkeypatch.setenv("VISUAL", editor)
    with pytest.raises(CaseError, match=why):
        add("live.jsonl", "--pair", pair(), "--edit")
    assert rows() == []


def test_without_a_source_and_a_terminal_it_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(CaseError, match="--from, --pair or --chat"):
        add("live.jsonl")


def test_a_person_is_asked_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["What is here?", "", "tools", 'terminal({"command": "ls"})', ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: next(said))
    assert add("live.jsonl") == 0
    assert rows()[0]["messages"] == [{"role": "user", "content": "What is here?"}]
    assert rows()[0]["expect"] == LS
    assert rows()[0]["source"].startswith("written by hand, ")


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    add("live.jsonl", "--pair", pair("List \x1b[2J the files"))
    assert "\x1b" not in capsys.readouterr().out
