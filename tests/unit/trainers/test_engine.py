"""The training loop on a tiny random model: what is trained, what is kept, and that a killed run ends the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

mx = pytest.importorskip("mlx.core")

from mlx_lm.models import gemma2, llama  # noqa: E402

from gate.errors import GateError  # noqa: E402
from trainers import batches, engine, state  # noqa: E402
from trainers.loss import has_separable_head, loss_of  # noqa: E402
from trainers.model import prepared  # noqa: E402
from trainers.recipe import Training  # noqa: E402
from trainers.tokens import Turn  # noqa: E402

VOCABULARY = 48
QUICK = Training(rank=4, rate=1e-2, batch=4, steps=12, evaluate=4, save=4, patience=100, dropout=0.1)


def tiny(seed: int = 1) -> Any:
    mx.random.seed(seed)
    model = llama.Model(
        llama.ModelArgs(
            model_type="llama",
            hidden_size=32,
            num_hidden_layers=2,
            intermediate_size=64,
            num_attention_heads=4,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            vocab_size=VOCABULARY,
            tie_word_embeddings=True,
        )
    )
    mx.eval(model.parameters())
    return model


def turns(count: int, *, seed: int = 0) -> list[Turn]:
    """Rows that answer each prompt with its tokens in reverse, which can be learned."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        prompt = random.integers(4, 20, size=int(random.integers(3, 30))).tolist()
        made.append(Turn((*prompt, *prompt[:3][::-1], 2), len(prompt), f"rows:{number}"))
    return made


DATA = engine.Data(turns(24), turns(8, seed=9), "this run")


def run(folder: Path, training: Training = QUICK, data: engine.Data = DATA, **hooks: Any) -> engine.Outcome:
    folder.mkdir(exist_ok=True)
    model = tiny()
    prepared(model, training)
    return engine.train(model, data, training, folder, {"model": "tiny"}, engine.Hooks(**hooks))


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_and_keeps_the_best_beside_the_last(tmp_path: Path) -> None:
    outcome = run(tmp_path, replace(QUICK, steps=32))
    looks = [line["valid"] for line in metrics(tmp_path) if "valid" in line]
    assert looks[-1] < 0.9 * looks[0]
    assert outcome.best == min(looks)
    for name in ("adapter", "last"):
        assert json.loads((tmp_path / name / "adapter_config.json").read_text()) == {"model": "tiny"}
        assert len(mx.load(str(tmp_path / name / "adapters.safetensors"))) == 2 * 7 * 2


@pytest.mark.parametrize("at", [1, 4, 7, 11])
def test_a_run_that_was_stopped_ends_bit_for_bit_the_same(tmp_path: Path, at: int) -> None:
    whole = run(tmp_path / "whole")
    seen: list[int] = []
    with pytest.raises(engine.Interrupted, match=f"stopped after step {at} of 12"):
        run(tmp_path / "cut", stop=lambda: len(seen) >= at - 1, step=lambda step, _: seen.append(step))
    resumed = run(tmp_path / "cut")
    assert resumed == whole
    one, other = (mx.load(str(tmp_path / name / "last/adapters.safetensors")) for name in ("whole", "cut"))
    assert all(mx.array_equal(one[name], other[name]) for name in one)
    known = [{k: v for k, v in line.items() if k not in ("seconds", "memory", "tokens_per_second", "loss", "norm")}
             for line in metrics(tmp_path / "whole")]  # fmt: skip
    again = [{k: v for k, v in line.items() if k not in ("seconds", "memory", "tokens_per_second", "loss", "norm")}
             for line in metrics(tmp_path / "cut")]  # fmt: skip
    assert again == known


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(state.StateError, match="another recipe"):
        run(tmp_path, data=engine.Data(DATA.train, DATA.valid, "another run"))


