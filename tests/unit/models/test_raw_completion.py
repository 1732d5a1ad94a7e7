"""Raw completions: llama-server decodes its tokens, the checkpoint's tokenizer those of mlx_lm.server; or a problem."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from gate.models import raw_completion
from gate.models.client import Client
from gate.types import Question, Raw, Server
from tests.unit.models.test_client import send, served

QUESTION = Question([{"role": "user", "content": "hi"}], [], 9)
SAMPLING = {"temperature": 0.0, "seed": 0, "logprobs": True, "top_logprobs": 2}


def raw_answer(
    answers: dict[str, Any], *, runtime: str = "llama.cpp", folder: Path | None = None
) -> tuple[Raw, list[Any]]:
    """The raw answer of a server with these answers by path, and the requests."""
    asked: list[Any] = []

    def post(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        asked.append((handler.path, body))
        send(handler, 200 if handler.path in answers else 404, json.dumps(answers.get(handler.path)))

    with served(post) as server, Client(Server(server.url, "m", runtime, SAMPLING, {}), timeout=5) as client:
        prompts = raw_completion.prompts(client, folder, [QUESTION])
        (raw,) = raw_completion.answers(client, folder, prompts, sequential=False, tell=lambda _: None)
    return raw, asked


LLAMA = {
    "/apply-template": {"prompt": "<user>hi"},
    "/completion": {"stop_type": "eos", "tokens": [5, 6, 2], "tokens_evaluated": 3, "content": "Ho"},
    "/detokenize": {"content": "<call>Ho"},
}


def test_llama_renders_answers_and_decodes_without_the_token_that_ended_it() -> None:
    raw, asked = raw_answer(LLAMA)
    assert raw == Raw(prompt="<user>hi", limit=9, text="<call>Ho", cut=False, tokens=3)
    assert [path for path, _ in asked] == ["/apply-template", "/completion", "/detokenize"]
    assert asked[1][1] == {"temperature": 0.0, "seed": 0, "prompt": "<user>hi", "n_predict": 9, "return_tokens": True}
    assert asked[2][1] == {"tokens": [5, 6]}


def test_a_cut_answer_keeps_its_last_token() -> None:
    cut = LLAMA | {"/completion": {"stop_type": "limit", "tokens": [5, 6, 7], "tokens_evaluated": 3}}
    raw, asked = raw_answer(cut)
    assert raw.cut is True
    assert asked[2][1] == {"tokens": [5, 6, 7]}


@pytest.mark.parametrize("path", list(LLAMA))
@pytest.mark.parametrize("answer", [{}, {"prompt": None, "stop_type": "eos", "tokens": 1, "content": None}])
def test_an_answer_of_another_shape_is_a_problem_and_no_error(path: str, answer: dict[str, Any]) -> None:
    raw, _ = raw_answer(LLAMA | {path: answer})
    assert raw.problem
    assert raw.text == ""


def test_a_server_without_the_paths_is_a_problem() -> None:
    raw, _ = raw_answer({})
    assert raw.problem.startswith("the prompt could not be rendered: ")


@pytest.mark.parametrize(("runtime", "words"), [("mlx_lm", "no tokenizer"), ("unknown", "does not reveal the prompts")])
def test_without_a_prompt_nothing_is_asked(runtime: str, words: str) -> None:
    raw, asked = raw_answer({}, runtime=runtime)
    assert words in raw.problem
    assert asked == []


def test_a_folder_without_a_tokenizer_is_a_problem(tmp_path: Path) -> None:
    raw, asked = raw_answer({}, runtime="mlx_lm", folder=tmp_path)
    assert raw.problem.startswith("the prompt could not be rendered: ")
    assert asked == []
