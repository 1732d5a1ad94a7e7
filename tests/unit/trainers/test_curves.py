"""The numbers of a curve by their definitions, the drawing, the queue's stop rules, and advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gate.cli.main import main
from gate.errors import GateError
from trainers import advice, curves, queue
from trainers.recipe import Recipe, Training


def lines(losses: list[float], valid: list[float]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"step": 0, "valid": valid[0], "best": valid[0], "seconds": 1}]
    for n, loss in enumerate(losses, start=1):
        found.append({"step": 10 * n, "loss": loss, "rate": 1e-4, "norm": 1.0, "tokens": 5,
                      "tokens_per_second": 100.0, "memory": 2 * 10**9, "seconds": n})  # fmt: skip
    return found + [{"step": 10 * n, "valid": v, "best": v, "seconds": 1} for n, v in enumerate(valid[1:], start=1)]


def test_the_numbers_are_as_defined() -> None:
    found = curves.numbers(lines([4.0] * 5 + [1.0] * 15, [4.0, 2.0, 1.5, 1.6]))
    assert (found.first, found.last, found.reduction) == (4.0, 1.0, 75.0)
    assert found.convergence == 100  # the running mean of five has forgotten the last 4.0 at the tenth line
    assert found.variation == 0
    assert (found.best, found.best_step, found.memory, found.speed) == (1.5, 20, 2.0, 100.0)


def test_a_run_that_never_settles_converges_at_its_end() -> None:
    assert curves.numbers(lines([5.0, 4.0, 3.0, 2.0, 1.0], [5.0])).convergence == 50


def test_runs_are_drawn_over_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        text = "".join(json.dumps(line) + "\n" for line in lines([2.0, 1.0], [2.0, 1.0]))
        (tmp_path / name / "metrics.jsonl").write_text(text)
    stem = tmp_path / "drawn"
    assert main(["curves", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(stem)]) == 0
    assert "reduction" in capsys.readouterr().out
    assert (tmp_path / "drawn.svg").read_text().count("<svg") == 1
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_metrics_is_bad_input(tmp_path: Path) -> None:
    assert main(["curves", str(tmp_path)]) == 4
    with pytest.raises(GateError, match="has no curve"):
        curves.numbers([])


@pytest.mark.parametrize(
    ("valid", "results", "why"),
    [
        ([2.0, 1.99, 1.98], {}, "no progress by step 20"),
        ([2.0, 1.5, 1.4], {}, ""),
        ([2.0, 1.5, 1.4], {"other": {"best": 1.0}}, "worse than other"),
        ([2.0, 1.5, 0.9], {"other": {"best": 1.0}}, ""),
        ([2.0, 1.99], {}, ""),
    ],
)
def test_a_stop_rule(valid: list[float], results: dict[str, Any], why: str) -> None:
    each = queue.Experiment("this.toml", by_step=20, fall=0.05, worse_than="other" if results else "")
    assert queue.verdict(each, lines([1.0], valid), results) == why


@pytest.mark.parametrize(
    "text",
    ["", "[[experiment]]\nrecipe = 1", '[[experiment]]\nrecipe = "a.toml"\nbystep = 1',
     '[[experiment]]\nrecipe = "a.toml"\nworse_than = "b"', '[[experiment]]\nrecipe = "a.toml"\n' * 2],
)  # fmt: skip
def test_a_queue_that_is_none_is_bad_input(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.toml").write_text(text)
    assert queue.main([str(tmp_path / "q.toml")]) == 4


def test_experiments_come_by_priority(tmp_path: Path) -> None:
    (tmp_path / "q.toml").write_text(
        '[[experiment]]\nrecipe = "a.toml"\npriority = 2\n[[experiment]]\nrecipe = "b.toml"\npriority = 1\n'
    )
    assert [each.name for each in queue.load(tmp_path / "q.toml")] == ["b", "a"]


def base(folder: Path, bits: int) -> Path:
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    packed = {"quantization": {"bits": bits, "group_size": 32}} if bits < 16 else {}
    sizes = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128,
             "vocab_size": 100}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(sizes | packed))
    names = [f"model.layers.{n}.self_attn.{part}_proj.weight" for n in (0, 1) for part in "qk"]
    save_file({name: np.zeros((64, 64), np.float16) for name in names}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("bits", "rate", "kind", "level"),
    [
        (16, 2e-4, "lora", "fine"), (16, 4e-4, "lora", "warn"), (16, 1e-3, "lora", "refuse"),
        (8, 7e-5, "lora", "fine"), (8, 2e-4, "lora", "warn"), (4, 5e-5, "lora", "fine"), (4, 1e-4, "lora", "warn"),
        (4, 2e-4, "lora", "refuse"), (16, 2e-5, "full", "fine"), (16, 2e-4, "full", "refuse"),
    ],
)  # fmt: skip
def test_the_rate_is_judged_by_the_bases_bits(tmp_path: Path, bits: int, rate: float, kind: str, level: str) -> None:
    training = Training(rate=rate, type=kind)
    recipe = Recipe(tmp_path / "r.toml", "persona", "x", tmp_path / "out", train=training)
    found = {each.what: each.level for each in advice.advise(recipe, base(tmp_path / "base", bits))}
    assert found["learning rate"] == level
    assert found["type"] == ("refuse" if kind == "full" and bits < 16 else "fine")


def test_trained_parameters_are_counted(tmp_path: Path) -> None:
    folder = base(tmp_path / "base", 16)
    assert advice.parameters(Training(rank=8), folder) == 4 * 8 * (64 + 64)
    assert advice.parameters(Training(rank=8, layers=1), folder) == 2 * 8 * (64 + 64)
    assert advice.parameters(Training(rank=8, modules=("self_attn.q_proj",)), folder) == 2 * 8 * (64 + 64)
    assert advice.parameters(Training(rank=8, type="dora"), folder) == 4 * (8 * (64 + 64) + 64)
    assert advice.parameters(Training(type="full"), folder) == 4 * 64 * 64


def test_many_parameters_for_few_tokens_are_a_warning(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "r.toml", "persona", "x", tmp_path / "out", train=Training(rank=64))
    (tmp_path / "out/data").mkdir(parents=True)
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x" * 400}]}
    for count, level in ((1, "warn"), (50, "fine")):
        (tmp_path / "out/data/train.jsonl").write_text((json.dumps(row) + "\n") * count)
        found = {each.what: each for each in advice.advise(recipe, base(tmp_path / "base", 16))}
        assert found["rank, modules"].level == level
    seen = advice.advise(replace(recipe, train=Training(steps=1000)), tmp_path / "base")
    assert next(each for each in seen if each.what == "epochs").level == "warn"
