"""A sealed exam is graded like any other, and nobody without the key can read a word of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from gate.cases import loader, sealing  # before pytester takes the modules back
from gate.cli.main import main
from gate.errors import CaseError
from tests.project import Project, a_case, last_line, right

SECRET = "the-secret-request"


@pytest.fixture
def exam(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """calls.jsonl sealed, one of its two cases answered right; the key lies elsewhere."""
    key = tmp_path_factory.mktemp("key") / "seal.key"
    monkeypatch.setenv(sealing.KEY, str(key))
    monkeypatch.chdir(project.path)
    project.cases(a_case("pwd"), a_case(SECRET))
    project.script(right("pwd"), {"user": SECRET, "content": "an answer that nobody reads"})
    assert main(["seal", "fixtures/cases/calls.jsonl"]) == 0
    return project


def test_the_plain_file_is_gone_and_the_sealed_one_tells_nothing(exam: Project) -> None:
    assert not (exam.path / "fixtures/cases/calls.jsonl").exists()
    sealed = (exam.path / "fixtures/cases/calls.jsonl.sealed").read_bytes()
    assert SECRET.encode() not in sealed
    assert b"terminal" not in sealed
    assert oct(sealing.key_path().stat().st_mode)[-3:] == "600"


def test_it_is_graded_and_told_of_in_sums(exam: Project, how: tuple[str, ...]) -> None:
    run = exam.run(*how, "-v", "-rA", "--junitxml=junit.xml", "--gate-registry", "r")
    assert run.ret == 1
    assert last_line(run).startswith("BELOW_FLOOR: 1/2 hits")
    assert {each["split"] for each in exam.report()["results"]} == {"held-out"}
    for path in [*exam.path.glob("runs/*/*"), exam.path / "junit.xml"]:
        text = path.read_text(errors="replace")
        assert "nobody reads" not in text, path
        assert json.dumps({"command": SECRET}) not in text, path
    assert "nobody reads" not in "\n".join(run.outlines + run.errlines)


def test_without_the_key_nothing_is_collected(exam: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sealing.KEY, "elsewhere.key")
    run = exam.run()
    assert run.ret == 4
    assert "is sealed, and there is no key" in "\n".join(run.outlines + run.errlines)


def test_another_key_and_a_changed_byte_open_nothing(
    exam: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = exam.path / "fixtures/cases/calls.jsonl.sealed"
    other = tmp_path / "other.key"
    other.write_bytes(Fernet.generate_key())
    monkeypatch.setenv(sealing.KEY, str(other))
    with pytest.raises(CaseError, match="another one than it was sealed with"):
        loader.load("calls.jsonl", exam.path / "fixtures")
    other.write_text("no key")
    with pytest.raises(CaseError, match="32 bytes"):
        loader.load("calls.jsonl", exam.path / "fixtures")
    monkeypatch.undo()
    raw = bytearray(path.read_bytes())
    raw[60] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CaseError):
        loader.load("calls.jsonl", exam.path / "fixtures")


def test_an_error_in_it_tells_nothing(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(sealing.KEY, str(tmp_path / "seal.key"))
    path = project.path / "fixtures/cases/calls.jsonl"
    path.write_text(json.dumps(a_case("pwd", tools=SECRET)) + "\n")
    sealing.seal(path, sealing.key_path())
    with pytest.raises(CaseError) as caught:
        loader.load("calls.jsonl", project.path / "fixtures")
    assert "unseal and fix it" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_sealed_can_be_opened_graded_and_sealed_again(exam: Project) -> None:
    plain, sealed = (exam.path / "fixtures/cases" / name for name in ("calls.jsonl", "calls.jsonl.sealed"))
    assert main(["unseal", str(sealed)]) == 0
    assert SECRET in plain.read_text()
    assert not sealed.exists()
    assert len(loader.load("calls.jsonl", exam.path / "fixtures").cases) == 2
    assert main(["seal", str(plain)]) == 0
    assert main(["unseal", str(sealed), "--key", "none"]) == 4
    assert sealed.exists()


def test_what_is_sealed_already_is_not_sealed_again(exam: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seal", "fixtures/cases/calls.jsonl.sealed"]) == 4
    assert "is sealed already" in capsys.readouterr().err
    sealed = exam.path / "fixtures/cases/calls.jsonl.sealed"
    assert sealed.exists()
    other = sealed.rename(sealed.with_name("other.jsonl"))
    with pytest.raises(CaseError, match="is sealed already"):
        sealing.seal(other, sealing.key_path())


def test_a_plain_file_that_is_there_is_never_written_over(exam: Project) -> None:
    exam.cases(a_case("pwd"))
    assert main(["unseal", "fixtures/cases/calls.jsonl.sealed"]) == 4
    assert SECRET not in (exam.path / "fixtures/cases/calls.jsonl").read_text()
    assert (exam.path / "fixtures/cases/calls.jsonl.sealed").exists()


def test_two_that_are_swapped_open_no_more_and_a_moved_project_does(exam: Project) -> None:
    exam.cases(a_case("easy"), name="easy.jsonl")
    assert main(["seal", "fixtures/cases/easy.jsonl"]) == 0
    one, other = (exam.path / f"fixtures/cases/{name}.jsonl.sealed" for name in ("calls", "easy"))
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(CaseError, match=r"was sealed as easy\.jsonl\.sealed: it was moved or swapped"):
        loader.load("calls.jsonl", exam.path / "fixtures")
    one.write_bytes(held)
    (exam.path / "fixtures").rename(exam.path / "elsewhere")
    assert len(loader.load("calls.jsonl", exam.path / "elsewhere").cases) == 2


def test_what_was_sealed_before_places_were_written_into_it_still_opens(exam: Project) -> None:
    path = exam.path / "fixtures/cases/old.jsonl.sealed"
    locker = Fernet(sealing.key_path().read_bytes().strip())
    path.write_bytes(sealing.UNBOUND + locker.encrypt(json.dumps(a_case("old")).encode()) + b"\n")
    assert loader.load("old.jsonl", exam.path / "fixtures").cases[0].id == "old"


def test_each_command_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["unseal", "--help"])
    assert "deleted" in capsys.readouterr().out


@pytest.mark.parametrize("git", [True, False])
def test_a_key_in_the_repository_or_project_is_refused(
    git: bool, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    if git:
        (project.path / ".git").mkdir()
        (project.path / "pytest.ini").unlink()
    os.chdir(project.path)
    assert main(["seal", "fixtures/cases/calls.jsonl", "--key", "seal.key"]) == 4
    assert "is in the repository" in capsys.readouterr().err
    assert not (project.path / "seal.key").exists()


def test_no_case_file_is_sealed_that_no_run_could_load(project: Project, tmp_path: Path) -> None:
    os.chdir(project.path)
    project.cases({"id": "x"})
    assert main(["seal", "fixtures/cases/calls.jsonl", "--key", str(tmp_path / "k")]) == 4
    assert (project.path / "fixtures/cases/calls.jsonl").exists()
    assert main(["seal", "pytest.ini", "--key", str(tmp_path / "k")]) == 4


def test_a_plain_file_beside_the_sealed_one_is_no_way_around_it(exam: Project) -> None:
    exam.cases(a_case("pwd"))
    with pytest.raises(CaseError, match="remove one of them"):
        loader.load("calls.jsonl", exam.path / "fixtures")
