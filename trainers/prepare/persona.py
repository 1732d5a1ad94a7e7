"""Rows of kind `persona`: chat rows unchanged, one conversation per row.

Teaches a person's way of speaking. trainers/recipes/ has two configurations: `persona.toml` (LoRA, rank 32) and
`persona_dora.toml` (DoRA, rank 8).

    [data]
    rows = ["voice.jsonl"]       # {"messages": […]}, prompt and completion, or ShareGPT's conversations (from, value)
    system = ""                  # prepended to each conversation that has none
"""

from __future__ import annotations

from gate.cases import training_rows as training
from gate.types import Json
from trainers.prepare import files
from trainers.recipe import Recipe, RecipeError

SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def rows(recipe: Recipe) -> list[Json]:
    """Chat rows. Raises RecipeError with file:line."""
    system = str(recipe.data.get("system", ""))
    return [_row(value, where, system) for where, value in files.objects(files.named(recipe, "rows"))]


def _row(value: Json, where: str, system: str) -> Json:
    messages = training.messages(value, training.form(value))
    if "conversations" in value:
        try:
            turns = value["conversations"]
            messages = [{"role": SPEAKERS[each["from"]], "content": each["value"]} for each in turns]
        except (KeyError, TypeError) as error:
            raise RecipeError(
                f"{where}: conversations must be a list of objects with from and value: {error}"
            ) from error
    if not messages or messages[-1].get("role") != "assistant":
        raise RecipeError(f"{where}: a conversation must end with an assistant turn")
    head = [{"role": "system", "content": system}] if system and messages[0].get("role") != "system" else []
    return {"messages": head + messages, "category": "short" if len(messages) <= 2 else "long"}
