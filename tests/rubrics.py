"""A small rubric with anchors, and scripted judges of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TOML = """
about = "Short and direct."
bar = 0.6
votes = {votes}
[[score]]
value = 0
means = "slop"
example = "I would be happy to help you with that today."
[[score]]
value = 1
means = "weak"
example = "Maybe look at it."
[[score]]
value = 2
means = "close"
example = "Look at the log, perhaps."
[[score]]
value = 3
means = "right"
example = "Show me the log."
"""
SCORES = [0, 1, 2, 3] * 11


def anchors() -> list[dict[str, Any]]:
    return [
        {"id": f"a{n:02}", "asked": f"Question {n}?", "answer": f"anchor number {n:02} of many", "score": score}
        for n, score in enumerate(SCORES)
    ]


def write(fixtures: Path, name: str = "short", *, votes: int = 1) -> None:
    """The rubric's two files."""
    folder = fixtures / "rubrics"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(TOML.replace("{votes}", str(votes)))
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in anchors()))


def verdict(score: int, reason: str = "so it is") -> str:
    return json.dumps({"reason": reason, "score": score})


def fair(**answers: int) -> list[dict[str, Any]]:
    """The rules of a judge that gives the anchors their scores, the answers theirs, and everything else 0."""
    known = {row["answer"]: row["score"] for row in anchors()}
    known |= {key.replace("_", " "): score for key, score in answers.items()}
    return [{"has": text, "content": verdict(score)} for text, score in known.items()] + [{"content": verdict(0)}]


def script(path: Path, rules: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    return path
