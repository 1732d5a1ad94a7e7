"""The four kinds of recipes in miniature on SmolLM2, and a training that is killed in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gate.models import determinism
from gate.models.serving.process import free_port
from gate.preflight.artifact import assembled
from gate.preflight.registry import inspect, worst
from gate.system import platform
from trainers import recipe as recipes
from trainers.prepare.__main__ import prepare

pytestmark = pytest.mark.real
DEMO = Path(__file__).parents[2] / "trainers" / "demo"
QUICK = "rank = 4\nlayers = 2\nbatch = 2\nsteps = 3\nevaluate = 2\nlength = 700\nrate = 2e-4\n"


def a_recipe(folder: Path, kind: str, data: str, *, train: str = QUICK) -> Path:
    path = folder / "recipe.toml"
    path.write_text(f'kind = "{kind}"\nbase = "smollm2"\nout = "out"\n[data]\n{data}\n[train]\n{train}')
    return path


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def sft(recipe: Path) -> subprocess.CompletedProcess[str]:
    command = [*platform.PYTHON, "-m", "trainers.sft", str(recipe)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=550)


def trained(recipe: Path) -> Path:
    prepare(recipes.read(recipe))
    done = sft(recipe)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return recipe.parent / "out" / "train" / "adapter"


def sound(adapter: Path) -> bool:
    artifact = assembled(str(adapter), base=None, against=None, train=None, fixtures=Path("none"))
    return worst(inspect(artifact)) in ("", "warn")


def words(count: int) -> list[str]:
    said = ["red", "green", "blue", "black", "white", "grey", "pink", "gold", "brown", "silver"]
    return [f"{said[n % 10]} {n * 7919} {said[(n * 3 + 1) % 10]}" for n in range(count)]


def test_tool_repair_gives_an_adapter_that_preflight_lets_pass(tmp_path: Path) -> None:
    slots = f'slots = "{DEMO}/fixtures/slots/demo.toml"\nfixtures = "{DEMO}/fixtures"\nmost = 8'
    adapter = trained(a_recipe(tmp_path, "tool_repair", slots))
    assert sound(adapter)
    again = sft(tmp_path / "recipe.toml")
    assert "trained already" in again.stdout


def test_function_calling(tmp_path: Path) -> None:
    tools = [{"name": "paint", "description": "Paint", "parameters": {"colour": {"type": "str"}}}]
    rows = [
        {"query": f"Paint it {word}.", "tools": tools, "answers": [{"name": "paint", "arguments": {"colour": word}}]}
        for word in words(30)
    ]
    lines(tmp_path / "xlam.jsonl", rows)
    trained(a_recipe(tmp_path, "function_calling", 'rows = "xlam.jsonl"'))


@pytest.mark.parametrize("kind", ["lora", pytest.param("dora", marks=pytest.mark.long)])
def test_persona(tmp_path: Path, kind: str) -> None:
    """DoRA takes the same way through preparing, training and preflight, and a second training of a minute."""
    talks = [[{"from": "human", "value": word}, {"from": "gpt", "value": f"{word}. Done."}] for word in words(24)]
    lines(tmp_path / "voice.jsonl", [{"conversations": talk} for talk in talks])
    trained(a_recipe(tmp_path, "persona", 'rows = "voice.jsonl"', train=f'type = "{kind}"\n{QUICK}'))


def test_distill_keeps_what_agrees_with_the_label(tmp_path: Path) -> None:
    rows = [{"prompt": word, "gold": {"action": "SAVE"}, "task": "memorise", "category": "fact"} for word in words(24)]
    lines(tmp_path / "prompts.jsonl", rows)
    script = [{"user": row["prompt"], "content": '{"action": "SAVE"}' if n % 4 else '{"action": "SKIP"}'}
              for n, row in enumerate(rows)]  # fmt: skip
    lines(tmp_path / "teacher.jsonl", script)
    port = free_port()
    always = [part for prompt in determinism.PROMPTS for part in ("--always", prompt)]
    command = [
        *platform.PYTHON,
        "-m",
        "gate.models.serving.scripted_rules",
        str(tmp_path / "teacher.jsonl"),
        "--port",
        str(port),
    ]
    teacher = subprocess.Popen([*command, *always], stdin=subprocess.PIPE)
    try:
        _listening(port)
        data = f'rows = "prompts.jsonl"\nteacher = "http://127.0.0.1:{port}/v1"'
        trained(a_recipe(tmp_path, "distill", data))
    finally:
        teacher.kill()
        teacher.wait()
    assert len((tmp_path / "out/disagreed.jsonl").read_text().splitlines()) == 6
    assert len((tmp_path / "out/teacher.jsonl").read_text().splitlines()) == 24


def _listening(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)


@pytest.mark.long
def test_a_training_that_is_killed_ends_at_the_same_loss(tmp_path: Path) -> None:
    slots = f'slots = "{DEMO}/fixtures/slots/demo.toml"\nfixtures = "{DEMO}/fixtures"\nmost = 8'
    told = QUICK.replace("steps = 3", "steps = 8") + "save = 2\ndropout = 0.1\n"
    ends = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        recipe = a_recipe(folder, "tool_repair", slots, train=told)
        prepare(recipes.read(recipe))
        if name == "killed":
            _kill_after(recipe, folder / "out/train/state.safetensors")
            assert not (folder / "out/train/done.json").exists()
        done = sft(recipe)
        assert done.returncode == 0, done.stderr
        ends.append(json.loads((folder / "out/train/done.json").read_text()))
    assert ends[0]["last"] == ends[1]["last"]
    assert ends[0]["best"] == ends[1]["best"]


def _kill_after(recipe: Path, state: Path) -> None:
    """kill -9 as soon as a first state is saved."""
    command = [*platform.PYTHON, "-m", "trainers.sft", str(recipe)]
    running = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not state.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it had ended before it could be killed"


@pytest.mark.long
def test_a_rate_far_too_high_ends_with_its_reason_and_a_sound_adapter(tmp_path: Path) -> None:
    slots = f'slots = "{DEMO}/fixtures/slots/demo.toml"\nfixtures = "{DEMO}/fixtures"\nmost = 20'
    told = "rank = 8\nbatch = 2\nsteps = 60\nevaluate = 30\nlength = 700\nrate = 2e-1\nclip = 1.0\n"
    recipe = a_recipe(tmp_path, "tool_repair", slots, train=told)
    prepare(recipes.read(recipe))
    done = sft(recipe)
    assert done.returncode == 1, done.stdout[-1000:] + done.stderr[-1000:]
    assert "the loss is" in done.stderr
    assert "train.jsonl:" in done.stderr
    adapter = tmp_path / "out/train/adapter"
    assert sound(adapter)
