"""Good artifacts of every kind, made from SmolLM2 in half a minute: base, adapter, fused, 8-bit, GGUF."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from gate.checkpoints import checkpoint, demo
from gate.errors import ServeError
from gate.models.runtime import Start
from gate.models.serving import llama_cpp
from gate.preflight.artifact import Artifact
from gate.system import platform

RANK, SCALE = 4, 2.0
MODULES = ("self_attn.q_proj", "self_attn.v_proj")
CONFIG = {"fine_tune_type": "lora", "num_layers": -1, "max_seq_length": 2048}


class Good:
    """The good artifacts in a folder; `copy` gives a mutation what it may write to."""

    def __init__(self, folder: Path, place: Path | None = None) -> None:
        self.folder = folder
        self.place = place or folder
        self.base = folder / "base"
        self.adapter = folder / "adapter"
        self.fused = folder / "fused"
        self.eight = folder / "eight"
        self.gguf = folder / "model.gguf"

    def at(self, place: Path) -> Good:
        """The same artifacts, for a mutation that writes into `place`."""
        return Good(self.folder, place)

    def copy(self, path: Path) -> Path:
        """A copy of a folder or file in this place; weights are hard links: replace them, never write into them."""
        target = self.place / path.name
        if path.is_file():
            return Path(shutil.copyfile(path, target))
        shutil.copytree(path, target, copy_function=_link)
        return target

    def artifact(self, path: Path, **more: Any) -> Artifact:
        """The artifact of a path, with base and adapter known."""
        made = checkpoint.identify(str(path))
        known = {"base": made.base or self.base} | more
        return Artifact(made, **known)

    @contextlib.contextmanager
    def served(self, artifact: Artifact) -> Iterator[Artifact]:
        """The artifact, a GGUF, with a llama-server that has loaded it."""
        start = Start(self.place, timeout=120, context=2048, parallel=1, say=lambda _: None)
        try:
            serving = llama_cpp.RUNTIME.start(artifact.checkpoint, start)
        except ServeError as error:
            yield replace(artifact, unserved=str(error))
            return
        try:
            yield replace(artifact, server=serving.server)
        finally:
            serving.stop()


def make(folder: Path) -> Good:
    """Make every good artifact once."""
    good = Good(folder)
    shutil.copytree(demo.ensure(progress=False), good.base, copy_function=_link)
    _adapter(good)
    _mlx_lm("fuse", "--model", good.base, "--adapter-path", good.adapter, "--save-path", good.fused)
    quantise(good.fused, good.eight, bits=8)
    _link(str(demo.gguf()), str(good.gguf))
    return good


def quantise(source: Path, target: Path, *, bits: int) -> Path:
    options = ("-q", "--q-bits", str(bits), "--q-group-size", "32", "--dtype", "float32")
    _mlx_lm("convert", "--hf-path", source, "--mlx-path", target, *options)
    return target


def fuse(base: Path, adapter: Path, target: Path) -> Path:
    _mlx_lm("fuse", "--model", base, "--adapter-path", adapter, "--save-path", target)
    return target


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file through a function that changes its object; a hard link is replaced."""
    value = json.loads(path.read_text())
    change(value)
    path.unlink()
    path.write_text(json.dumps(value))


def edit_tensors(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a safetensors file through a function that changes its dict of arrays; a hard link is replaced."""
    tensors = {name: value.copy() for name, value in load_file(path).items()}
    change(tensors)
    path.unlink()
    save_file(tensors, path)


def write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


def _adapter(good: Good) -> None:
    """A small LoRA of random numbers, seeded: as large beside the weights as a short fine-tune's."""
    random = np.random.default_rng(0)
    weights = load_file(good.base / "model.safetensors")
    tensors = {}
    for name in (f"model.layers.{block}.{module}" for block in range(30) for module in MODULES):
        rows, columns = weights[f"{name}.weight"].shape
        tensors[f"{name}.lora_a"] = random.uniform(-1, 1, (columns, RANK)).astype(np.float32) / columns**0.5
        tensors[f"{name}.lora_b"] = random.normal(0, 0.01, (RANK, rows)).astype(np.float32)
    good.adapter.mkdir()
    save_file(tensors, good.adapter / "adapters.safetensors")
    parameters = {"rank": RANK, "scale": SCALE, "dropout": 0.0, "keys": list(MODULES)}
    config = CONFIG | {"model": str(good.base), "lora_parameters": parameters}
    (good.adapter / "adapter_config.json").write_text(json.dumps(config))


def _link(source: str, target: str) -> str:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _mlx_lm(*arguments: object) -> None:
    command = [sys.executable, "-m", "mlx_lm", *map(str, arguments)]
    environment = platform.model_environment(offline=True)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=550)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
