"""After the tests, in the process that owns the server: ask the misses once more, raw, and name each one's stage."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gate.grading import attribution
from gate.models import raw_completion
from gate.models.client import Client
from gate.models.runtime import named
from gate.plugin import hosting
from gate.plugin.hosting import Hosting
from gate.plugin.progress import progress
from gate.types import Attribution, Checkpoint, Question, Raw, Result, Server

DOUBTED = ("parser", "server", "stop", "grammar")
"""Stages that are said only after the case was asked raw alone: in a batch another text can come out."""


class Blaming:
    """Which results are asked raw, what was asked, and what came of it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._asked = mode(config)
        self._questions: dict[int, Question] = {}
        self._told: set[int] = set()
        self._raws: dict[int, Raw] = {}
        self._problems: dict[int, str] = {}
        self._seconds = 0.0

    def hear(self, report: pytest.TestReport, number: int) -> None:
        """Keep what the result with this number was asked."""
        if question := report.__dict__.pop("gate_question", None):
            self._questions[number] = Question(**json.loads(question))

    def look(self, results: list[Result], model: Hosting, checkpoint: Checkpoint) -> None:
        """Put their stages into the results. What cannot be asked stays without one, and is counted with the reason."""
        if not self._questions or model.host is None:
            return
        begun, about = time.perf_counter(), model.host.about
        store = hosting.known(self._config, about) if about is not None else None
        rows = {n: store.get(self._asks(n)) if store is not None else None for n in sorted(self._questions)}
        told = {n: Raw(**row) for n, row in rows.items() if row is not None}
        self._judge(results, list(told), list(told.values()), model.host.server)
        if new := [n for n in rows if n not in told]:
            self._ask(results, new, model.start(), checkpoint)
        for n, answer in self._raws.items():
            if store is not None and n not in told:
                store.put(self._asks(n), msgspec.to_builtins(answer))
        if store is not None:
            store.close()
        self._seconds = time.perf_counter() - begun

    def _asks(self, number: int) -> list[Any]:
        return ["raw", msgspec.to_builtins(self._questions[number])]

    def _ask(self, results: list[Result], numbers: list[int], server: Server, checkpoint: Checkpoint) -> None:
        say, folder = progress(self._config), checkpoint.tokenizer
        with Client(server, timeout=self._config.getoption("gate_timeout")) as client:
            say(f"blame … 0/{len(numbers)}")
            asked = raw_completion.prompts(client, folder, [self._questions[number] for number in numbers])
            tell = _teller(say, "blame …", len(numbers))
            self._judge(results, numbers, raw_completion.answers(client, folder, asked, alone=False, tell=tell), server)
            doubted = [(n, each) for n, each in zip(numbers, asked, strict=True) if results[n].stage in DOUBTED]
            tell = _teller(say, "blame … asked again, alone:", len(doubted))
            sure = raw_completion.answers(client, folder, [each for _, each in doubted], alone=True, tell=tell)
            self._judge(results, [number for number, _ in doubted], sure, server)

    def made(self) -> Attribution:
        """What the report says of it: who was asked, how long it took, and why some have no stage."""
        problems = Counter(self._problems.values())
        if missing := len(self._questions.keys() - self._told - self._problems.keys()):
            problems["the run ended before they were asked"] = missing
        return Attribution(self._asked, round(self._seconds, 3), dict(problems))

    def _judge(self, results: list[Result], numbers: list[int], raws: list[Raw], server: Server) -> None:
        for number, answer in zip(numbers, raws, strict=True):
            if problem := answer.problem or _other_prompt(results[number], answer):
                results[number], self._problems[number] = replace(results[number], stage="", raw=None), problem
                continue
            question = self._questions[number]
            constrained = named(server.runtime).constrained and bool(question.tools)
            results[number] = attribution.judged(results[number], question, answer, constrained=constrained)
            self._told.add(number)
            self._raws[number] = answer
            if not results[number].hit and not results[number].stage:
                self._problems[number] = "a pattern of the case takes too long on the raw text"


def mode(config: pytest.Config) -> str:
    """Which results are asked raw: `off`, `misses` or `all`."""
    if config.getoption("gate_blame") == "off":
        return "off"
    return "all" if config.getoption("gate_raw") else "misses"


def _teller(say: Callable[[str], None], what: str, total: int) -> Callable[[int], None]:
    return lambda done: say(f"{what} {done}/{total}")


def _other_prompt(result: Result, answer: Raw) -> str:
    """Why a raw answer says nothing of the served one; empty where both read the same number of tokens."""
    served = result.replies[-1].usage.get("prompt_tokens")
    if not isinstance(served, int) or answer.tokens is None or served == answer.tokens:
        return ""
    return "the prompt that was rendered for the raw question has another length than the one that was served"