def test_a_state_that_was_cut_short_is_told(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(state.StateError, match="cannot be read"):
        run(tmp_path)


def test_accumulated_batches_are_one_large_one(tmp_path: Path) -> None:
    """Weighted by trained tokens: rows of 1 and of 20 trained tokens would differ under a mean of means."""
    rows = [Turn((*range(4, 14), *([5] * (1 if n % 2 else 20)), 2), 10, f"rows:{n}") for n in range(8)]
    found = []
    for batch, accumulate in ((8, 1), (2, 4)):
        training = replace(QUICK, batch=batch, accumulate=accumulate, steps=3, dropout=0.0, evaluate=100, save=100)
        run(tmp_path / str(batch), training, engine.Data(rows, rows, "x"))
        found.append(mx.load(str(tmp_path / str(batch) / "last/adapters.safetensors")))
    one, other = found
    assert max(float(mx.abs(one[name] - other[name]).max()) for name in one) < 1e-5


def test_what_is_trained_is_the_answer_and_no_pad_token() -> None:
    """Against the entropy of exactly the answer's tokens, worked out one by one."""
    model = tiny()
    rows = [Turn((5, 6, 7, 8, 2), 3, "a"), Turn((9, 10, 11, 12, 13, 14, 2), 5, "b")]
    arrays = [mx.array(array) for array in batches.padded(rows, 4)]
    losses = [float(loss_of(model, *arrays, mx.array(1.0)).item())]
    assert has_separable_head(model)
    losses.append(float(loss_of(model, *arrays, mx.array(1.0)).item()))
    wanted = 0.0
    for row in rows:
        logits = np.array(model(mx.array([row.tokens[:-1]]))[0])
        for at in range(row.start, len(row.tokens)):
            scores = logits[at - 1]
            wanted -= scores[row.tokens[at]] - math.log(np.exp(scores - scores.max()).sum()) - scores.max()
    assert losses == pytest.approx([wanted, wanted], rel=1e-4)


def test_a_model_that_caps_its_logits_is_asked_whole() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64, "num_attention_heads": 4,
             "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": 48, "head_dim": 8}  # fmt: skip
    model = gemma2.Model(gemma2.ModelArgs(model_type="gemma2", **sizes))
    assert not has_separable_head(model)
    arrays = [mx.array(array) for array in batches.padded([Turn((5, 6, 7, 2), 2, "a")], 1)]
    assert math.isfinite(float(loss_of(model, *arrays, mx.array(1.0)).item()))


def test_a_loss_that_is_none_stops_and_keeps_the_last_good(tmp_path: Path) -> None:
    with pytest.raises(engine.Diverged, match=r"the loss is (not finite|worse than guessing).*rows:\d+") as caught:
        run(tmp_path, replace(QUICK, rate=1e4, steps=200, warmup=0.1, clip=10.0, dropout=0.0))
    assert caught.value.status == 1
    kept = mx.load(str(tmp_path / "adapter/adapters.safetensors"))
    assert all(bool(mx.isfinite(value).all()) for value in kept.values())


def test_a_row_that_gives_nan_changes_no_weight(tmp_path: Path) -> None:
    model = tiny()
    prepared(model, QUICK)
    model.model.layers[0].self_attn.q_proj.lora_b = mx.full((4, 32), math.nan)
    tmp_path.joinpath("x").mkdir()
    with pytest.raises(engine.Diverged, match="is not finite"):
        engine.train(model, DATA, QUICK, tmp_path / "x", {}, engine.Hooks())


def test_patience_ends_it(tmp_path: Path) -> None:
    outcome = run(tmp_path, replace(QUICK, rate=1e-9, steps=100, evaluate=2, patience=6, dropout=0.0))
    assert (outcome.why, outcome.step < 20) == ("patience", True)


def test_dora_and_full_train_too(tmp_path: Path) -> None:
    for kind in ("dora", "full"):
        outcome = run(tmp_path / kind, replace(QUICK, type=kind, steps=8, rate=1e-3))
        assert outcome.best < metrics(tmp_path / kind)[0]["valid"]


def test_an_adapter_to_begin_with_must_fit(tmp_path: Path) -> None:
    run(tmp_path / "one")
    begun = replace(QUICK, resume=str(tmp_path / "one/adapter"), steps=1)
    run(tmp_path / "two", begun)
    assert metrics(tmp_path / "two")[0]["valid"] == pytest.approx(min(
        line["valid"] for line in metrics(tmp_path / "one") if "valid" in line))  # fmt: skip
    with pytest.raises(GateError, match="holds other tensors"):
        run(tmp_path / "three", replace(begun, rank=8))


def test_modules_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="nothing would be trained"):
        run(tmp_path, replace(QUICK, modules=("self_attn.qqq",)))


def test_the_rate_rises_then_falls_to_a_tenth() -> None:
    rate = engine.schedule(replace(QUICK, rate=1.0, warmup=0.1), 100)
    values = [float(rate(mx.array(step)).item()) for step in range(100)]
    assert values[0] == pytest.approx(1 / 11)
    assert max(values) == pytest.approx(1.0, abs=1e-3)
    assert values.index(max(values)) == 10
    assert values[-1] == pytest.approx(0.1, abs=0.01)


def test_checkpointing_changes_no_number(tmp_path: Path) -> None:
    plain = run(tmp_path / "a", replace(QUICK, steps=3, dropout=0.0))
    layer = type(tiny().model.layers[0])
    before = layer.__call__
    try:
        less = run(tmp_path / "b", replace(QUICK, steps=3, dropout=0.0, checkpoint=True))
    finally:
        layer.__call__ = before
    assert less.last == pytest.approx(plain.last, rel=1e-5)
