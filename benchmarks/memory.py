"""Peak memory of real trainings, and the fit that `gate plan` estimates with.

    python -m benchmarks.memory [--out docs/memory.md]

A grid over SmolLM2 and tiny random models of three other architectures: rank, layers, batch, length, LoRA and DoRA,
gradient checkpointing; three steps each in a process of its own, mx.get_peak_memory. Every third run is left out of the
fit (non-negative least squares on relative errors) and shows the error of the estimate.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from tabulate import tabulate

from gate.checkpoints import demo
from gate.system import platform
from trainers import fit
from trainers.recipe import Training

RUN = """
import sys, json, tempfile
from pathlib import Path
import mlx.core as mx, numpy as np
from mlx_lm.utils import load_model
from trainers import engine
from trainers.model import prepared
from trainers.recipe import Training
from trainers.tokens import Turn
settings = json.loads(sys.argv[1])
training = Training(**settings["training"] | {"modules": tuple(settings["training"]["modules"])})
model, config = load_model(Path(settings["base"]))
chance = np.random.default_rng(0)
rows = [Turn(tuple(chance.integers(5, 900, size=settings["length"] + 1).tolist()), 5, "x") for n in range(12)]
prepared(model, training)
folder = Path(tempfile.mkdtemp())
mx.reset_peak_memory()
engine.train(model, engine.Data(rows, rows[:1], "x"), training, folder, {}, engine.Hooks())
print("PEAK", mx.get_peak_memory())
"""
MAKE = """
import sys, json
from pathlib import Path
import mlx.core as mx, importlib
from mlx.utils import tree_flatten
config, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
module = importlib.import_module("mlx_lm.models." + config["model_type"])
model = module.Model(module.ModelArgs.from_dict(config))
folder.mkdir(parents=True)
mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
(folder / "config.json").write_text(json.dumps(config))
"""
SIZES = {"hidden_size": 384, "num_hidden_layers": 8, "num_attention_heads": 6, "num_key_value_heads": 2,
         "intermediate_size": 1024, "vocab_size": 16000, "rms_norm_eps": 1e-6, "head_dim": 64,
         "max_position_embeddings": 4096, "rope_theta": 10000.0, "tie_word_embeddings": True}  # fmt: skip
MODELS = {
    "qwen3": {"model_type": "qwen3", **SIZES},
    "gemma2": {"model_type": "gemma2", **SIZES},
    "phi3": {"model_type": "phi3", **SIZES},
}


def grid() -> list[tuple[str, Training, int]]:
    """(model, training, length) of every run."""
    found = []
    for batch, length, rank, layers, kind, checkpoint in [
        (1, 128, 8, -1, "lora", False), (2, 128, 8, -1, "lora", False), (4, 128, 8, -1, "lora", False),
        (1, 256, 8, -1, "lora", False), (2, 256, 32, -1, "lora", False), (1, 512, 8, -1, "lora", False),
        (4, 64, 8, -1, "lora", False), (2, 128, 64, -1, "lora", False), (2, 128, 8, 8, "lora", False),
        (4, 128, 8, 15, "lora", False), (2, 256, 8, -1, "lora", True), (4, 128, 8, -1, "lora", True),
        (1, 512, 8, -1, "lora", True), (2, 128, 8, -1, "dora", False), (1, 256, 8, 8, "dora", False),
        (4, 64, 16, -1, "dora", False),
    ]:  # fmt: skip
        training = Training(rank=rank, layers=layers, type=kind, batch=batch, checkpoint=checkpoint, steps=3,
                            evaluate=100, save=100)  # fmt: skip
        found.append(("smollm2", training, length))
    for name in MODELS:
        for batch, length, rank, kind, checkpoint in [
            (4, 128, 8, "lora", False), (2, 512, 8, "lora", False), (8, 256, 32, "lora", False),
            (4, 256, 8, "lora", True), (4, 128, 8, "dora", False),
        ]:  # fmt: skip
            training = Training(rank=rank, type=kind, batch=batch, checkpoint=checkpoint, steps=3, evaluate=100,
                                save=100)  # fmt: skip
            found.append((name, training, length))
    return found


def measured(base: Path, training: Training, length: int) -> int:
    """Bytes at the peak of a run."""
    settings = {"base": str(base), "training": asdict(training), "length": length}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(settings)],
        env=platform.model_environment(offline=True),
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^PEAK (\d+)$", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(done.stdout[-1000:] + done.stderr[-3000:])
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        bases = {"smollm2": demo.ensure(progress=False)}
        for model, config in MODELS.items():
            bases[model] = Path(name) / model
            command = [sys.executable, "-c", MAKE, json.dumps(config), str(bases[model])]
            subprocess.run(command, env=platform.model_environment(offline=True), check=True)
        for model, training, length in grid():
            found = fit.features(training, bases[model], rows=training.batch, length=length)
            peak, weights = measured(bases[model], training, length), fit.weights(bases[model])
            rows.append({"model": model, "training": training, "length": length, "features": found,
                         "weights": weights, "peak": peak})  # fmt: skip
            print(f"{model} {training.type} rank {training.rank} layers {training.layers} batch {training.batch} "
                  f"length {length} checkpoint {training.checkpoint}: {peak / 1e9:.3f} GB", flush=True)  # fmt: skip
    fitted(rows, args.out)


def fitted(rows: list[dict[str, Any]], out: Path | None) -> None:
    """Fit, and print and write the table and the weights."""
    names = list(rows[0]["features"])
    chosen = [row for n, row in enumerate(rows) if n % 3 != 2]
    matrix = np.array([[row["features"][key] / row["peak"] for key in names] for row in chosen])
    scale = matrix.max(axis=0)
    wanted = np.array([(row["peak"] - row["weights"]) / row["peak"] for row in chosen])
    found, _ = nnls(matrix / scale, wanted)
    weights = dict(zip(names, (found / scale).tolist(), strict=True))
    table = []
    for n, row in enumerate(rows):
        estimated = row["weights"] + sum(weights[key] * row["features"][key] for key in names)
        training = row["training"]
        table.append([row["model"], training.type, training.rank, training.layers, training.batch, row["length"],
                      "yes" if training.checkpoint else "", f"{row['peak'] / 1e9:.3f}", f"{estimated / 1e9:.3f}",
                      f"{100 * (estimated / row['peak'] - 1):+.1f} %", "left out" if n % 3 == 2 else ""])  # fmt: skip
    head = ["model", "type", "rank", "layers", "batch", "length", "checkpoint", "measured GB", "estimated", "off", ""]
    text = tabulate(table, head, tablefmt="github", disable_numparse=True)
    print(text, json.dumps(weights, indent=1), sep="\n\n")
    if out:
        out.write_text(text + "\n")


if __name__ == "__main__":
    main()
