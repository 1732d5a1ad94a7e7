"""The training loop: mlx-lm's models and LoRA layers, with features that its trainer lacks.

Clipped gradients, a guard against NaN and divergence, the best adapter by the loss on the whole validation set, early
stopping, accumulation weighted by trained tokens, batches of rows of one length, and a state that resumes bit for bit.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_map, tree_reduce

from gate.errors import GateError
from gate.types import Json
from trainers import batches, state
from trainers.loss import loss_of, vocabulary
from trainers.model import quantised
from trainers.recipe import FLOAT_CLIP, QUANTISED_CLIP, Training
from trainers.tokens import Turn

REPORT = 10
"""Steps between two lines of metrics."""
SEEDS = 1_000_003
"""Distance of two seeds: after so many steps the random numbers of one would repeat those of the next."""
WORSE = 1.5
"""Multiple of the loss of guessing (ln of the vocabulary) above which a run has diverged."""


class Diverged(GateError):  # noqa: N818 not a fault of the program: the run ends in good order
    """The loss is not finite, or worse than guessing; the adapter is the last good one."""

    status = 1


class Interrupted(GateError):  # noqa: N818
    """The user stopped the run; everything is saved."""

    status = 130


@dataclass(frozen=True, slots=True)
class Data:
    """The rows to train on and to validate with."""

    train: list[Turn]
    valid: list[Turn]
    fingerprint: str
    """Digest of rows, recipe and base: a state with another one is refused."""


@dataclass(slots=True)
class Progress:
    """The counters of a run; saved with its state."""

    step: int = 0
    tokens: int = 0
    best: float = math.inf
    best_step: int = -1
    seconds: float = 0.0

    def counters(self, fingerprint: str) -> Json:
        return {name: getattr(self, name) for name in self.__slots__} | {"fingerprint": fingerprint}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    why: str
    """steps | patience"""
    step: int
    best: float
    """Validation loss of the best adapter, in nats per token."""
    best_step: int
    last: float


@dataclass(slots=True)
class Hooks:
    """Callbacks of a run: whether to stop, each line of metrics, each step of all steps."""

    stop: Callable[[], bool] = lambda: False
    record: Callable[[Json], None] = lambda _line: None
    step: Callable[[int, int], None] = lambda _step, _steps: None


@dataclass(slots=True)
class _Window:
    """Sums since the last line of metrics."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0


def steps_of(training: Training, rows: int) -> int:
    """Optimizer steps of a run over `rows` rows."""
    return training.steps or max(1, math.ceil(training.epochs * steps_in_epoch(training, rows)))


def steps_in_epoch(training: Training, rows: int) -> int:
    """Optimizer steps in which every row is trained once; the last of them can have fewer batches."""
    return math.ceil(math.ceil(rows / training.batch) / training.accumulate)


def schedule(training: Training, steps: int) -> Callable[[mx.array], mx.array]:
    """The learning rate by optimizer step: a rise from 0 over the warm-up, then constant or a cosine to a tenth."""
    warm = round(training.warmup * steps)

    def rate(step: mx.array) -> mx.array:
        rise = mx.minimum(1.0, (step + 1) / (warm + 1))
        if training.schedule == "constant":
            return training.rate * rise
        done = mx.clip((step - warm) / max(1, steps - warm), 0.0, 1.0)
        return training.rate * rise * (0.1 + 0.45 * (1 + mx.cos(math.pi * done)))

    return rate


def train(model: Any, data: Data, training: Training, folder: Path, config: Json, hooks: Hooks) -> Outcome:
    """Train a prepared model in `folder`: `adapter/` is the best one, `last/` the last, `state.safetensors` resumes.

    `config` is written as each adapter's adapter_config.json. Raises Diverged, Interrupted, StateError.
    """
    return _Run(model, data, training, folder, config, hooks).whole()


