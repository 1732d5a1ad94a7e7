"""Rows of kind `distill`: answers of a teacher, kept only if they agree with the gold label.

Teaches a small model to decide as a large one does, without the large one's mistakes. The teacher is any
OpenAI-compatible server; its answers are stored in `<out>/teacher.jsonl`, so that a stopped run resumes.

    [data]
    rows = ["prompts.jsonl"]     # {"messages" or "prompt": …, "gold": …, "task": "…", "category": "…"}
    teacher = "http://127.0.0.1:8080/v1"
    model = ""                   # the teacher's name, if its server has several
    max_tokens = 256
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from gate.cases.normalize import words
from gate.checkpoints.checkpoint import identify
from gate.errors import AskError
from gate.models import runtime
from gate.models.client import Client
from gate.models.runtime import Start
from gate.system.answer_file import AnswerFile
from gate.types import Json
from trainers.prepare import files
from trainers.recipe import Recipe, RecipeError


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    asked: str
    answer: str


def rows(recipe: Recipe) -> list[Json]:
    """Chat rows with the teacher's answers that agree; the others are written to `<out>/disagreed.jsonl`.

    Raises RecipeError for a wrong row, AskError if the teacher gives no answer.
    """
    questions = [_question(value, where) for where, value in files.objects(files.named(recipe, "rows"))]
    answers = AnswerFile(recipe.out / "teacher.jsonl", _Line)
    kept: list[Json] = []
    dropped: list[Json] = []
    with _teacher(recipe) as ask:
        for row in questions:
            key = _key(row["messages"], recipe)
            answer = answers.get(key)
            if answer is None:
                answer = answers.keep(key, ask(row["messages"]))
            (kept if agrees(answer, row["gold"]) else dropped).append({**row, "answer": answer})
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in dropped)
    (recipe.out / "disagreed.jsonl").write_text(text, encoding="utf-8")
    print(
        f"the teacher agrees with {len(kept)} of {len(questions)} gold labels; the others: {recipe.out}/disagreed.jsonl"
    )
    return [
        {
            "messages": [*row["messages"], {"role": "assistant", "content": row["answer"]}],
            "category": f"{row['task']} {row['category']}".strip(),
        }
        for row in kept
    ]


def agrees(answer: str, gold: Any) -> bool:
    """Is an answer the gold JSON value, an object with every key of a gold object, or the same words?"""
    if isinstance(gold, str):
        return words(answer) == words(gold)
    try:
        value = json.loads(answer)
    except ValueError:
        return False
    if isinstance(gold, dict) and isinstance(value, dict):
        return all(key in value and value[key] == label for key, label in gold.items())
    return bool(value == gold)


def _question(value: Json, where: str) -> Json:
    messages = value.get("messages") or [{"role": "user", "content": value.get("prompt")}]
    if "gold" not in value or not all(isinstance(each.get("content"), str) for each in messages):
        raise RecipeError(f"{where}: a row needs `gold`, and `messages` or a `prompt`")
    return {
        "messages": messages,
        "gold": value["gold"],
        "task": str(value.get("task", "")),
        "category": str(value.get("category", "")),
    }


class _teacher:  # noqa: N801 a context manager
    """Asks the teacher; a faulty answer stops the run, which can be resumed."""

    def __init__(self, recipe: Recipe) -> None:
        address = str(recipe.data.get("teacher", ""))
        if not address.startswith(("http://", "https://")):
            raise RecipeError(f"{recipe.path}: [data] teacher: name an OpenAI-compatible URL, ending in /v1")
        self.limit = files.whole(recipe.data, "max_tokens", 256)
        served = identify(address, served_name=str(recipe.data.get("model", "")))
        recipe.out.mkdir(parents=True, exist_ok=True)
        start = Start(Path(recipe.out), 60, 8192, 1, lambda _text: None)
        self.serving = runtime.for_kind(served.kind).start(served, start)

    def __enter__(self) -> Any:
        self.client = Client(self.serving.server, timeout=600)
        return self.ask

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.serving.stop()

    def ask(self, messages: list[Json]) -> str:
        reply = self.client.chat(messages, tools=[], max_tokens=self.limit)
        if reply.fault:
            raise AskError(f"the teacher gave no usable answer: {reply.fault}; the answers so far are kept")
        return reply.content


def _key(messages: list[Json], recipe: Recipe) -> str:
    request = [messages, recipe.data.get("teacher"), recipe.data.get("model"), recipe.data.get("max_tokens")]
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
