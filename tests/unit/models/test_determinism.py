"""The answers to the same question sequentially, in a batch, and with a cold and a warm cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Any

import pytest

from gate.models import determinism
from gate.types import Determinism, Json, Server
from tests.unit.models.test_client import send, served

Say = Callable[[int, dict[str, Any]], dict[str, Any]]


def answer(text: str, *, gap: float = 1.0, cached: int = 0) -> dict[str, Any]:
    best = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -0.1 - gap}]
    return {
        "choices": [
            {
                "message": {"content": text},
                "finish_reason": "length",
                "logprobs": {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": best}]},
            }
        ],
        "usage": {"prompt_tokens_details": {"cached_tokens": cached}},
    }


def probed(say: Say, *, runtime: str = "mlx_lm", at_once: int = 4, cold: Json | None = None) -> Determinism:
    """The probe of a server whose n-th answer to the prompt is `say(n, body)`."""
    count, lock = 0, Lock()

    def post(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        nonlocal count
        with lock:
            count += body["messages"][0]["content"] == determinism.PROMPTS[0]
            number = count
        send(handler, 200, json.dumps(say(number, body)))

    with served(post) as server:
        server_value = Server(server.url, "m", runtime, {"seed": 0}, {}, at_once=at_once, cold=cold or {})
        return determinism.probe(server_value, timeout=5)


def test_a_steady_server_is_equal_in_every_way() -> None:
    result = probed(lambda n, _: answer("one two", cached=0 if n == 1 else 9))
    assert result.equal is True
    assert (result.sequential, result.batched, result.cold) == (True, True, True)
    assert result.differences == ()
    assert result.margins["batched"] == pytest.approx(1.0)
    assert result.said == "one two"


def test_the_batch_is_without_a_seed_and_has_other_questions_in_it() -> None:
    asked: list[dict[str, Any]] = []

    def say(_: int, body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body)
        return answer("one")

    probed(say)
    batched = [body["messages"][0]["content"] for body in asked if "seed" not in body]
    assert sorted(batched) == sorted(determinism.PROMPTS)
    sequential = [body["messages"][0]["content"] for body in asked if "seed" in body]
    assert sequential == [determinism.PROMPTS[0]] * 3 + list(determinism.PROMPTS[1:])
    assert {body["max_tokens"] for body in asked} == {determinism.TOKENS}


def test_a_text_that_differs_in_the_batch_is_named_with_its_place() -> None:
    result = probed(lambda n, body: answer("one two" if "seed" in body else "one too", cached=n))
    assert (result.equal, result.sequential, result.batched, result.cold) == (False, True, False, True)
    (line,) = result.differences
    assert line == "batched: 'one too' where it was 'one two' (from character 5)"


def test_a_server_that_varies_sequentially_is_not_equal() -> None:
    result = probed(lambda n, _: answer("one" if n != 3 else "two"))
    assert (result.equal, result.sequential) == (False, False)


def test_a_margin_that_changes_under_the_same_text_is_reported_and_no_difference() -> None:
    result = probed(lambda _, body: answer("one", gap=1.0 if "seed" in body else 0.9))
    assert result.equal is True
    assert result.differences == ("batched: the same text, its smallest margin 0.900 instead of 1.000 nats",)
    assert (result.drift, result.steps) == (pytest.approx(0.1), len(determinism.PROMPTS))


def test_without_log_probabilities_there_is_no_drift() -> None:
    result = probed(lambda *_: {"choices": [{"message": {"content": "one"}, "finish_reason": "length"}]})
    assert (result.equal, result.drift, result.steps) == (True, None, 0)


def test_mlx_shows_a_cold_cache_only_where_the_first_answer_used_less_of_it() -> None:
    warm = probed(lambda *_: answer("one", cached=9))
    assert warm.cold is None
    assert "in the server's cache before" in warm.not_possible["cold"]


def test_llama_is_asked_cold_and_needs_two_slots_for_a_batch() -> None:
    used: list[Any] = []

    def say(_: int, body: dict[str, Any]) -> dict[str, Any]:
        used.append(body.get("cache_prompt"))
        return answer("cold" if body.get("cache_prompt") is False else "warm")

    result = probed(say, runtime="llama.cpp", at_once=1, cold={"cache_prompt": False})
    assert used == [None, None, None, False]
    assert (result.equal, result.sequential, result.batched, result.cold) == (False, True, None, False)
    assert result.not_possible == {"batched": "this server decodes one request at a time"}
    assert result.drift is None
    two = probed(say, runtime="llama.cpp", at_once=2, cold={"cache_prompt": False})
    assert (two.batched, two.cold) == (True, False)


def test_an_unknown_server_is_not_asked_for_its_cache() -> None:
    result = probed(lambda *_: answer("one"), runtime="unknown")
    assert (result.equal, result.cold) == (True, None)


def test_a_server_that_fails_is_not_probed_and_no_error() -> None:
    result = determinism.probe(Server("http://127.0.0.1:9/v1", "m", "unknown", {}, {}), timeout=5)
    assert result.equal is None
    assert result.why.startswith("not possible: ")
