"""Rows of a repair whose cases are not burned are not trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.repair.test_build import a_report, project, repair
from trainers.prepare import burning
from trainers.recipe import RecipeError


def test_rows_of_a_repair_need_burned_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_report(project(tmp_path), {"status": "model"})
    assert repair(tmp_path) == 0
    rows, manifest = [tmp_path / "out/train.jsonl"], tmp_path / "out/manifest.json"
    told = json.loads(manifest.read_text())
    burning.check(rows, tmp_path)
    shutil.move(tmp_path / "registry", tmp_path / "elsewhere")
    burning.check(rows, tmp_path)  # named by its whole path, which is not here
    assert "whether its cases are burned is not known" in capsys.readouterr().out
    manifest.write_text(json.dumps(told | {"registry": "registry"}))
    with pytest.raises(RecipeError, match=r"1 of its cases are not burned in .*burned\.jsonl, the first status"):
        burning.check(rows, tmp_path)
    shutil.move(tmp_path / "elsewhere", tmp_path / "registry")
    burning.check(rows, tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"rows": {}}', '{"command": ["gate", "repair"]}'])
def test_rows_beside_no_repair_are_taken(tmp_path: Path, text: str) -> None:
    if text:
        (tmp_path / "manifest.json").write_text(text)
    burning.check([tmp_path / "train.jsonl"], tmp_path)


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{half")
    with pytest.raises(RecipeError, match="cannot be read"):
        burning.check([tmp_path / "train.jsonl"], tmp_path)
