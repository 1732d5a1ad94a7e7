"""Training against `mlx_lm lora`: time per step on rows of one length, time per epoch on rows of mixed length.

    python -m benchmarks.training [--steps 20] [--rounds 3]

SmolLM2-135M, LoRA of rank 8 on all layers, batch 4, the same rows, the same rate, no clipping that bites; the two take
turns in processes of their own, and the time of the first steps (compiling) is left out. A step is a batch in both. On
mixed rows mlx_lm batches at random: it sorts by the number of a row's keys
(mlx_lm/tuner/trainer.py, iterate_batches on CacheDataset.itemlen).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from tabulate import tabulate

from gate.checkpoints import demo
from gate.system import platform

WARM = 3
THEIRS = """
import sys, time, types, json
import numpy as np, mlx.core as mx
from mlx_lm import lora
args = dict(lora.CONFIG_DEFAULTS) | json.loads(sys.argv[1])
times, losses, valid = [], [], []
class Told:
    def on_train_loss_report(self, info): times.append(time.perf_counter()); losses.append(info["train_loss"])
    def on_val_loss_report(self, info): valid.append(info["val_loss"])
lora.get_reporting_callbacks = lambda *a, **k: Told()
lora.run(types.SimpleNamespace(**args))
print("TIMES", json.dumps([times, losses, valid]))
"""
OURS = """
import sys, time, json
from pathlib import Path
from mlx_lm.utils import load
from trainers import engine
from trainers.model import prepared
from trainers.recipe import Training
from trainers.tokens import turns
settings = json.loads(sys.argv[1])
model, tokenizer = load(settings["model"])[:2]
training = Training(rank=8, scale=20.0, rate=1e-4, schedule="constant", warmup=0.0, decay=0.0, clip=1e9, batch=4,
                    steps=settings["iters"], length=2048, evaluate=10**6, save=10**6, patience=10**7)
train, _ = turns(Path(settings["data"]) / "train.jsonl", tokenizer, length=2048, every=True)
prepared(model, training)
engine.REPORT = 1
times, losses, valid = [], [], []
def tell(line):
    if "loss" in line: times.append(time.perf_counter()); losses.append(line["loss"])
    if "valid" in line: valid.append(line["valid"])
folder = Path(settings["adapter_path"]); folder.mkdir(parents=True, exist_ok=True)
engine.train(model, engine.Data(train, train[:4], "x"), training, folder, {}, engine.Hooks(record=tell))
print("TIMES", json.dumps([times, losses, valid]))
"""


def rows(folder: Path, lengths: list[int]) -> None:
    """A data set whose rows have about so many words."""
    chance = random.Random(0)
    words = ("the", "a", "cat", "dog", "house", "river", "stone", "light", "walks", "sees", "finds", "small", "slowly")
    lines = []
    for length in lengths:
        text = " ".join(chance.choice(words) for _ in range(length))
        messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": text}]
        lines.append(json.dumps({"messages": messages}) + "\n")
    for name in ("train", "valid"):
        (folder / f"{name}.jsonl").write_text("".join(lines if name == "train" else lines[:4]))


def timed(script: str, settings: dict[str, object]) -> tuple[list[float], list[float], list[float]]:
    """Seconds of each step after the warm-up, every loss, and the losses on four rows before and after."""
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(settings)],
        env=platform.model_environment(offline=True),
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^TIMES (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    times, losses, valid = json.loads(found[1])
    own = times[WARM - 1 : -1]  # before its last step mlx_lm looks at the validation rows
    return [b - a for a, b in pairwise(own)], losses, valid


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    base = str(demo.ensure(progress=False))
    chance = random.Random(1)
    kinds = {
        "one length": [60] * 4 * args.steps,
        "mixed": [chance.choice((10, 20, 40, 80, 160, 320)) for _ in range(4 * args.steps)],
    }
    table = []
    for kind, lengths in kinds.items():
        ratios, curves, seen = [], [], []
        for _ in range(args.rounds):
            pair = []
            for script in (THEIRS, OURS):
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name)
                    rows(folder, lengths)
                    settings = {
                        "model": base, "train": True, "data": name, "iters": args.steps, "batch_size": 4,
                        "num_layers": -1, "learning_rate": 1e-4, "steps_per_report": 1, "steps_per_eval": 10**6,
                        "save_every": 10**6, "val_batches": 1, "mask_prompt": True, "optimizer": "adamw",
                        "optimizer_config": {"adamw": {"weight_decay": 0.0}}, "adapter_path": str(folder / "out"),
                    }  # fmt: skip
                    begun = time.perf_counter()
                    steps, losses, valid = timed(script, settings)
                    pair.append(sum(steps) / len(steps))
                    curves.append(losses)
                    seen.append(valid)
                    print(f"{kind}: {'ours' if script is OURS else 'mlx_lm'} {pair[-1]:.3f} s a step, "
                          f"{time.perf_counter() - begun:.0f} s in all", flush=True)  # fmt: skip
            ratios.append(pair[0] / pair[1])
        means = [" ".join(f"{statistics.fmean(curve[at : at + 5]):.2f}" for at in range(0, args.steps, 5))
                 for curve in curves[:2]]  # fmt: skip
        same = [f"{valid[0]:.3f} > {valid[-1]:.3f}" for valid in seen[:2]]
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        table.append([kind, spread, f"{statistics.median(ratios):.2f}", *means, *same])
    head = ["rows", "mlx_lm / ours", "median", "losses by 5 steps, mlx_lm", "ours", "4 rows, mlx_lm", "ours"]
    print("\n" + tabulate(table, head, disable_numparse=True))


if __name__ == "__main__":
    main()
