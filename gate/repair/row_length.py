"""How long a row is, and in which form a model's template takes a call's arguments."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gate.checkpoints import checkpoint
from gate.errors import CheckpointError
from gate.preflight import golden_conversations
from gate.preflight.artifact import Artifact
from gate.preflight.checks import chat_template, safety
from gate.preflight.checks.training_data import MEMORY, SECONDS
from gate.repair.rows import Row, as_json
from gate.system import platform, sandbox
from gate.types import Json

CHARACTERS = 3
"""Characters that count as a token where no tokenizer is named: most texts have more, so a row is rather dropped."""
LONG, UNRENDERED = "is longer than --length", "the model's template does not render it"


@dataclass(frozen=True, slots=True)
class Ruler:
    """What measures rows: a model folder's tokenizer, or characters."""

    folder: Path | None = None
    as_text: bool = False
    """Does the template take arguments as JSON texts rather than as objects, mlx-lm's own form?"""

    @property
    def words(self) -> str:
        """How it counts."""
        return f"the tokenizer of {self.folder.name}" if self.folder else f"characters / {CHARACTERS}: no --model given"

    def refusals(self, rows: Sequence[Row], length: int) -> list[str]:
        """Why each row cannot be trained on whole; empty where it can. Raises CheckpointError."""
        if self.folder is None:
            sizes: dict[int, int] = {}
            return ["" if _characters(row, sizes) <= CHARACTERS * length else LONG for row in rows]
        told = _measured(self.folder, [as_json(row, as_text=self.as_text) for row in rows])
        return [UNRENDERED if spoilt else LONG if tokens > length else "" for tokens, spoilt in told]


def ruler(model: str | None) -> Ruler:
    """The ruler of a model's folder, or of an adapter's base. Raises CheckpointError."""
    if model is None:
        return Ruler()
    found = checkpoint.identify(model)
    folder = found.tokenizer
    if folder is None:
        raise CheckpointError(f"--model {model}: brings no tokenizer that mlx-lm can load: name an MLX folder")
    if dangers := safety.dangers(Artifact(found, base=found.base)):
        raise CheckpointError(f"--model {model}: its tokenizer is not loaded: {dangers[0]}")
    return Ruler(folder, as_text=_takes_text(folder))


def _takes_text(folder: Path) -> bool:
    """Does the template write the golden calls as JSON objects only where it is given texts? Raises CheckpointError."""
    every = {**chat_template.standing(folder), **chat_template.named(folder)}
    tools = [text for place, text in every.items() if place.rpartition(": ")[2] == "tool_use"]
    sources = (tools or list(every.values()))[:1]
    if not sources:
        raise CheckpointError(
            f"{folder}: has no chat template: rows cannot be rendered; name the model it is made from"
        )
    talks = {
        "object": golden_conversations.with_calls(golden_conversations.CALLS["nested"]),
        "text": _texts(golden_conversations.CALLS["nested"]),
    }
    request = {
        "templates": {"it": sources[0]},
        "conversations": {},
        "turns": talks,
        "tools": golden_conversations.CALL_TOOLS,
    }
    request["tokens"] = {"bos_token": "<bos>", "eos_token": "<eos>"}
    try:
        told = sandbox.run(
            "gate.checkpoints.probes.template", request, seconds=chat_template.SECONDS, memory=chat_template.MEMORY
        )["it"]
    except sandbox.LimitError as error:
        raise CheckpointError(f"{folder}: its chat template cannot be rendered: {error}") from error
    scores = {name: _score(told["turns"].get(name), golden_conversations.CALLS["nested"][0][1]) for name in talks}
    if not any(scores.values()):
        raise CheckpointError(f"{folder}: its chat template writes a call in neither form: see gate preflight {folder}")
    return scores["text"] > scores["object"]


def _score(turn: object, arguments: Json) -> int:
    """2: the arguments stand there as a JSON object; 1: in another syntax; 0: not, or as a text in a text."""
    if not isinstance(turn, str) or json.dumps(json.dumps(arguments))[1:-1] in turn or repr(arguments) in turn:
        return 0
    decoder = json.JSONDecoder()
    for start in (n for n, character in enumerate(turn) if character == "{"):
        try:
            value, _ = decoder.raw_decode(turn, start)
        except ValueError:
            continue
        if value == arguments or (isinstance(value, dict) and arguments in value.values()):
            return 2
    return int(all(name in turn for name in arguments))


def _texts(calls: list[tuple[str, Json]]) -> list[Json]:
    talk = golden_conversations.with_calls(calls)
    for call in talk[-1]["tool_calls"]:
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return talk


def _measured(folder: Path, values: Sequence[Json]) -> list[tuple[int, bool]]:
    """Tokens of each row, and whether the template cannot write it (gate.checkpoints.probes.rows)."""
    if not values:
        return []
    with tempfile.TemporaryDirectory(prefix="gate-") as place:
        path = Path(place) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as stream:
            for value in values:
                stream.write(json.dumps(value, ensure_ascii=False) + "\n")
        environment = platform.model_environment(offline=True) | {"TOKENIZERS_PARALLELISM": "true"}
        request: Json = {"folder": str(folder), "files": [str(path)]}
        try:
            told = sandbox.run(
                "gate.checkpoints.probes.rows", request, seconds=SECONDS, memory=MEMORY, environment=environment
            )
        except sandbox.LimitError as error:
            raise CheckpointError(f"{folder}: the rows cannot be rendered and tokenized: {error}") from error
    found = [(int(tokens), bool(fault or spoilt)) for _, tokens, *_, fault, spoilt, _ in told[str(path)]]
    if len(found) != len(values):
        raise CheckpointError(f"{folder}: only {len(found)} of {len(values)} rows were read back: nothing was measured")
    return found


def _characters(row: Row, sizes: dict[int, int]) -> int:
    """Characters of a row; those of its tools are counted once for all rows that share them."""
    if id(row.tools) not in sizes:
        sizes[id(row.tools)] = len(json.dumps(row.tools, ensure_ascii=False))
    return sizes[id(row.tools)] + len(json.dumps(row.messages, ensure_ascii=False))