class _Run:
    def __init__(self, model: Any, data: Data, training: Training, folder: Path, config: Json, hooks: Hooks) -> None:
        self.model, self.data, self.training = model, data, training
        self.folder, self.config, self.hooks = folder, config, hooks
        self.steps = steps_of(training, len(data.train))
        self.optimizer = optim.AdamW(learning_rate=schedule(training, self.steps), weight_decay=training.decay)
        self.optimizer.init(model.trainable_parameters())
        self.clip = training.clip or (QUANTISED_CLIP if quantised(model) else FLOAT_CLIP)
        self.at = Progress()
        self.state = folder / "state.safetensors"
        self.limit = WORSE * math.log(vocabulary(model))
        self.window = _Window()
        self.lowest = math.inf
        self.before: Any = None
        """The weights with the lowest loss of a batch, restored at divergence; None for a full fine-tune."""

    def whole(self) -> Outcome:
        if self.state.exists():
            counters = state.load(self.state, self.model, self.optimizer, fingerprint=self.data.fingerprint)
            self.at = Progress(**{name: counters[name] for name in Progress.__slots__})
        self._forget_after(self.at.step)
        step = self._compiled()
        last = math.nan
        if self.at.best_step < 0:
            last = self._evaluate()
        self.model.train()
        for group in self._groups(self.at.step):
            begun = time.perf_counter()
            mx.random.seed(self.training.seed * SEEDS + self.at.step)  # dropout is the same in a resumed run
            loss, norm, tokens = self._step(step, group)
            self.at.step += 1
            self.at.tokens += tokens
            self._count(loss, norm, tokens, time.perf_counter() - begun)
            ended = self.at.step == self.steps
            if ended or self.at.step % self.training.evaluate == 0:
                last = self._evaluate()
            patient = self.at.step - self.at.best_step < self.training.patience
            stopping = self.hooks.stop()
            if ended or not patient or stopping or self.at.step % self.training.save == 0:
                state.save(self.state, self.model, self.optimizer, self.at.counters(self.data.fingerprint))
            self.hooks.step(self.at.step, self.steps)
            if stopping and not ended:
                self._keep("last")
                raise Interrupted(f"stopped after step {self.at.step} of {self.steps}; the same command goes on there")
            if not patient:
                break
        if math.isnan(last):
            last = self._evaluate()
        self._keep("last")
        why = "steps" if self.at.step == self.steps else "patience"
        return Outcome(why, self.at.step, self.at.best, self.at.best_step, last)

    def _groups(self, begin: int) -> Iterator[list[list[int]]]:
        """The batches of each optimizer step, from step `begin` on."""
        lengths = [len(turn.tokens) for turn in self.data.train]
        some = self.training.accumulate
        order: list[list[int]] = []
        in_epoch = steps_in_epoch(self.training, len(lengths))
        for step in range(begin, self.steps):
            epoch, place = divmod(step, in_epoch)
            if not order or place == 0:
                order = batches.ordered(lengths, self.training.batch, seed=self.training.seed, epoch=epoch)
            yield order[place * some : (place + 1) * some]

    def _step(self, step: Any, group: list[list[int]]) -> tuple[float, float, int]:
        """One optimizer step over its batches. Raises Diverged before anything bad is kept."""
        turns = [[self.data.train[number] for number in numbers] for numbers in group]
        total = sum(turn.trained for rows in turns for turn in rows)
        begun = self.model.trainable_parameters()
        loss, gradient, norm = mx.array(0.0), None, mx.array(0.0)
        for place, rows in enumerate(turns, start=1):
            arrays = map(mx.array, batches.padded(rows, self.training.batch))
            loss, gradient, norm = step(*arrays, mx.array(float(total)), loss, gradient, place == len(turns))
            mx.eval(self.model.state, self.optimizer.state, mx.random.state, loss, norm, gradient)
        value, size = _number(loss), _number(norm)
        if not (math.isfinite(value) and math.isfinite(size) and value <= self.limit):
            self._diverged(value, size, [turn for rows in turns for turn in rows])
        if value < self.lowest and self.training.type != "full":
            self.lowest, self.before = value, begun
        return value, size, total

    def _compiled(self) -> Any:
        """A step that keeps the old weights if its loss or gradient is not finite, or the loss is above the limit."""
        model, optimizer, clip, limit = self.model, self.optimizer, self.clip, self.limit
        captured = [model.state, optimizer.state, mx.random.state]
        measured = nn.utils.value_and_grad(model, loss_of)

        @partial(mx.compile, inputs=captured, outputs=captured)
        def step(tokens: Any, spans: Any, offsets: Any, total: Any, before: Any, gradient: Any, update: bool) -> Any:
            loss, found = measured(model, tokens, spans, offsets, total)
            loss = loss + before
            if gradient is not None:
                found = tree_map(lambda one, other: one + other, found, gradient)
            if not update:
                return loss, found, mx.array(0.0)
            norm = mx.sqrt(tree_reduce(lambda sum_, each: sum_ + each.astype(mx.float32).square().sum(), found, 0.0))
            good = mx.isfinite(norm) & (loss <= limit)
            factor = mx.minimum(1.0, clip / (norm + 1e-6))
            old = model.trainable_parameters()
            optimizer.update(model, tree_map(lambda each: (each * factor).astype(each.dtype), found))
            model.update(tree_map(lambda new, was: mx.where(good, new, was), model.trainable_parameters(), old))
            return loss, None, norm

        return step

    def _evaluate(self) -> float:
        """The loss over the whole validation set, in nats per trained token; the best adapter so far is saved."""
        begun = time.perf_counter()
        self.model.eval()
        lengths = [len(turn.tokens) for turn in self.data.valid]
        total, count = 0.0, sum(turn.trained for turn in self.data.valid)
        for numbers in batches.ordered(lengths, self.training.batch, seed=0, epoch=0):
            batch = batches.padded([self.data.valid[number] for number in numbers], self.training.batch)
            tokens, spans, offsets = map(mx.array, batch)
            total += _number(loss_of(self.model, tokens, spans, offsets, mx.array(1.0)))
        mx.clear_cache()
        self.model.train()
        loss = total / count
        if loss < self.at.best:
            self.at.best, self.at.best_step = loss, self.at.step
            self._keep("adapter")
        elif self.at.best_step < 0:
            self.at.best_step = self.at.step  # the base's own loss is not finite: patience begins here
        seconds = time.perf_counter() - begun
        self._record({"step": self.at.step, "valid": loss, "best": self.at.best, "seconds": round(seconds, 3)})
        return loss

    def _count(self, loss: float, norm: float, tokens: int, seconds: float) -> None:
        window = self.window
        window.losses.append(loss)
        window.norms.append(norm)
        window.tokens += tokens
        window.seconds += seconds
        self.at.seconds += seconds
        if self.at.step % REPORT and self.at.step != self.steps:
            return
        self._record(
            {
                "step": self.at.step,
                "loss": sum(window.losses) / len(window.losses),
                "rate": self.optimizer.learning_rate.item(),
                "norm": max(window.norms),
                "tokens": self.at.tokens,
                "tokens_per_second": round(window.tokens / window.seconds, 1),
                "memory": mx.get_peak_memory(),
                "seconds": round(self.at.seconds, 3),
            }
        )
        self.window = _Window()

    def _keep(self, name: str) -> None:
        """Save what was trained as an adapter that mlx-lm loads."""
        place = self.folder / name
        state.save_weights(place / "adapters.safetensors", self.model)
        (place / "adapter_config.json").write_text(json.dumps(self.config, indent=1) + "\n")

    def _record(self, line: Json) -> None:
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self.hooks.record(line)

    def _forget_after(self, step: int) -> None:
        """Remove the metrics of steps that will be run again."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step] if step else []
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def _diverged(self, loss: float, norm: float, turns: list[Turn]) -> None:
        if self.before is not None:
            self.model.update(self.before)
            self._evaluate()
        where = ", ".join(dict.fromkeys(turn.where for turn in turns))
        kept = f"adapter/ is the best before it, with a validation loss of {self.at.best:.3f}"
        if self.at.best_step == 0:
            kept += ": that of the base, because nothing was learned yet"
        what = "is not finite" if not (math.isfinite(loss) and math.isfinite(norm)) else "is worse than guessing"
        raise Diverged(
            f"step {self.at.step + 1}: the loss {what} (loss {loss:.3g}, gradient norm {norm:.3g}); its rows: {where}. "
            f"{kept}. Lower the rate or the clip, or look at these rows"
        )


def _number(value: Any) -> float:
    return float(value.item())
