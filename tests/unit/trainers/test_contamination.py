"""Rows of a repair whose cases are not contaminated are not trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.repair.test_build import a_report, project, repair
from trainers.prepare import contamination
from trainers.recipe import RecipeError


def test_rows_of_a_repair_need_contaminated_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_report(project(tmp_path), {"status": "model"})
    assert repair(tmp_path) == 0
    rows, manifest = [tmp_path / "out/train.jsonl"], tmp_path / "out/manifest.json"
    value = json.loads(manifest.read_text())
    contamination.check(rows, tmp_path)
    shutil.move(tmp_path / "registry", tmp_path / "elsewhere")
    contamination.check(rows, tmp_path)  # named by its whole path, which is not here
    assert "whether its cases are contaminated cannot be checked" in capsys.readouterr().out
    manifest.write_text(json.dumps(value | {"registry": "registry"}))
    with pytest.raises(
        RecipeError, match=r"1 of its cases are not recorded in .*contaminated\.jsonl, the first status"
    ):
        contamination.check(rows, tmp_path)
    shutil.move(tmp_path / "elsewhere", tmp_path / "registry")
    contamination.check(rows, tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"rows": {}}', '{"command": ["gate", "repair"]}'])
def test_rows_beside_no_repair_are_taken(tmp_path: Path, text: str) -> None:
    if text:
        (tmp_path / "manifest.json").write_text(text)
    contamination.check([tmp_path / "train.jsonl"], tmp_path)


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{half")
    with pytest.raises(RecipeError, match="cannot be read"):
        contamination.check([tmp_path / "train.jsonl"], tmp_path)
