"""The stage `attribute`: ask the misses once more, raw, and name the stage at which each went wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from gate.grading import attribution
from gate.models import raw_completion
from gate.models.client import Client
from gate.models.runtime import by_name
from gate.plugin import hosting
from gate.plugin.pytest_internals import progress
from gate.plugin.state import Run
from gate.types import HELD_OUT, Attribution, Question, Raw, Result, Server

DOUBTED = ("parser", "server", "stop", "grammar")
"""Stages that are reported only after the case was asked raw by itself: in a batch another text can come out."""


def mode(config: pytest.Config) -> str:
    """Which results are asked raw: `off`, `misses` or `all`."""
    if config.getoption("gate_attribution") == "off":
        return "off"
    return "all" if config.getoption("gate_raw") else "misses"


def is_due(config: pytest.Config, result: Result) -> bool:
    """Is a result to be asked raw?"""
    which = mode(config)
    return result.split != HELD_OUT and (which == "all" or (which == "misses" and not result.hit))


def attribute(run: Run) -> None:
    """Put stages into the results. What cannot be asked stays without one, and says why."""
    asked = {number: each.question for number, each in enumerate(run.scored) if each.question is not None}
    if not asked or run.host is None:
        return
    begun, about = time.perf_counter(), run.host.about
    cache = hosting.cache(run.config, about) if about is not None else None
    rows = {number: cache.get(_identity(each)) for number, each in asked.items()} if cache is not None else {}
    cached = {number: Raw(**row) for number, row in rows.items() if row is not None}
    _judge(run, cached, run.host.server)
    if new := {number: each for number, each in asked.items() if number not in cached}:
        for number, answer in _ask(run, new, hosting.start(run)).items():
            if cache is not None and not run.scored[number].unattributed:
                cache.put(_identity(new[number]), msgspec.to_builtins(answer))
    if cache is not None:
        cache.close()
    run.attribution_seconds = time.perf_counter() - begun


def summary(run: Run) -> Attribution:
    """What the report says of it: which were asked, how long it took, and why some have no stage."""
    problems = Counter(each.unattributed for each in run.scored if each.question is not None and each.unattributed)
    return Attribution(mode(run.config), round(run.attribution_seconds, 3), dict(problems))


def _identity(question: Question) -> list[object]:
    return ["raw", msgspec.to_builtins(question)]


def _ask(run: Run, asked: dict[int, Question], server: Server) -> dict[int, Raw]:
    """The raw answer to each question: all in a batch, and those that came out doubtful once more by themselves."""
    say, folder = progress(run.config), run.artifact.checkpoint.tokenizer
    with Client(server, timeout=run.config.getoption("gate_timeout")) as client:
        say(f"attribution … 0/{len(asked)}")
        prompts = dict(zip(asked, raw_completion.prompts(client, folder, list(asked.values())), strict=True))
        tell = _teller(say, "attribution …", len(prompts))
        batched = raw_completion.answers(client, folder, list(prompts.values()), sequential=False, tell=tell)
        raws = dict(zip(prompts, batched, strict=True))
        _judge(run, raws, server)
        doubted = {number: each for number, each in prompts.items() if run.scored[number].result.stage in DOUBTED}
        tell = _teller(say, "attribution … asked again, one at a time:", len(doubted))
        single = raw_completion.answers(client, folder, list(doubted.values()), sequential=True, tell=tell)
        again = dict(zip(doubted, single, strict=True))
        _judge(run, again, server)
    return raws | again


def _judge(run: Run, raws: dict[int, Raw], server: Server) -> None:
    for number, answer in raws.items():
        scored = run.scored[number]
        problem = answer.problem or _other_prompt(scored.result, answer)
        if problem or scored.question is None:
            result = replace(scored.result, stage="", raw=None)
        else:
            constrained = by_name(server.runtime).constrained and bool(scored.question.tools)
            result = attribution.judged(scored.result, scored.question, answer, constrained=constrained)
            if not result.hit and not result.stage:
                problem = "a pattern of the case takes too long on the raw text"
        run.scored[number] = replace(scored, result=result, unattributed=problem)


def _teller(say: Callable[[str], None], what: str, total: int) -> Callable[[int], None]:
    return lambda done: say(f"{what} {done}/{total}")


def _other_prompt(result: Result, answer: Raw) -> str:
    """Why a raw answer says nothing of the served one; empty where both read the same number of tokens."""
    served = result.replies[-1].usage.get("prompt_tokens")
    if not isinstance(served, int) or answer.tokens is None or served == answer.tokens:
        return ""
    return "the prompt that was rendered for the raw question has another length than the one that was served"
