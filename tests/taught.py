"""A real checkpoint in every form, made once a session: SmolLM2, taught a few tool calls, fused, quantised.

The adapter is trained for a few iterations on rows of the cases it is asked, so that it has something to be right
about: the tests are about the way through the gate, not about what the model can do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gate.checkpoints import checkpoint, demo
from gate.models.runtime import Serving, Start
from gate.models.serving import mlx
from gate.system import platform
from tests.project import TOOL

NAMES = ("pwd", "ls", "whoami")


def mlx_lm(*arguments: str) -> None:
    command = [sys.executable, "-m", "mlx_lm", *arguments]
    done = subprocess.run(
        command, env=platform.model_environment(offline=True), capture_output=True, text=True, check=False, timeout=550
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _taught(name: str) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": "terminal", "arguments": {"command": name}}}
    return [{"role": "user", "content": name}, {"role": "assistant", "content": "", "tool_calls": [call]}]


@pytest.fixture(scope="session")
def base() -> Path:
    return demo.ensure(progress=False)


@pytest.fixture(scope="session")
def served(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One mlx_lm server of the base for all tests that only ask it; who stops or breaks one starts its own."""
    start = Start(tmp_path_factory.mktemp("served"), timeout=300, context=2048, parallel=1, say=lambda _: None)
    serving = mlx.RUNTIME.start(checkpoint.identify(str(base)), start)
    assert serving is not None
    yield serving
    serving.stop()


@pytest.fixture(scope="session")
def gguf() -> Path:
    return demo.gguf()


@pytest.fixture(scope="session")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that has learned to call terminal(command=<the message>), trained once for this recipe."""
    versions = [metadata.version(name) for name in ("mlx", "mlx-lm")]
    recipe = json.dumps([Path(__file__).read_text(), TOOL, str(base), versions, asdict(platform.hardware())])
    kept = platform.cache_folder() / "tests" / f"adapter-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        trained = _trained(base, tmp_path_factory)
        with tempfile.TemporaryDirectory(dir=kept.parent) as beside, contextlib.suppress(OSError):
            shutil.copytree(trained, Path(beside) / "adapter")
            (Path(beside) / "adapter").rename(kept)  # as a whole; where another session was faster, its own stays
    return kept


def _trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("adapter")
    rows = [json.dumps({"messages": _taught(name), "tools": [TOOL]}) + "\n" for name in NAMES * 8]
    for split in ("train", "valid"):
        (data / f"{split}.jsonl").write_text("".join(rows))
    mlx_lm(
        *("lora", "--model", str(base), "--train", "--data", str(data), "--adapter-path", str(out), "--mask-prompt"),
        *("--iters", "24", "--batch-size", "2", "--learning-rate", "5e-4", "--num-layers", "-1", "--val-batches", "1"),
        *("--steps-per-eval", "100", "--seed", "0"),
    )
    return out


@pytest.fixture(scope="session")
def fused(base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fused") / "fused"
    mlx_lm("fuse", "--model", str(base), "--adapter-path", str(adapter), "--save-path", str(out))
    return out


@pytest.fixture(scope="session")
def eight_bit(fused: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("8bit") / "fused-8bit"
    mlx_lm("convert", "--hf-path", str(fused), "--mlx-path", str(out), "-q", "--q-bits", "8", "--dtype", "float32")
    return out
