"""Raw answers: llama-server's by its tokens, mlx_lm.server's by the checkpoint's tokenizer; or the problem in words."""

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


def looked(answers: dict[str, Any], *, runtime: str = "llama.cpp", folder: Path | None = None) -> tuple[Raw, list[Any]]:
    """The raw answer of a server that answers each path so, and what it was asked."""
    asked: list[Any] = []

    def post(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        asked.append((handler.path, body))
        send(handler, 200 if handler.path in answers else 404, json.dumps(answers.get(handler.path)))

    with served(post) as server, Client(Server(server.url, "m", runtime, SAMPLING, {}), timeout=5) as client:
        prompts = raw_completion.prompts(client, folder, [QUESTION])
        (told,) = raw_completion.answers(client, folder, prompts, sequential=False, tell=lambda _: None)
    return told, asked


LLAMA = {
    "/apply-template": {"prompt": "<user>hi"},
    "/completion": {"stop_type": "eos", "tokens": [5, 6, 2], "tokens_evaluated": 3, "content": "Ho"},
    "/detokenize": {"content": "<call>Ho"},
}


def test_llama_renders_answers_and_decodes_without_the_token_that_ended_it() -> None:
    told, asked = looked(LLAMA)
    assert told == Raw(prompt="<user>hi", limit=9, text="<call>Ho", cut=False, tokens=3)
    assert [path for path, _ in asked] == ["/apply-template", "/completion", "/detokenize"]
    assert asked[1][1] == {"temperature": 0.0, "seed": 0, "prompt": "<user>hi", "n_predict": 9, "return_tokens": True}
    assert asked[2][1] == {"tokens": [5, 6]}


def test_a_cut_answer_keeps_its_last_token() -> None:
    cut = LLAMA | {"/completion": {"stop_type": "limit", "tokens": [5, 6, 7], "tokens_evaluated": 3}}
    told, asked = looked(cut)
    assert told.cut is True
    assert asked[2][1] == {"tokens": [5, 6, 7]}


@pytest.mark.parametrize("path", list(LLAMA))
@pytest.mark.parametrize("answer", [{}, {"prompt": None, "stop_type": "eos", "tokens": 1, "content": None}])
def test_an_answer_of_another_shape_is_a_problem_and_no_error(path: str, answer: dict[str, Any]) -> None:
    told, _ = looked(LLAMA | {path: answer})
    assert told.problem
    assert told.text == ""


def test_a_server_without_the_paths_is_a_problem() -> None:
    told, _ = looked({})
    assert told.problem.startswith("the prompt could not be rendered: ")


@pytest.mark.parametrize(("runtime", "words"), [("mlx_lm", "no tokenizer"), ("unknown", "does not tell the prompts")])
def test_where_no_prompt_can_be_had_nothing_is_asked(runtime: str, words: str) -> None:
    told, asked = looked({}, runtime=runtime)
    assert words in told.problem
    assert asked == []


def test_a_folder_without_a_tokenizer_is_a_problem(tmp_path: Path) -> None:
    told, asked = looked({}, runtime="mlx_lm", folder=tmp_path)
    assert told.problem.startswith("the prompt could not be rendered: ")
    assert asked == []
