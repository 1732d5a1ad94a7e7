"""A child process has limits of time, memory and output, and says in one line why there is no answer."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from gate.errors import GateError
from gate.system import platform, sandbox

HEAD = "from gate.system import sandbox\n"


@pytest.fixture
def child(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Write a module `child_under_test` whose function is this body, and run it."""

    def run(body: str, *, seconds: float = 20, memory: int = 2**30, request: object = None) -> object:
        (tmp_path / "child_under_test.py").write_text(f"{HEAD}def work(request):\n    {body}\nsandbox.answer(work)\n")
        here = f"{tmp_path}:{Path(__file__).parents[3]}"
        environment = {"PYTHONPATH": here, "PATH": ""}
        return sandbox.run(
            "child_under_test", {"given": request}, seconds=seconds, memory=memory, environment=environment
        )

    return run


def test_the_answer_is_json(child) -> None:  # type: ignore[no-untyped-def]
    assert child("return {'got': request['given'], 'text': 'ü'}", request=[1, None]) == {"got": [1, None], "text": "ü"}


def test_what_a_library_prints_is_no_part_of_the_answer(child) -> None:  # type: ignore[no-untyped-def]
    assert child("print('noise'); return 1") == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError('line one\\nline two')", "ValueError: line one line two"),
        ("import os; os._exit(3)", "died with status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died with status -9"),
    ],
)
def test_a_child_that_fails_says_why(child, body: str, why: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(sandbox.LimitError, match=why):
        child(body)


def test_a_child_that_takes_too_long_is_ended(child) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(sandbox.LimitError, match=r"longer than 1\.5 s"):
        child("import time; time.sleep(60)", seconds=1.5)


def test_a_child_that_takes_too_much_memory_is_ended(child) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(sandbox.LimitError, match="more than 256 MiB"):
        child("x = bytearray(b'a') * (600 * 2**20); import time; time.sleep(20)", memory=256 * 2**20)


def test_a_child_that_says_too_much_is_ended(child, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sandbox, "OUTPUT", 2**16)
    with pytest.raises(sandbox.LimitError):
        child("return 'x' * 2**20")


def test_a_child_outlives_its_parent_by_no_more_than_its_processor_time(child) -> None:  # type: ignore[no-untyped-def]
    limits = child("import resource; return resource.getrlimit(resource.RLIMIT_CPU)", seconds=7)
    assert isinstance(limits, list)
    assert 7 <= limits[0] < limits[1]
    assert sys.executable


HOSTILE = "import pathlib; pathlib.Path({sentinel!r}).write_text('ran'); raise SystemExit('hostile')\n"


@pytest.mark.parametrize("module", ["gguf", "jinja2"])
def test_nothing_that_lies_in_the_current_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """Whoever runs `gate preflight .` inside of a model's folder does not run the model's Python files."""
    model, sentinel = tmp_path / "model", tmp_path / "ran"
    model.mkdir()
    (model / f"{module}.py").write_text(HOSTILE.format(sentinel=str(sentinel)))
    (model / "template.jinja").write_text("x")
    monkeypatch.chdir(model)
    request = {"template": "{{ messages[0].content }}", "contexts": [{"messages": [{"content": "hello"}]}]}
    with contextlib.suppress(GateError):
        sandbox.run("gate.checkpoints.probes.template", request, seconds=30, memory=2**31)
    with contextlib.suppress(GateError):
        sandbox.run("gate.checkpoints.probes.gguf", {"path": "template.jinja"}, seconds=30, memory=2**31)
    assert not sentinel.exists()
    inherited = platform.PYTHON
    monkeypatch.setattr(platform, "PYTHON", inherited[:1])
    with contextlib.suppress(GateError):
        sandbox.run(
            f"gate.checkpoints.probes.{'gguf' if module == 'gguf' else 'template'}", request, seconds=30, memory=2**31
        )
    assert sentinel.exists()
