"""Turns training rows into tokens: one sequence per assistant turn, with the position at which the turn begins.

A row with three assistant turns becomes three sequences, each with everything before its turn as the prompt, so every
turn is trained once, with the prompt that the server will render. A turn that does not fit is dropped, never cut, and
listed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.cases import training_rows
from gate.errors import GateError
from gate.types import Json


class RowsError(GateError):
    """No rows are left to train on, or a file of rows cannot be read."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer with everything before it."""

    tokens: tuple[int, ...]
    start: int
    """The first token of the answer; tokens before it are not trained."""
    where: str
    """file:line of its row."""

    @property
    def trained(self) -> int:
        return len(self.tokens) - self.start


@dataclass(frozen=True, slots=True)
class Dropped:
    """A turn that was left out, and why."""

    where: str
    why: str


def turns(path: Path, tokenizer: Any, *, length: int, every: bool) -> tuple[list[Turn], list[Dropped]]:
    """The turns of a file of rows, and those that were dropped.

    A turn of more than `length` tokens is dropped; unless `every`, only the last turn of a row is used. Raises
    RowsError if a line is not a row, or no turn is left.
    """
    kept: list[Turn] = []
    dropped: list[Dropped] = []
    for row in training_rows.read(path):
        if row.fault:
            raise RowsError(f"{row.where}: {row.fault}")
        for turn in _turns(row.value, tokenizer, row.where, length=length, every=every):
            (kept if isinstance(turn, Turn) else dropped).append(turn)  # type: ignore[arg-type]
    if not kept:
        why = f", the first: {dropped[0].where}: {dropped[0].why}" if dropped else ""
        raise RowsError(f"{path}: has nothing to train on: {len(dropped)} turns were dropped{why}")
    return kept, dropped


def _turns(value: Json, tokenizer: Any, where: str, *, length: int, every: bool) -> Iterator[Turn | Dropped]:
    form = training_rows.form(value)
    if form == "text":
        yield _fitting(Turn((*tokenizer.encode(value["text"]), tokenizer.eos_token_id), 1, where), length)
        return
    messages = training_rows.messages(value, form)
    places = [n for n, message in enumerate(messages) if message.get("role") == "assistant"]
    if not places:
        yield Dropped(where, "has no assistant turn")
    for place in places if every else places[-1:]:
        yield _turn(messages[: place + 1], value.get("tools"), tokenizer, where, length)


def _turn(messages: list[Json], tools: Any, tokenizer: Any, where: str, length: int) -> Turn | Dropped:
    try:
        prompt = _rendered(tokenizer, messages[:-1], tools, add_generation_prompt=True)
        whole = _rendered(tokenizer, messages, tools)
    except Exception as error:  # noqa: BLE001 a template can raise anything
        return Dropped(where, f"the template cannot render it: {type(error).__name__}: {error}"[:200])
    if whole[: len(prompt)] != prompt:
        return Dropped(where, "the template renders the prompt differently once it is answered")
    ends = [at for at in range(len(prompt), len(whole)) if whole[at] in tokenizer.eos_token_ids]
    if not ends:
        return Dropped(where, "the answer does not end in a stop token")
    return _fitting(Turn(tuple(whole[: ends[-1] + 1]), len(prompt), where), length)


def _fitting(turn: Turn, length: int) -> Turn | Dropped:
    if len(turn.tokens) <= length:
        return turn
    return Dropped(turn.where, f"is {len(turn.tokens)} tokens long, and {length} are allowed")


def _rendered(tokenizer: Any, messages: list[Json], tools: Any, **more: bool) -> list[int]:
    """Tokens as mlx_lm.server renders them (mlx_lm/server.py, tokenizer.apply_chat_template): trained as served."""
    return list(tokenizer.apply_chat_template(copy.deepcopy(messages), tools=tools, return_dict=False, **more))
