"""What travels with a promotion, and that one flipped byte anywhere is found."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from gate.cli.main import main
from gate.registry import promote as promotion  # before a pytester, which takes back what is imported under it
from gate.registry.slots import Slot, history
from tests.project import Project

pytest.importorskip("model_signing.signing")
MODEL = "scripted:answers.jsonl"


@pytest.fixture
def keys(project: Project) -> tuple[str, str]:
    """A private and a public elliptic-curve key."""
    private, public = str(project.path / "key.pem"), str(project.path / "key.pub")
    commands = [
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private],
        ["openssl", "ec", "-in", private, "-pubout", "-out", public],
    ]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    return private, public


@pytest.fixture
def promoted(project: Project, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str]) -> Path:
    """The release of a scripted model that has passed and was promoted and signed."""
    (project.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 2\n")
    monkeypatch.chdir(project.path)
    assert project.run().ret == 0
    given = ["promote", MODEL, "--slot", "hermes", "--report", str(project.reports()[0].parent), "--sign", keys[0]]
    assert main(given) == 0
    return next((project.path / "registry/hermes/releases").iterdir())


def verify(*more: str) -> int:
    return main(["verify", MODEL, *more])


def read(promoted: Path, name: str) -> Any:
    return json.loads((promoted / name).read_text())


def test_a_promoted_checkpoint_is_verified_and_what_was_not_checked_is_said(
    promoted: Path, keys: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify("--key", keys[1]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\nverified\n")
    assert out.count(" ok ") == 8
    assert verify() == 0
    assert "2 things could not be checked" in capsys.readouterr().out
    assert verify("--release", str(promoted), "--key", keys[1]) == 0
    assert "verified; 2 things could not be checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["report.json", "release_summary.json", "README.md", "statement.json", "artifact.sig", "release.sig"]
)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.98])
def test_one_flipped_byte_of_the_release_is_found(
    promoted: Path, keys: tuple[str, str], name: str, place: float
) -> None:
    flip(promoted / name, place)
    assert verify("--key", keys[1]) == 1


@pytest.mark.parametrize("file", ["answers.jsonl", "registry/hermes/ledger.jsonl"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.98])
def test_one_flipped_byte_of_the_checkpoint_or_the_ledger_is_found(
    project: Project, promoted: Path, keys: tuple[str, str], file: str, place: float
) -> None:
    flip(project.path / file, place)
    assert verify("--key", keys[1]) in (1, 4)  # 4: the ledger cannot be read
    assert verify("--release", str(promoted), "--key", keys[1]) == (1 if file == "answers.jsonl" else 0)


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(bytes(data))


def test_a_file_less_is_found(promoted: Path, keys: tuple[str, str]) -> None:
    (promoted / "README.md").unlink()
    assert verify("--key", keys[1]) == 1


@pytest.mark.usefixtures("promoted")
def test_another_key_is_found(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(other)], check=True)
    public = tmp_path / "other.pub"
    subprocess.run(
        ["openssl", "ec", "-in", str(other), "-pubout", "-out", str(public)], check=True, capture_output=True
    )
    assert verify("--key", str(public)) == 1


def test_a_key_without_signatures_fails(promoted: Path, keys: tuple[str, str]) -> None:
    for path in promoted.glob("*.sig"):
        path.unlink()
    assert verify() == 0
    assert verify("--key", keys[1]) == 1


@pytest.mark.usefixtures("promoted")
def test_what_was_never_promoted_is_bad_input(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"user": "a", "content": "b"}\n')
    assert main(["verify", f"scripted:{other}"]) == 4


def test_the_statement_is_an_in_toto_test_result(project: Project, promoted: Path) -> None:
    statement = read(promoted, "statement.json")
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert [each["name"] for each in statement["subject"]] == ["answers.jsonl"]
    predicate = statement["predicate"]
    assert (predicate["result"], predicate["failedTests"]) == ("PASSED", [])
    assert predicate["passedTests"] == ["suites/test_calls.py::test_calls"]
    names = {each["name"] for each in predicate["configuration"]}
    assert names >= {"report.json", "release_summary.json", "README.md", "suites/test_calls.py", "cases/calls.jsonl"}
    assert history(Slot("hermes", project.path / "registry"))[-1].facts["release"] == promoted.name


def test_the_card_is_one_that_the_hub_reads(promoted: Path) -> None:
    card = huggingface_hub.ModelCard((promoted / "README.md").read_text())
    result = card.data.eval_results[0]
    assert (result.metric_type, result.metric_value) == ("pass_rate", 1.0)
    assert result.dataset_type == "calls.jsonl"
    assert "**PASS**" in card.text


def test_the_summary_says_how_to_do_it_again_and_no_single_case(promoted: Path) -> None:
    summary = read(promoted, "release_summary.json")
    assert summary["commands"][0].startswith("pytest ")
    assert summary["commands"][1].startswith("gate promote ")
    assert summary["metrics"][0] | {"hits": 2, "total": 2, "outcome": "PASS"} == summary["metrics"][0]
    assert "pwd" not in json.dumps(summary)


def test_a_forced_promotion_is_never_verified(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    assert project.run().ret == 0  # but the policy asks for 20 cases
    given = ["promote", MODEL, "--slot", "hermes", "--report", str(project.reports()[0])]
    assert main([*given, "--force", "the demo | is [at](x) noon"]) == 0
    place = next((project.path / "registry/hermes/releases").iterdir())
    assert read(place, "statement.json")["predicate"]["result"] == "FAILED"
    assert "**Promoted by force: `the demo ¦ is [at](x) noon`**" in (place / "README.md").read_text()
    assert verify() == 1
    assert "promoted by force" in capsys.readouterr().out


def test_the_training_data_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 2\n")
    monkeypatch.chdir(project.path)
    assert project.run().ret == 0
    slot = Slot("hermes", project.path / "registry")
    promotion.promote(promotion.Request(MODEL, slot, project.reports()[0], training={"train.jsonl": "abc"}))
    place = next((slot.folder / "releases").iterdir())
    assert read(place, "release_summary.json")["training"] == {"train.jsonl": "abc"}
    assert "`train.jsonl` `abc`" in (place / "README.md").read_text()


def test_a_key_that_is_none_promotes_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 2\n")
    monkeypatch.chdir(project.path)
    assert project.run().ret == 0
    given = ["promote", MODEL, "--slot", "hermes", "--report", str(project.reports()[0]), "--sign", "no.pem"]
    assert main(given) == 4
    assert history(Slot("hermes", project.path / "registry")) == ()
