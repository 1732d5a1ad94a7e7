"""`python -m trainers.prepare RECIPE`: writes a recipe's rows to `<out>/data/`: train, valid, test and a manifest.

No row is a near duplicate of a case of the suites, and no two splits share a prompt.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from gate.cases import loader
from gate.repair.split import SPLITS, split
from gate.system import jsonl
from gate.system.hashing import sha256
from gate.types import Json
from trainers import recipe as recipes
from trainers.cli import exit_status
from trainers.prepare import contamination, distill, files, function_calling, persona, tool_repair
from trainers.recipe import Recipe, RecipeError
from trainers.split import is_distinct

KINDS = {each.__name__.rpartition(".")[2]: each for each in (tool_repair, function_calling, distill, persona)}
SUITE = '''"""Rows that no training has seen."""

import pytest


@pytest.mark.gate("unseen.jsonl", floor={floor})
def test_unseen(model, case):
    assert model.ask(case).calls == case.calls
'''


def main(arguments: list[str] | None = None) -> int:
    """Prepare a recipe's rows. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.prepare", description=__doc__)
    parser.add_argument("recipe", type=Path)
    path = parser.parse_args(arguments).recipe
    return exit_status(lambda: prepare(recipes.read(path)))


def prepare(recipe: Recipe) -> None:
    """Write `<out>/data/`. Raises GateError."""
    if recipe.kind not in KINDS:
        raise RecipeError(f"{recipe.path}: kind = {recipe.kind!r}: expected one of {', '.join(KINDS)}")
    contamination.check(files.named(recipe, "rows", needed=False), tool_repair.fixtures(recipe).parent)
    rows = KINDS[recipe.kind].rows(recipe)
    asked = _asked(tool_repair.fixtures(recipe))
    distinct = is_distinct([_question(row) for row in rows], asked) if asked else [True] * len(rows)
    kept = [row for row, good in zip(rows, distinct, strict=True) if good]
    parts = split(kept, said=lambda row: [_question(row)], category=tool_repair.category, seed=recipe.train.seed)
    if empty := [name for name in SPLITS[:2] if not parts[name]]:
        raise RecipeError(f"{recipe.path}: {len(kept)} rows leave none for {empty[0]}: add more, and more varied ones")
    folder = recipe.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for name in SPLITS:
        text = "".join(json.dumps(_chat_row(row), ensure_ascii=False) + "\n" for row in parts[name])
        jsonl.write_whole(folder / f"{name}.jsonl", text)
    manifest = {
        "kind": recipe.kind,
        "rows": {name: dict(Counter(tool_repair.category(row) for row in parts[name])) for name in SPLITS},
        "like a case": [_question(row) for row, good in zip(rows, distinct, strict=True) if not good],
        "sha256": {name: sha256(folder / f"{name}.jsonl", fresh=True) for name in SPLITS},
    }
    jsonl.write_whole(folder / "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")
    if recipe.kind == "function_calling":
        _suite(recipe, parts["test"])
    counts = ", ".join(f"{len(parts[name])} {name}" for name in SPLITS)
    print(f"{counts}; {len(rows) - len(kept)} rows were left out as near duplicates of cases ({folder})")


def _suite(recipe: Recipe, rows: list[Json]) -> None:
    """Write the unseen rows as a suite of a new project, which base and trained model are asked alike."""
    project = recipe.out / "project"
    for name in ("suites", "fixtures/cases", "fixtures/tools"):
        (project / name).mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(function_calling.case(number, row), ensure_ascii=False) for number, row in enumerate(rows, 1)]
    jsonl.write_whole(project / "fixtures/cases/unseen.jsonl", "".join(f"{line}\n" for line in lines))
    jsonl.write_whole(project / "suites/test_unseen.py", SUITE.format(floor=float(recipe.data.get("floor", 0.8))))
    policy = f"[tool.pytest-gate]\nmin_cases = {min(20, len(lines))}\n\n[tool.pytest.ini_options]\n"
    jsonl.write_whole(project / "pyproject.toml", policy)


def _asked(fixtures: Path) -> list[str]:
    """The last user messages of the suites' cases."""
    texts = [
        _question({"messages": case.messages})
        for name in loader.files(fixtures)
        for case in loader.load(name, fixtures).cases
    ]
    return [text for text in texts if text]


def _question(row: Json) -> str:
    texts = [message["content"] for message in row["messages"] if message["role"] == "user"]
    return str(texts[-1]) if texts else ""


def _chat_row(row: Json) -> Json:
    return {key: value for key, value in row.items() if key in ("messages", "tools")}


if __name__ == "__main__":
    sys.exit(main())
