"""`gate parity` on scripted models: what it asks, says and exits with."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gate.cli import parity as command
from gate.cli.main import Command
from gate.errors import CheckpointError, ServeError
from gate.models.serving import process, scripted
from gate.parity import ask
from gate.parity.answer import Answer


def test_there_are_24_prompts_half_with_tools_and_those_with_the_same_tools_in_a_row() -> None:
    asked = ask.prompts()
    assert len({prompt.id for prompt in asked}) == len(asked) == 24
    assert sum(bool(prompt.tools) for prompt in asked) == 12
    surfaces = [json.dumps([prompt.tools, prompt.messages[0]["role"] == "system"]) for prompt in asked]
    changes = sum(a != b for a, b in pairwise(surfaces))
    assert changes == len(set(surfaces)) - 1
    assert sum(bool(prompt.tools) for prompt in ask.prompts(6)) == 3


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A scripted model that answers everything alike."""
    path = tmp_path / "right.jsonl"
    path.write_text('{"content": "Paris."}\n')
    return path


def parity(*arguments: str) -> int:
    parser = Command(prog="gate")
    command.add_parsers(parser.add_subparsers())
    given = parser.parse_args(["parity", *arguments])
    return int(given.run(given))


def test_equal_hops_exit_0(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity(f"scripted:{script}", f"scripted:{script}", "--prompts", "4") == 0
    out, progress = capsys.readouterr()
    assert out.splitlines()[-1] == "no hop fell: right (1) = right (2)"
    assert "asking right (2) 4/4" in progress


def test_a_fallen_hop_exits_1_and_json_tells_each_difference(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = script.with_name("wrong.jsonl")
    wrong.write_text('{"content": "Rome."}\n')
    assert parity(f"scripted:{script}", f"scripted:{wrong}", "--prompts", "2", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"].startswith("fell between right and wrong: 2 of 2 answers differ")
    assert told["hops"][1]["with_first"]["differing"][0]["texts"] == ["Paris.", "Rome."]


def test_a_hop_whose_model_the_server_cannot_parse_is_compared_all_the_same(script: Path) -> None:
    broken = script.with_name("broken.jsonl")
    broken.write_text('{"status": 500, "body": "The model produced output that does not match the expected format"}\n')
    assert parity(f"scripted:{script}", f"scripted:{broken}", "--prompts", "2") == 1


def test_bad_input_is_refused_before_anything_is_served(script: Path) -> None:
    with pytest.raises(CheckpointError, match="two hops or more"):
        parity(f"scripted:{script}")
    with pytest.raises(CheckpointError, match="there is no such path"):
        parity(f"scripted:{script}", "/no/such/path")
    with pytest.raises(CheckpointError, match="none of the hops is one"):
        parity(f"scripted:{script}", f"scripted:{script}", "--base", "/tmp")
    with pytest.raises(SystemExit):
        parity(f"scripted:{script}", f"scripted:{script}", "--prompts", "25")
    with pytest.raises(SystemExit):
        parity(f"scripted:{script}", f"scripted:{script}", "--bound", "nan")


def test_a_hop_that_cannot_be_served_is_named(script: Path) -> None:
    script.with_name("bad.jsonl").write_text('{"unknown": 1}\n')
    with pytest.raises(ServeError, match=r"^bad: .*bad\.jsonl:1"):
        parity(f"scripted:{script}", f"scripted:{script.with_name('bad.jsonl')}", "--prompts", "1")


def test_ctrl_c_stops_the_server(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = []
    served = process.serve

    def watched(*given: Any, **more: Any) -> object:
        serving = served(*given, **more)
        return replace(serving, stop=lambda: stopped.append(serving.stop()))

    def interrupted(*_: object) -> Answer:
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(script.parent))
    monkeypatch.setattr(scripted, "serve", watched)
    monkeypatch.setattr(ask, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        parity(f"scripted:{script}", f"scripted:{script}")
    assert len(stopped) == 1
    assert not list(script.parent.glob("gate-*"))


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parity("--help")
    out = capsys.readouterr().out
    assert "gate parity adapter fused fused-8bit" in out
    assert "exit status 1: a hop fell" in out
