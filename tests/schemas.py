"""`python -m tests.schemas`: write the JSON Schemas of the TOML files that users write, for their editors."""

from __future__ import annotations

import json
from pathlib import Path

from gate.judge.rubric import File as Rubric
from gate.judge.style_rules import StyleRules
from gate.registry.policy import Policy
from gate.repair.phrases import File as Phrases
from gate.system import typed
from trainers.queue import Queue
from trainers.recipe import File as Recipe

ROOT = Path(__file__).parents[1]
SCHEMAS = {
    "gate/schemas/policy.json": Policy,
    "gate/schemas/rubric.json": Rubric,
    "gate/schemas/style_rules.json": StyleRules,
    "gate/schemas/phrases.json": Phrases,
    "trainers/schemas/recipe.json": Recipe,
    "trainers/schemas/queue.json": Queue,
}


def text(name: str) -> str:
    """The content that a schema's file must have."""
    return json.dumps(typed.schema(SCHEMAS[name]), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (ROOT / name).write_text(text(name), encoding="utf-8")
