"""Steps: run once, again when something changed, stopped by a failure, and never around the gate."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from trainers import recipe as recipes
from trainers import steps
from trainers.steps import Step, StepError

DEMO = Path(__file__).parents[3] / "trainers" / "demo"


def a_step(folder: Path, code: str, **more: object) -> Step:
    return replace(Step("one", folder / "one", (sys.executable, "-c", code)), place=folder, **more)  # type: ignore[arg-type]


def count(folder: Path) -> str:
    """Code that counts how often it was run, outside of the step's folder."""
    return f"open({str(folder / 'runs')!r}, 'a').write('x')"


def test_a_finished_step_is_not_run_again(tmp_path: Path) -> None:
    step = a_step(tmp_path, count(tmp_path))
    mark = steps._run(step, "before")
    assert steps._done(step, "before") == mark
    assert (tmp_path / "runs").read_text() == "x"


def test_a_change_of_command_input_or_step_before_runs_it_again(tmp_path: Path) -> None:
    read = tmp_path / "read.txt"
    read.write_text("1")
    step = a_step(tmp_path, count(tmp_path), reads=(read,))
    steps._run(step, "before")
    assert not steps._done(step, "another")
    assert not steps._done(replace(step, command=(*step.command, "more")), "before")
    read.write_text("2")
    assert not steps._done(step, "before")


def test_what_another_run_left_is_taken_away_and_a_resumed_step_keeps_its_own(tmp_path: Path) -> None:
    for resumes, left in ((False, False), (True, True)):
        step = a_step(tmp_path, "raise SystemExit(3)", resumes=resumes)
        with pytest.raises(StepError, match="one: ended with 3"):
            steps._run(step, "before")
        (tmp_path / "one" / "half").write_text("x")
        with pytest.raises(StepError):
            steps._run(step, "before")
        assert (tmp_path / "one" / "half").exists() == left
    with pytest.raises(StepError):
        steps._run(step, "another")
    assert not (tmp_path / "one" / "half").exists()


def test_a_verdict_that_blocks_is_no_failure_of_its_step(tmp_path: Path) -> None:
    step = a_step(tmp_path, "raise SystemExit(1)", accept=steps.VERDICT)
    assert steps._done(step, "b") == "" != steps._run(step, "b")


def test_the_demo_ends_in_promotion_and_no_step_is_missing() -> None:
    recipe = recipes.read(DEMO / "recipe.toml")
    names = [step.name for step in steps.plan(recipe, Path("/base"))]
    order = ["exportable", "prepare", "lint", "grade base", "train", "fuse", "8 bit", "export"]
    assert names[: len(order)] == order
    assert names[-2:] == ["compare", "promote"]
    for form in ("adapter", "fused", "8bit", "gguf-Q8_0"):
        assert {f"check {form}", f"grade {form}"} <= set(names)
    assert "parity" in names


def test_there_is_no_flag_around_the_gate() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "gate", "train", "--help"], capture_output=True, text=True, check=True
    )
    assert sorted(part for part in shown.stdout.split() if part.startswith("--")) == ["--anyway", "--help"]


def test_killed_it_leaves_no_child(tmp_path: Path) -> None:
    """kill -9 of `gate train`: the step ends, too."""
    code = (
        "import sys; from pathlib import Path; from trainers import steps; from trainers.steps import Step;"
        f"p = Path({str(tmp_path)!r});"
        "steps._run(Step('one', p / 'one', (sys.executable, '-c', "
        "'import os,time; open(\"id\", \"w\").write(str(os.getpid())); time.sleep(60)'), place=p), '')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    identity = tmp_path / "id"
    deadline = time.monotonic() + 60
    while not (identity.exists() and identity.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = psutil.Process(int(identity.read_text()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    gone, _ = psutil.wait_procs([child], timeout=20)
    assert gone


def test_ctrl_c_reaches_the_step_which_saves(tmp_path: Path) -> None:
    saves = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: (open('saved', 'w').write('x'), sys.exit(130)))\n"
        "open('ready', 'w').write('x')\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "saves.py").write_text(saves)
    code = (
        "import sys; from pathlib import Path; from trainers import steps; from trainers.steps import Step;"
        f"p = Path({str(tmp_path)!r});"
        "steps._run(Step('one', p / 'one', (sys.executable, str(p / 'saves.py')), place=p), '')"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=30) != 0
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "one" / steps.MARKER).exists()


def test_advice_that_refuses_stops_it_unless_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [steps.advice.Advice("learning rate", "refuse", "too high", "measured")]
    monkeypatch.setattr(steps.advice, "advise", lambda _recipe, _base: refused)
    recipe = recipes.Recipe(tmp_path / "r.toml", "persona", "x", tmp_path)
    with pytest.raises(StepError, match="too high"):
        steps._advised(recipe, tmp_path, " ")
    steps._advised(recipe, tmp_path, "to see it fail")
    assert json.loads((tmp_path / "advice.json").read_text())["anyway"] == "to see it fail"
