"""`gate curves RUN…`: draws the curves of trainings over each other, and prints their numbers.

- reduction: how much smaller the last smoothed training loss is than the first, in percent of the first.
- convergence: the first step from which the smoothed training loss stays within 5 % of the run's whole drop above its
  lowest.
- variation: standard deviation over mean of the training loss after convergence, in percent.

The training loss is smoothed by a running mean of five lines of metrics.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from gate.errors import GateError
from gate.types import Json

WINDOW = 5
NEAR = 0.05
PANELS = (
    ("loss", "training loss (nats a token)"),
    ("valid", "validation loss (nats a token)"),
    ("rate", "learning rate"),
    ("norm", "gradient norm, largest of ten steps"),
    ("tokens_per_second", "trained tokens a second"),
    ("memory", "peak memory (GB)"),
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one run."""

    steps: int
    first: float
    last: float
    reduction: float
    """Percent."""
    convergence: int
    """A step."""
    variation: float
    """Percent."""
    best: float
    best_step: int
    memory: float
    """Peak, GB."""
    speed: float
    """Median of trained tokens a second."""


def read(run: Path) -> list[Json]:
    """The lines of a run's metrics.jsonl; `run` is that file or a folder with it. Raises GateError."""
    places = [run] if run.is_file() else [run / "metrics.jsonl", run / "train" / "metrics.jsonl"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise GateError(f"{run}: there is no metrics.jsonl in it")
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError as error:
        raise GateError(f"{path}: cannot be read: {error}") from error


def numbers(lines: list[Json]) -> Numbers:
    """The numbers of a run's lines. Raises GateError without a line of training and one of validation."""
    trained = [line for line in lines if "loss" in line]
    evaluated = [line for line in lines if "valid" in line]
    if not trained or not evaluated:
        raise GateError("a run without a line of training and one of validation has no curve")
    losses = [line["loss"] for line in trained]
    smooth = smoothed(losses)
    lowest = min(smooth)
    limit = lowest + NEAR * (smooth[0] - lowest)
    after = max((n + 1 for n, value in enumerate(smooth) if value > limit), default=0)
    steady = losses[min(after, len(losses) - 1) :]
    best = min(evaluated, key=lambda line: line["valid"])
    return Numbers(
        steps=trained[-1]["step"],
        first=smooth[0],
        last=smooth[-1],
        reduction=100 * (1 - smooth[-1] / smooth[0]),
        convergence=trained[min(after, len(trained) - 1)]["step"],
        variation=100 * statistics.pstdev(steady) / statistics.fmean(steady),
        best=best["valid"],
        best_step=best["step"],
        memory=max(line["memory"] for line in trained) / 1e9,
        speed=statistics.median(line["tokens_per_second"] for line in trained),
    )


def smoothed(values: list[float]) -> list[float]:
    """A running mean over the last WINDOW values."""
    return [statistics.fmean(values[max(0, n - WINDOW + 1) : n + 1]) for n in range(len(values))]


def table(runs: dict[str, Numbers]) -> str:
    """The numbers of runs, side by side."""
    rows = [
        ["steps", *[str(each.steps) for each in runs.values()]],
        ["loss, first", *[f"{each.first:.3f}" for each in runs.values()]],
        ["loss, last", *[f"{each.last:.3f}" for each in runs.values()]],
        ["reduction", *[f"{each.reduction:.1f} %" for each in runs.values()]],
        ["convergence at step", *[str(each.convergence) for each in runs.values()]],
        ["variation after it", *[f"{each.variation:.1f} %" for each in runs.values()]],
        ["best validation", *[f"{each.best:.4f} (step {each.best_step})" for each in runs.values()]],
        ["peak memory", *[f"{each.memory:.2f} GB" for each in runs.values()]],
        ["tokens/s", *[f"{each.speed:.0f}" for each in runs.values()]],
    ]
    return tabulate(rows, ["", *runs], disable_numparse=True)


def draw(runs: dict[str, list[Json]], stem: Path) -> list[Path]:
    """Draw the runs over each other as `stem`.svg and .png. Raises GateError without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise GateError("curves are drawn with matplotlib: pip install 'pytest-gate[train]'") from error
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 2, figsize=(11, 10), constrained_layout=True)
    for axis, (key, title) in zip(axes.flat, PANELS, strict=True):
        for name, lines in runs.items():
            points = [(line["step"], line[key]) for line in lines if key in line]
            scale = 1e9 if key == "memory" else 1
            axis.plot([x for x, _ in points], [y / scale for _, y in points], label=name, linewidth=1.4)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    paths = [stem.with_suffix(suffix) for suffix in (".svg", ".png")]
    for path in paths:
        figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return paths


def run(folders: list[Path], stem: Path) -> int:
    """Print the numbers of trainings and draw their curves. Raises GateError."""
    runs = {path.parent.name if path.name == "train" else path.name: read(path) for path in folders}
    print(table({name: numbers(lines) for name, lines in runs.items()}))
    for path in draw(runs, stem):
        print(path)
    return 0
