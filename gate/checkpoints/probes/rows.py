"""Child: what mlx-lm makes of training rows with a model's own template and tokenizer, a short list of facts a row.

The texts are rendered as mlx_lm/tuner/datasets.py (0.32.2) renders them and tokenized many at a time, which a fast
tokenizer does on all cores; tests/unit/preflight/test_training_data.py compares the tokens with those of mlx-lm's own
data sets.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from mlx_lm.utils import load_config, load_tokenizer

from gate.cases import training_rows
from gate.system import sandbox
from gate.types import Json

BATCH = 128
"""Rows that are tokenized together."""


@dataclass(slots=True)
class Rendered:
    """One row as texts."""

    number: int
    full: str = ""
    prompt: str | None = None
    """What stands before the answer; None for a row of text, which has no prompt."""
    fault: str = ""
    written: str = ""
    """How the template or the tokenizer spoils it: double | python | begun twice, or empty."""
    mend: str = ""
    """The other way to write the arguments, where that renders well."""


class Reader:
    """Renders and tokenizes by one model folder."""

    def __init__(self, folder: Path) -> None:
        stops = load_config(folder).get("eos_token_id")
        load: Any = load_tokenizer
        self.tokenizer = load(folder, {"trust_remote_code": False}, eos_token_ids=stops)
        self.blank = cache(self._blank)

    def facts(self, path: Path) -> Iterator[list[Any]]:
        """[line, tokens, prompt tokens, prompt is a prefix, ends in a stop token, fault, written, mend] of each row."""
        lines = self._rendered(path)
        while batch := list(islice(lines, BATCH)):
            full = self._tokens([row.full for row in batch], text=[row.prompt is None for row in batch])
            prompts = self._tokens([row.prompt or "" for row in batch], text=[False] * len(batch))
            for row, tokens, prompt in zip(batch, full, prompts, strict=True):
                before = None if row.prompt is None else len(prompt)
                prefix = len(prompt) < len(tokens) and tokens[: len(prompt)] == prompt
                faults = [row.fault, row.written or self._begun_twice(row, tokens), row.mend]
                yield [row.number, len(tokens), before, int(prefix), int(self._stopped(tokens)), *faults]

    def _rendered(self, path: Path) -> Iterator[Rendered]:
        """The rows of the format of the first, which alone mlx-lm looks at; the others are for the parent to tell."""
        form = None
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    value = json.loads(line)
                except ValueError:
                    continue
                form = training_rows.form(value) if form is None else form
                if form and training_rows.form(value) == form:
                    yield self._row(number, value, form)

    def _row(self, number: int, value: Json, form: str) -> Rendered:
        row, messages, tools = Rendered(number), training_rows.messages(value, form), value.get("tools")
        try:
            full, prompt = (value["text"], None) if form == "text" else self._texts(messages, tools)
            full.encode()  # a lone surrogate is JSON, and stops the tokenizer for the whole batch
            row.full, row.prompt, row.written = full, prompt, written(messages, full)
        except Exception as error:  # noqa: BLE001 - a template raises what it likes; the parent shows it
            row.fault = f"{type(error).__name__}: {error}"[:200]
        if messages and (row.fault or row.written):
            row.mend = self._mend(messages, tools)
        return row

    def _texts(self, messages: list[Json], tools: Any) -> tuple[str, str]:
        """The whole row and its prompt, as ChatDataset.process and CompletionsDataset.process render them."""
        answered = messages[-1].get("role") == "assistant"
        render = self.tokenizer.apply_chat_template
        full = render(copy.deepcopy(messages), tools=tools, tokenize=False)
        prompt = render(copy.deepcopy(messages[:-1]), tools=tools, add_generation_prompt=answered, tokenize=False)
        return str(full), str(prompt)

    def _mend(self, messages: list[Json], tools: Any) -> str:
        """The other way to write the arguments, where the template renders that one well."""
        for name, form in (("an object", training_rows.parsed), ("JSON text", _as_text)):
            other = rewritten(messages, form)
            try:
                if other != messages and not written(other, self._texts(other, tools)[0]):
                    return name
            except Exception:  # noqa: BLE001 - neither way renders
                continue
        return ""

    def _tokens(self, texts: list[str], *, text: list[bool]) -> list[list[int]]:
        """A rendered row as it is; a row of text with what the tokenizer adds, and the end that mlx-lm appends."""
        rendered: list[list[int]] = self.tokenizer._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [self._ended(texts[i]) if alone else rendered[i] for i, alone in enumerate(text)]

    def _ended(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer.encode(text)
        end = self.tokenizer.eos_token_id
        return tokens if tokens and tokens[-1] == end else [*tokens, end]

    def _begun_twice(self, row: Rendered, tokens: list[int]) -> str:
        begin = self.tokenizer.bos_token_id
        return "begun twice" if row.prompt is None and begin is not None and tokens[:2] == [begin] * 2 else ""

    def _stopped(self, tokens: list[int]) -> bool:
        """Whether the last token that is not white space is one that generation stops at."""
        last = next((token for token in reversed(tokens) if not self.blank(token)), None)
        return last in self.tokenizer.eos_token_ids

    def _blank(self, token: int) -> bool:
        return token not in self.tokenizer.eos_token_ids and not self.tokenizer.decode([token]).strip()


def written(messages: list[Json], text: str) -> str:
    """How the template spoils what it should write as JSON or as text: "double", "python", or empty for neither."""
    every = [arguments for message in messages for _, arguments in training_rows.calls(message)]
    texts = [arguments for arguments in every if isinstance(arguments, str)]
    if any(json.dumps(each, ensure_ascii=escaped) in text for each in texts for escaped in (True, False)):
        return "double"
    objects = [each for each in every if isinstance(each, dict)]
    objects += [message["content"] for message in messages if isinstance(message.get("content"), list)]
    return "python" if any(each and repr(each) in text for each in objects) else ""


def rewritten(messages: list[Json], form: Callable[[Any], Any]) -> list[Json]:
    """The messages with the arguments of every call in another form."""
    other = copy.deepcopy(messages)
    for message in other:
        for call in message.get("tool_calls") or []:
            function = call.get("function", call)
            function["arguments"] = form(function["arguments"])
    return other


def probe(request: Json) -> dict[str, list[list[Any]]]:
    """The facts of each of the files, by the tokenizer of a folder: see Reader.facts."""
    reader = Reader(Path(request["folder"]))
    return {name: list(reader.facts(Path(name))) for name in request["files"]}


def _as_text(arguments: Any) -> Any:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


if __name__ == "__main__":
    sandbox.answer(probe)
