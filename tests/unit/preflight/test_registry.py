"""Rules, their table and the command: what is found decides the exit status, and what cannot be made says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gate.checkpoints import kinds
from gate.cli.main import main
from gate.preflight import registry as all_checks
from gate.preflight import rule as rules
from gate.preflight.artifact import Artifact, NotApplicable, NotPossible, assembled, once
from gate.preflight.registry import worst
from gate.preflight.rule import RULES, Rule
from gate.preflight.table import counted, findings, table
from gate.types import Check, Checkpoint
from tests.mutations import MUTATIONS

SCRIPTED = Artifact(Checkpoint(kinds.SCRIPTED, "x", Path("/x")))


def made(look, *, severity: str = "fail", kinds: tuple[str, ...] = ("scripted",)) -> Check:  # type: ignore[no-untyped-def]
    return Rule("P00", "name", severity, kinds, "mend it", False, look).check(SCRIPTED)


def raising(error: Exception):  # type: ignore[no-untyped-def]
    def look(_: Artifact) -> Sequence[str]:
        raise error

    return look


@pytest.mark.parametrize(
    ("look", "status", "found"),
    [
        (lambda _: [], "ok", ()),
        (lambda _: ["one", "two"], "found", ("one", "two")),
        (raising(NotApplicable("no such thing")), "not applicable", ("no such thing",)),
        (raising(NotPossible("give --base")), "not possible", ("give --base",)),
    ],
)
def test_a_check_has_four_outcomes(look, status: str, found: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    check = made(look)
    assert (check.status, check.found) == (status, found)


def test_a_check_for_another_kind_is_not_made() -> None:
    check = made(raising(RuntimeError("looked")), kinds=("gguf",))
    assert check.status == "not applicable"
    assert "scripted" in check.found[0]


def test_every_rule_tells_what_is_true_what_is_bad_and_what_mends_it() -> None:
    assert len(RULES) > 40
    for one in RULES:
        assert one.severity in rules.SEVERITIES
        assert one.meaning.endswith("."), one.name
        assert one.remedy, one.name
        assert set(one.kinds) <= {kind.name for kind in kinds.KINDS}, one.name
    assert len({one.name for one in RULES}) == len(RULES)


def test_every_check_of_files_has_a_mutation_that_it_must_see() -> None:
    """test_mutations.py breaks an artifact in each way. Rules for training data and versions are broken row by row and
    package by package in tests of their own; a server that ignores the file's template cannot be made here.
    """
    mutated = {one.check for one in MUTATIONS}
    others = {rule.name for rule in RULES if rule.id in ("P18", "P19", "P20")} | {"server_uses_the_template"}
    assert {rule.name for rule in RULES} - mutated - others == set()
    assert mutated <= {rule.name for rule in RULES}


def test_a_refusal_is_worse_than_a_fail_is_worse_than_a_warning() -> None:
    found = {severity: made(lambda _: ["x"], severity=severity) for severity in rules.SEVERITIES}
    fine = made(lambda _: [])
    assert worst([fine]) == ""
    assert worst([fine, found["warn"]]) == "warn"
    assert worst([found["warn"], found["fail"]]) == "fail"
    assert worst(found.values()) == "refuse"


def test_the_table_shows_what_was_found_and_why_others_were_not_made() -> None:
    made_ = [
        made(lambda _: []),
        made(lambda _: [f"line {n}" for n in range(12)]),
        made(raising(NotPossible("give --base"))),
        made(raising(NotApplicable("no tools"))),
    ]
    text = table(made_)
    assert "not possible: give --base" in text
    assert "not applicable: P00 (no tools)" in text
    assert "line 7" in text
    assert "and 4 more" in text
    assert "mend it" in text
    assert counted(made_) == "1 ok, 1 not possible, 1 found (1 fail)"
    assert len(findings(made_)) == 1


def test_a_fact_is_worked_out_once_and_so_is_its_refusal() -> None:
    calls: list[str] = []

    @once
    def fact(_: Artifact) -> str:
        calls.append("fact")
        return "value"

    @once
    def refusal(_: Artifact) -> str:
        calls.append("refusal")
        raise NotPossible("because")

    artifact = Artifact(Checkpoint(kinds.SCRIPTED, "x"))
    assert [fact(artifact), fact(artifact)] == ["value", "value"]
    for _ in range(2):
        with pytest.raises(NotPossible, match="because"):
            refusal(artifact)
    assert calls == ["fact", "refusal"]


def config(folder: Path, **more: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | more))
    (folder / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    return folder


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--base", "nowhere"], "--base nowhere: there is no config.json"),
        (["--against", "nowhere"], "--against nowhere: there is no adapter_config.json"),
        (["--train", "nowhere"], "--train nowhere: there is no such file"),
    ],
)
def test_bad_options_end_with_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    assert main(["preflight", str(config(tmp_path / "m")), *options]) == 4
    assert why in capsys.readouterr().err


def test_no_checkpoint_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", str(tmp_path)]) == 4
    assert "not a checkpoint" in capsys.readouterr().err


def test_what_may_not_be_loaded_ends_with_2_and_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config(tmp_path / "m", model_file="evil.py")
    assert main(["preflight", str(folder), "--json"]) == 2
    told = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert told["no_code_by_config"]["status"] == "found"
    assert told["renderers_agree"]["status"] == "not possible"
    assert "model_file" in told["renderers_agree"]["found"][0]
    assert set(told) == {one.name for one in all_checks.RULES if not one.served}


def test_the_base_of_an_adapter_is_its_base_and_of_others_what_they_were_made_from(tmp_path: Path) -> None:
    model, base = config(tmp_path / "m"), config(tmp_path / "b")
    none = {"against": None, "train": None, "fixtures": tmp_path}
    assert assembled(str(model), base=str(base), **none).base == base
    assert assembled(str(model), base=None, **none).base is None
    assert assembled(str(model), base=None, **none).checkpoint.base is None
