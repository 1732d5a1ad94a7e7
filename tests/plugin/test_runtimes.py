"""A plugin adds a runtime and a kind of checkpoint in one file (tests/plugin/toy.py); the gate treats it as its own."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project, a_case, last_line


@pytest.fixture
def toy(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a checkpoint of kind toy, where the plugin is installed."""
    installed = project.path / "installed"
    install(installed, toy="toy:RUNTIME")
    shutil.copy(Path(__file__).with_name("toy.py"), installed)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    (project.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 2\n")
    (project.path / "thing.json").write_text('{"pwd": "pwd", "ls": "ls"}')
    return project


def install(folder: Path, **runtimes: str) -> None:
    """What pip leaves of a distribution that names these runtimes in its entry points."""
    about = folder / "toy-1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in runtimes.items()]
    (about / "entry_points.txt").write_text("[gate.runtimes]\n" + "".join(lines))


def gate(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gate", *arguments]
    return subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=False, timeout=120)


def test_a_plugins_kind_is_graded_shown_decided_compared_and_promoted(toy: Project, how: tuple[str, ...]) -> None:
    result = toy.run(*how, model="toy:thing.json")
    assert result.ret == 0
    assert last_line(result).startswith("PASS")
    report, (path,) = toy.report(), toy.reports()
    thing = (toy.path / "thing.json").read_bytes()
    line = f"{hashlib.sha256(thing).hexdigest()} {len(thing)} thing.json\n"
    assert report["checkpoint"] | {"where": ""} == {
        "kind": "toy", "name": "thing", "where": "", "family": "", "base": None, "verified": True, "bytes": len(thing),
        "digest": hashlib.sha256(line.encode()).hexdigest(),
    }  # fmt: skip
    assert (report["made"]["runtime"], report["made"]["server"]) == ("toy", {"toy": "1.0"})
    assert {check["status"] for check in report["made"]["preflight"]} == {"not applicable"}
    for command in (("show", path), ("decide", path), ("compare", path, path)):
        done = gate(toy, *map(str, command))
        assert done.returncode == 0, done.stderr
        assert "toy" in done.stdout
    done = gate(toy, "promote", "toy:thing.json", "--slot", "hermes", "--report", str(path))
    assert done.returncode == 0, done.stderr
    assert "promoted: hermes line 2" in done.stdout
    (toy.path / "thing.json").write_text("{}")
    done = gate(toy, "promote", "toy:thing.json", "--slot", "hermes", "--report", str(path))
    assert done.returncode == 1, "other bytes are not promoted"


def test_a_miss_of_a_plugins_kind_has_no_stage_and_says_why(toy: Project) -> None:
    (toy.path / "thing.json").write_text('{"pwd": "pwd"}')
    assert toy.run(model="toy:thing.json").ret == 1
    report = toy.report()
    assert [(result["case"], result["hit"]) for result in report["results"]] == [("pwd", True), ("ls", False)]
    assert list(report["made"]["attribution"]["problems"]) == [
        "this server does not reveal the prompts that it renders"
    ]


def test_answers_of_a_plugins_kind_are_known_again_by_its_bytes(toy: Project) -> None:
    for text, cached in (("{}", False), ("{}", True), ("{} ", False)):
        (toy.path / "thing.json").write_text(text)
        toy.run(model="toy:thing.json", fresh=False)
        newest = max(toy.reports(), key=lambda path: path.stat().st_mtime_ns)
        replies = [reply for result in json.loads(newest.read_text())["results"] for reply in result["replies"]]
        assert {reply["cached"] for reply in replies} == {cached}


def test_commands_without_pytest_know_a_plugins_kind(toy: Project) -> None:
    done = gate(toy, "parity", "toy:thing.json", "toy:thing.json", "--prompts", "2")
    assert "thing (2)" in done.stdout, done.stderr
    done = gate(toy, "preflight", "toy:thing.json")
    assert (done.returncode, done.stderr) == (0, "")
    done = gate(toy, "preflight", "nowhere/at/all")
    assert (done.returncode, "toy:FILE" in done.stderr) == (4, True)


def test_training_rows_are_searched_for_the_cases_of_a_plugins_kind(toy: Project) -> None:
    case = a_case("pwd")
    (toy.path / "train.jsonl").write_text(json.dumps({"messages": case["messages"]}) + "\n")
    done = gate(toy, "preflight", "toy:thing.json", "--train", "train.jsonl", "--json")
    status = {check["id"]: check["status"] for check in json.loads(done.stdout)}
    assert status["P19"] != "not applicable"
    assert status["P22"] == "not applicable"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ImportError('no toys today')", "the plugin other (other:RUNTIME) cannot be loaded"),
        ("RUNTIME = None", "the plugin other (other:RUNTIME) is not a gate.models.runtime.Runtime"),
        ("from toy import RUNTIME", "two installed runtimes serve checkpoints of kind toy"),
        (
            "from dataclasses import replace\nimport toy\nRUNTIME = replace(toy.RUNTIME, name='mlx_lm', kinds=())",
            "two installed runtimes are named mlx_lm",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_before_anything_is_graded(
    toy: Project, code: str, message: str
) -> None:
    installed = toy.path / "installed"
    install(installed, toy="toy:RUNTIME", other="other:RUNTIME")
    (installed / "other.py").write_text(code)
    result = toy.run(model="toy:thing.json")
    assert result.ret == 4
    assert message in result.stderr.str()
    assert toy.reports() == []
