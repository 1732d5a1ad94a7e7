"""The estimate of a training's memory: what must make it larger does, and it says when it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from gate.errors import GateError
from tests.unit.trainers.test_curves import base
from trainers import fit
from trainers.recipe import Recipe, Training

PLAIN = Training(rank=8, batch=4, length=512)


def peak(folder: Path, training: Training, *, rows: int = 4, length: int = 512) -> float:
    return fit.estimate(training, folder, rows=rows, length=length).peak


def test_what_takes_more_memory_is_estimated_higher(tmp_path: Path) -> None:
    folder = base(tmp_path / "base", 16)
    plain = peak(folder, PLAIN)
    assert peak(folder, PLAIN, rows=8) > plain
    assert peak(folder, PLAIN, length=1024) > plain
    assert peak(folder, replace(PLAIN, checkpoint=True)) < plain
    assert peak(folder, replace(PLAIN, layers=1)) < plain
    assert peak(folder, replace(PLAIN, type="dora")) >= plain
    assert peak(folder, replace(PLAIN, rank=64)) >= plain


def test_the_parts_make_the_whole_and_a_recipe_is_told_of(tmp_path: Path) -> None:
    folder = base(tmp_path / "base", 16)
    recipe = Recipe(tmp_path / "r.toml", "persona", "x", tmp_path / "out", train=PLAIN)
    text = fit.planned(recipe, folder)
    assert "4 rows of 512 tokens" in text
    assert text.splitlines()[-1].endswith("fits")
    huge = fit.planned(replace(recipe, train=replace(PLAIN, batch=100_000)), folder)
    assert "DOES NOT FIT" in huge


def test_a_model_of_unknown_sizes_is_told(tmp_path: Path) -> None:
    folder = base(tmp_path / "base", 16)
    (folder / "config.json").write_text(json.dumps({"hidden_size": 8}))
    with pytest.raises(GateError, match="cannot be estimated"):
        peak(folder, PLAIN)
