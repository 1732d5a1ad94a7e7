"""A repair on disk: planned and not written, the same bytes for one seed, whole whatever kills it, recorded first."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from gate.errors import GateError
from gate.registry import contaminated
from gate.registry.ledger import LedgerError
from gate.repair import output
from gate.repair.build import Built
from gate.repair.row_length import Ruler
from gate.repair.rows import Row, spoken
from gate.system import hashing
from tests.unit.repair.test_build import MODEL, TOOLS, a_report, call, manifest, project, repair, rows


def test_a_plan_says_the_same_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_report(project(tmp_path), MODEL)
    before = sorted(tmp_path.rglob("*"))
    assert repair(tmp_path, "--plan") == 0
    planned = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    assert repair(tmp_path) == 0
    assert capsys.readouterr().out.startswith(planned)


def test_one_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    a_report(project(tmp_path), MODEL)
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert repair(tmp_path, "--seed", seed, "--pairs", out=name) == 0
    a, b, c = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.suffix == ".jsonl"}
        for name in "abc"
    )
    assert a == b
    assert a != c
    assert manifest(tmp_path, "a") | {"command": 0} == manifest(tmp_path, "b") | {"command": 0}


def test_the_cases_that_were_used_are_burned_with_the_manifests_digest(tmp_path: Path) -> None:
    a_report(project(tmp_path), MODEL | {"todo": "template"})
    assert repair(tmp_path) == 0
    assert set(contaminated.recorded(tmp_path / "registry").values()) == {"status", "thanks"}
    facts = json.loads((tmp_path / "registry/contaminated.jsonl").read_text())["facts"]
    assert facts["manifest"] == hashing.sha256(tmp_path / "out/manifest.json")
    assert (facts["repair"], facts["reports"]) == ("out", manifest(tmp_path)["reports"])


def test_what_fails_before_the_burning_leaves_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_report(project(tmp_path), MODEL)

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(contaminated, "record", killed)
        repair(tmp_path)
    assert not list(tmp_path.rglob("train.jsonl"))
    assert contaminated.recorded(tmp_path / "registry") == {}
    assert repair(tmp_path) == repair(tmp_path) == 0
    assert len((tmp_path / "registry/contaminated.jsonl").read_text().splitlines()) == 1


def test_a_folder_that_cannot_be_put_in_place_says_that_its_cases_are_burned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_report(project(tmp_path), MODEL)

    def full(*_: object) -> None:
        raise OSError("no space")

    with (
        monkeypatch.context() as patch,
        pytest.raises(GateError, match="its cases are contaminated and have no rows yet"),
    ):
        patch.setattr("gate.repair.output.os.replace", full)
        repair(tmp_path)
    assert not list(tmp_path.rglob("train.jsonl"))
    assert set(contaminated.recorded(tmp_path / "registry").values()) == {"status", "thanks"}
    assert repair(tmp_path) == 0
    assert rows(tmp_path)


@pytest.mark.parametrize("what", ["file", "ledger", "lock"])
def test_a_registry_that_cannot_be_written_stops_it_before_anything_is_built(tmp_path: Path, what: str) -> None:
    a_report(project(tmp_path), MODEL)
    if what == "file":
        (tmp_path / "registry").write_text("")
    else:
        (tmp_path / "registry" / ("contaminated.jsonl" if what == "ledger" else "contaminated.jsonl.lock")).mkdir(
            parents=True
        )
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LedgerError):
        repair(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_run_left_beside_is_gone_after_the_next(tmp_path: Path) -> None:
    a_report(project(tmp_path), {"secret": "model"})
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part/train.jsonl").write_text("{}\n")
    assert repair(tmp_path) == 1
    assert not (tmp_path / ".out.part").exists()


def test_a_kill_before_the_rename_leaves_burned_cases_and_the_next_run_makes_the_folder(tmp_path: Path) -> None:
    a_report(project(tmp_path), MODEL)
    child = os.fork()
    if not child:
        output.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[attr-defined]
        repair(tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert set(contaminated.recorded(tmp_path / "registry").values()) == {"status", "thanks"}
    assert repair(tmp_path) == 0
    assert not list(tmp_path.glob(".out*"))


def test_a_folder_that_holds_something_else_is_refused_and_nothing_is_burned(tmp_path: Path) -> None:
    a_report(project(tmp_path), MODEL)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train.jsonl").write_text("mine\n")
    with pytest.raises(GateError, match="holds something else already"):
        repair(tmp_path)
    assert (tmp_path / "out/train.jsonl").read_text() == "mine\n"
    assert not (tmp_path / "registry").exists()


def test_arguments_are_written_in_the_form_that_the_template_takes(tmp_path: Path) -> None:
    row = Row([{"role": "user", "content": "x"}, spoken("", [call("read", path="é")])], TOOLS, "read", "slots")
    told = Built(parts={"train": [row], "valid": [], "test": []})
    output.write(tmp_path / "text", told, {}, lambda _: 0, as_text=True)
    output.write(tmp_path / "object", told, {}, lambda _: 0, as_text=Ruler().as_text)
    made = [rows(tmp_path, name)[0]["messages"][-1]["tool_calls"][0]["function"] for name in ("text", "object")]
    assert [each["arguments"] for each in made] == ['{"path": "é"}', {"path": "é"}]
    assert not (tmp_path / "text/valid.jsonl").exists()  # mlx-lm stops at an empty file
