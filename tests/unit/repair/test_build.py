"""Misses become rows: which of them, what the rows may not say, and that a kill leaves nothing half done."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader
from gate.checkpoints.checkpoint import identify
from gate.cli import repair as command
from gate.errors import ReportError
from gate.preflight.artifact import Artifact
from gate.preflight.checks import leakage
from gate.repair.misses import CHANGED
from gate.report import io as report
from gate.system import hashing
from gate.types import Attribution, Contract, Reply, Result
from tests import reports
from tests.reports import WHOLE

SECRET = "Zanzibar lighthouse keeper payroll"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]},
        },
    }
    for name, key in (("terminal", "command"), ("read", "path"), ("open", "url"))
]
SLOTS = """
tools = "tools"
[slots]
program = ["make lint", "npm ci", "cargo check", "go vet", "tox -e py312", "yarn audit", "brew outdated", "lsof -i"]
file = ["setup.cfg", "go.mod", "Gemfile", "LICENSE.md", "db/schema.sql", "conf/nginx.conf", "src/lexer.cpp", "pom.xml"]
[[phrase]]
category = "terminal"
say = ["Run {program} in the shell.", "exec {program}", "the output of {program}, please", "do a quick {program}"]
call = {name = "terminal", arguments = {command = "{program}"}}
[[phrase]]
category = "read"
say = ["Open the file {file}.", "whats in {file}", "Let me see {file}."]
call = {name = "read", arguments = {path = "{file}"}}
[[phrase]]
category = "no-tool"
lead = ["", "Quick question: "]
pairs = [["what is YAML?", "A format."], ["name a shell", "bash"], ["bye then", "Goodbye!"], ["is 7 odd?", "Yes."]]
[[phrase]]
category = "finalisation"
say = ["How many lines has {file}?"]
call = {name = "terminal", arguments = {command = "wc -l {file}"}}
result = '{{"output": "31 {file}"}}'
answer = ["31 lines.", "It has 31."]
"""


def a_case(name: str, asked: str, calls: list[Any], **more: Any) -> dict[str, Any]:
    row = {"id": name, "messages": [{"role": "user", "content": asked}], "tools": "tools"}
    return row | {"expect": {"calls": calls}, "split": "dev"} | more


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


CASES = [
    a_case("status", "Tell me what git thinks of this folder.", [call("terminal", command="git status")]),
    a_case("todo", "What does my todo list hold?", [call("read", path={"$any": ["todo.txt", "./todo.txt"]})]),
    a_case("thanks", "That was all, many thanks indeed!", []),
    a_case("wide", "Have a look at the disk.", [call("terminal", command={"$regex": "df( -h)?"})]),
    a_case("secret", f"Show me {SECRET}.", [call("read", path="keeper/payroll.csv")], split="held-out"),
]


def project(folder: Path, rows: list[dict[str, Any]] = CASES, slots: str = SLOTS) -> Path:
    for name in ("cases", "tools", "slots"):
        (folder / "fixtures" / name).mkdir(parents=True, exist_ok=True)
    (folder / "fixtures/tools/tools.json").write_text(json.dumps(TOOLS))
    (folder / "fixtures/cases/a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "fixtures/slots/s.toml").write_text(slots)
    return folder


def a_report(
    folder: Path,
    stages: dict[str, str],
    name: str = "run",
    said: str = "no",
    made: dict[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
) -> Path:
    """A report in which these cases were missed, each with its stage, and all others hit."""
    file = loader.load("a.jsonl", folder / "fixtures")
    digests = tuple(loader.marks(case)[0] for case in file.cases)
    ids = tuple(case.id for case in file.cases)
    contract = Contract("t", "a.jsonl", file.digest, ids, 1.0, digests=digests)
    reply = Reply(said, "", [], [], "stop", "", {}, 0.1, 200, None, "{}")
    results = tuple(
        Result("t", case.id, case.split, case.id not in stages, False, (), "", {}, (reply,), stages.get(case.id, ""))
        for case in file.cases
    )
    (folder / name).mkdir(exist_ok=True)
    graded = replace(WHOLE.checkpoint, **(checkpoint or {}))
    whole = reports.asked(contract, results=results, checkpoint=graded, made=replace(WHOLE.made, **(made or {})))
    report.write(folder / name / "report.json", whole)
    return folder / name


def repair(folder: Path, *more: str, out: str = "out", run: str = "run") -> int:
    parser = argparse.ArgumentParser()
    command.add_parsers(parser.add_subparsers())
    told = [
        "repair",
        *[str(folder / each) for each in run.split()],
        "-o",
        str(folder / out),
        "--fixtures",
        str(folder / "fixtures"),
    ]
    given = parser.parse_args([*told, "--registry", str(folder / "registry"), *more])
    return int(given.run(given))


def rows(folder: Path, out: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted((folder / out).glob("*.jsonl")) for line in path.open()]


def asked(row: dict[str, Any]) -> str:
    return str([each["content"] for each in row["messages"] if each["role"] == "user"][-1])


def manifest(folder: Path, out: str = "out") -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / out / "manifest.json").read_text())
    return value


MODEL = {"status": "model", "thanks": "model", "secret": ""}


def test_a_miss_of_the_model_becomes_rows_that_call_what_it_wants(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"status": "model"})
    assert repair(tmp_path, "--keep", "0") == 0
    found = rows(tmp_path)
    assert len(found) == 8
    for row in found:
        (made,) = row["messages"][-1]["tool_calls"]
        assert (row["category"], made["function"]["name"]) == ("terminal", "terminal")
        assert made["function"]["arguments"]["command"] in asked(row)
        assert row["tools"] == TOOLS
    assert "Tell me what git thinks of this folder." not in map(asked, found)


def test_the_manifest_counts_every_row_and_every_drop(tmp_path: Path) -> None:
    a_report(project(tmp_path), MODEL)
    assert repair(tmp_path, "--variants", "20", "--most", "11") == 0
    told = manifest(tmp_path)
    drawn = sum(each["drawn"] for each in told["origins"])
    kept = sum(each[name] for each in told["origins"] for name in ("train", "valid", "test"))
    assert kept == len(rows(tmp_path)) == sum(sum(part.values()) for part in told["rows"].values())
    assert drawn == kept + sum(each["rows"] for each in told["dropped"])
    assert {each["why"] for each in told["dropped"]} == {"is over --most"}
    assert told["short"] == {"no-tool": 12}
    for name in ("train", "valid", "test"):
        assert told["sha256"][name] == hashing.sha256(tmp_path / "out" / f"{name}.jsonl")


def test_held_out_cases_are_refused_and_nothing_of_them_is_in_any_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slots = SLOTS.replace('"setup.cfg"', f'"setup.cfg", "keeper/payroll.csv", "{SECRET}"')
    a_report(project(tmp_path, slots=slots), MODEL | {"todo": "model"})
    assert repair(tmp_path, "--variants", "40", "--pairs") == 0
    out = capsys.readouterr().out
    assert "1 misses of held-out cases: refused" in out
    written = b"".join(
        path.read_bytes() for path in [*(tmp_path / "out").iterdir(), tmp_path / "registry/contaminated.jsonl"]
    )
    for trace in (SECRET, "keeper/payroll", "secret"):
        assert trace.encode() not in written
        assert trace not in out
    assert manifest(tmp_path)["misses"]["held out"] == 1


def test_a_report_of_held_out_misses_alone_builds_nothing(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"secret": "model"})
    assert repair(tmp_path) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("stage", "advice"),
    [
        ("template", "fix the chat template"),
        ("parser", "tool_parser_type"),
        ("stop", "fix the stop token"),
        ("length", "max_tokens"),
        ("server", "fix the server"),
    ],
)
def test_another_stage_gives_no_row_but_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, advice: str
) -> None:
    a_report(project(tmp_path), {"status": stage, "thanks": stage})
    before = sorted(tmp_path.rglob("*"))
    assert repair(tmp_path) == 1
    assert sorted(tmp_path.rglob("*")) == before
    out = capsys.readouterr().out
    assert advice in out
    assert "a.jsonl status" in out


def test_a_case_that_was_changed_since_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_report(project(tmp_path), {"status": "model", "todo": "model"})
    changed = [CASES[0] | {"messages": [{"role": "user", "content": "Is the tree clean?"}]}, *CASES[1:]]
    project(tmp_path, changed)
    assert repair(tmp_path) == 0
    assert CHANGED in capsys.readouterr().out
    assert manifest(tmp_path)["misses"]["repaired"] == ["a.jsonl todo"]


def test_a_category_that_passed_is_kept_up(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"status": "model", "wide": "model"})
    assert repair(tmp_path, "--keep", "0.25") == 0
    told = {(each["category"], each["origin"]): each for each in manifest(tmp_path)["origins"]}
    kept = sum(each["drawn"] for (_, origin), each in told.items() if origin == "kept")
    assert set(told) == {("terminal", "slots"), ("read", "kept"), ("no-tool", "kept")}
    assert kept / len(rows(tmp_path)) == pytest.approx(0.25, abs=0.05)


def test_what_a_case_nearly_asks_is_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    near = '[["What does my todo list hold??", "x"], ["That was all, many thanks  indeed", "You are welcome."],'
    near += ' ["That was all, so many thanks indeed!", "Sure."], ["Is 8 even?", "Yes."]]'
    slots = SLOTS.replace('[["what is YAML?", "A format."], ["name a shell", "bash"], ["bye then", "Goodbye!"],', near)
    slots = slots.replace(near + ' ["is 7 odd?", "Yes."]]', near).replace('lead = ["", "Quick question: "]', "")
    a_report(project(tmp_path, slots=slots), {"thanks": "model"})
    assert repair(tmp_path, "--keep", "0", "--variants", "30") == 0
    assert {asked(row) for row in rows(tmp_path)} == {"Is 8 even?"}
    assert "asks it in the same words" in (out := capsys.readouterr().out)
    assert "asks nearly what a case asks" in out


def test_preflight_finds_no_case_in_what_was_built(tmp_path: Path) -> None:
    a_report(project(tmp_path), MODEL | {"todo": "model"})
    assert repair(tmp_path, "--variants", "30") == 0
    (tmp_path / "answers.jsonl").write_text("{}\n")
    made = identify(f"scripted:{tmp_path / 'answers.jsonl'}")
    built = Artifact(made, train=tmp_path / "out", fixtures=tmp_path / "fixtures")
    assert list(leakage.no_case_is_trained(built)) == list(leakage.no_case_is_nearly_trained(built)) == []


def test_no_two_splits_share_a_prompt(tmp_path: Path) -> None:
    a_report(project(tmp_path), MODEL | {"todo": "model"})
    assert repair(tmp_path, "--variants", "25") == 0
    parts = [
        {asked(json.loads(line)).casefold() for line in (tmp_path / f"out/{name}.jsonl").open()}
        for name in ("train", "valid", "test")
    ]
    assert all(parts)
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert set(manifest(tmp_path)["rows"]["valid"]) >= {"terminal", "read"}


def test_a_row_that_is_too_long_is_dropped_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_report(project(tmp_path), MODEL)
    assert repair(tmp_path, "--length", "100") == 1
    out = capsys.readouterr().out
    assert "is longer than --length" in out
    assert "characters / 3" in out


LATER = {"started": "2026-02-01T00:00:00+00:00"}


def test_a_miss_counts_once_over_reports_and_not_with_different_stages(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"status": "template", "todo": "parser", "thanks": "model"})
    a_report(tmp_path, {"status": "model", "thanks": "model"}, name="other", made=LATER)
    for order, out in (("run other", "a"), ("other run", "b")):
        assert repair(tmp_path, run=order, out=out) == 0
        told = manifest(tmp_path, out)["misses"]
        assert told["repaired"] == ["a.jsonl thanks"]
        assert [each["case"] for each in told["elsewhere"]] == ["a.jsonl status"]
        assert "different stages (model, template)" in told["elsewhere"][0]["mend"]


def test_the_newest_result_of_a_case_counts(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"status": "model"})
    a_report(tmp_path, {"thanks": "model"}, name="other", made=LATER)
    assert repair(tmp_path, run="other run") == 0
    assert manifest(tmp_path)["misses"]["repaired"] == ["a.jsonl thanks"]


def test_reports_of_different_checkpoints_are_refused(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"status": "model"})
    a_report(tmp_path, {"thanks": "model"}, name="other", checkpoint={"digest": "1" * 64})
    with pytest.raises(ReportError, match="reports of 2 different checkpoints"):
        repair(tmp_path, run="run other")
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize(
    ("blame", "why"),
    [
        (Attribution("off", 0.1, {}), "not told: grade without --gate-attribution=off"),
        (Attribution("misses", 0.1, {"it ran out": 1}), "not told: attribution could not be asked (it ran out)"),
        (Attribution("misses", 0.1, {}), "not told: grade again; the report does not say why"),
    ],
)
def test_why_a_miss_has_no_stage_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blame: Attribution, why: str
) -> None:
    a_report(project(tmp_path), {"status": ""}, made={"attribution": blame})
    assert repair(tmp_path) == 1
    assert why in capsys.readouterr().out
