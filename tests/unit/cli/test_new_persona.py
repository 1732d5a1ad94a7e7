"""`gate new-persona`: files that load, whole or not at all, and never over another's."""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path
from types import ModuleType

import pytest

from gate.cases import loader
from gate.cli import new_persona
from gate.errors import CaseError
from gate.judge import rubric, style_rules
from gate.system import disk, jsonl

FILES = (
    "fixtures/rubrics/mine.toml",
    "fixtures/rubrics/mine.jsonl",
    "fixtures/cases/persona/mine.jsonl",
    "suites/persona/test_mine.py",
)


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def new(*arguments: str) -> int:
    """The command as `gate` would run it."""
    parser = argparse.ArgumentParser()
    new_persona.add_parsers(parser.add_subparsers())
    given = parser.parse_args(["new-persona", *arguments])
    status: int = given.run(given)
    return status


def everything() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def imported(path: Path) -> ModuleType:
    """A suite as pytest runs it: __file__ is where it stands."""
    module = ModuleType(path.stem)
    module.__file__ = str(path.absolute())
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
    return module


def test_four_files_are_made_and_the_next_steps_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert new("mine") == 0
    assert everything() == sorted(FILES)
    told = capsys.readouterr().out
    assert all(f"created {name}" in told for name in FILES)
    assert "at least 40" in told


def test_the_voice_the_cases_and_the_suite_load() -> None:
    new("mine")
    assert style_rules.load("mine", Path("fixtures")).most_words == 60
    loaded = loader.load("persona/mine.jsonl", Path("fixtures")).cases
    assert [case.id for case in loaded] == ["mine-01", "mine-02", "mine-03"]
    assert style_rules.load("mine", Path("fixtures")) == imported(Path(FILES[3])).RULES


def test_the_rubric_wants_for_nothing_but_anchors() -> None:
    new("mine")
    with pytest.raises(CaseError, match="4 anchors"):
        rubric.load("mine", Path("fixtures"))
    anchors = Path(FILES[1])
    rows = [row for _, row in jsonl.read(anchors)]
    more = [row | {"id": f"{row['id']}-{number}"} for row in rows for number in range(11)]
    anchors.write_text("".join(f"{json.dumps(row)}\n" for row in more), encoding="utf-8")
    read = rubric.load("mine", Path("fixtures"))
    assert ([step.value for step in read.scale], len(read.anchors)) == ([0, 1, 2, 3], 44)


def test_the_suite_asks_what_it_should() -> None:
    new("mine")
    tree = ast.parse(Path(FILES[3]).read_text(encoding="utf-8"))
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    markers = [ast.unparse(node.decorator_list[0]) for node in tests]
    assert markers == [
        "pytest.mark.gate('persona/mine.jsonl', floor=1.0, rubric='mine', mean=2.0)",
        "pytest.mark.gate('persona/mine.jsonl', floor=0.8)",
    ]


@pytest.mark.parametrize(
    ("fixtures", "suites"),
    [
        ("fixtures", "suites"),
        ("data/my fixtures", "checks/suites"),
        ("suites/persona/inner", "suites"),
        (".", "suites"),
        ("../else'where\"", "suites"),
    ],
)
def test_the_suite_finds_its_fixtures_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixtures: str, suites: str
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    new("mine", "--fixtures", fixtures, "--suites", suites)
    monkeypatch.chdir(tmp_path)
    suite = tmp_path / "home" / suites / "persona/test_mine.py"
    assert style_rules.load("mine", tmp_path / "home" / fixtures) == imported(suite).RULES


@pytest.mark.parametrize("name", ["Mine", "../mine", "1st", "a-b", "mine\n", "", "x" * 41, "müller", "a/b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(CaseError, match="a name has small letters"):
        new(name)
    assert everything() == []


@pytest.mark.parametrize("name", [*FILES, "suites/other/test_mine.py"])
def test_nothing_is_overwritten_and_nothing_else_written(name: str) -> None:
    """A test file of this name in another folder counts too: pytest could not import both."""
    Path(name).parent.mkdir(parents=True)
    Path(name).write_text("mine", encoding="utf-8")
    with pytest.raises(CaseError, match="exists already"):
        new("mine")
    assert everything() == [name]
    assert Path(name).read_text(encoding="utf-8") == "mine"


def test_a_dangling_link_is_a_file_too() -> None:
    Path(FILES[0]).parent.mkdir(parents=True)
    Path(FILES[0]).symlink_to("nowhere")
    with pytest.raises(CaseError, match="exists already"):
        new("mine")


def test_a_file_that_appears_meanwhile_is_kept_and_the_rest_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made = disk.create

    def raced(path: Path, data: bytes) -> None:
        if path.suffix == ".py":
            path.write_text("another's", encoding="utf-8")
        made(path, data)

    monkeypatch.setattr(disk, "create", raced)
    with pytest.raises(CaseError, match="nothing was written"):
        new("mine")
    assert everything() == ["suites/persona/test_mine.py"]
    assert Path(FILES[3]).read_text(encoding="utf-8") == "another's"


def test_a_file_where_a_folder_should_be_leaves_nothing() -> None:
    Path("suites").write_text("", encoding="utf-8")
    with pytest.raises(CaseError, match="nothing was written"):
        new("mine")
    assert everything() == ["suites"]
    assert not Path("fixtures").exists()


def test_an_interrupt_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = disk.create

    def stopped(path: Path, data: bytes) -> None:
        if path.suffix == ".py":
            raise KeyboardInterrupt
        made(path, data)

    monkeypatch.setattr(disk, "create", stopped)
    with pytest.raises(KeyboardInterrupt):
        new("mine")
    assert list(Path().iterdir()) == []


def test_two_personas_live_side_by_side() -> None:
    assert (new("mine"), new("yours")) == (0, 0)
    assert len(everything()) == 8
