"""Real servers asked raw: we render what they render, and a 135M model's misses are its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.checkpoints import checkpoint, demo
from gate.models import raw_completion, runtime
from gate.models.client import Client
from gate.models.runtime import Serving, Start
from gate.types import Question
from tests.project import TOOL, Project, a_case, last_line

pytestmark = pytest.mark.real

CALL = {"id": "1", "type": "function", "function": {"name": "terminal", "arguments": {"command": "ls -la 'ü'"}}}
TALKS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Run `pwd`."}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, 日本 🙂\n\n  <b>&amp;</b>"}],
    [
        {"role": "user", "content": "list"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": '{"files": ["a", "b"]}'},
    ],
]
QUESTIONS = [Question(messages, tools, 12) for messages in TALKS for tools in ([], [TOOL])]


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    return str(demo.gguf() if request.param == "llama.cpp" else demo.ensure(progress=False))


@contextmanager
def asking_llama(folder: Path) -> Iterator[Client]:
    """llama-server computes a prompt that it has cached in part in other batches; SmolLM2 in four bits can tell."""
    start = Start(folder=folder, timeout=300, context=2048, parallel=1, say=lambda _: None)
    found = checkpoint.identify(str(demo.gguf()))
    serving = runtime.for_kind(found.kind).start(found, start)
    try:
        exact = serving.server.sampling | serving.server.cold
        with Client(replace(serving.server, sampling=exact), timeout=300) as client:
            yield client
    finally:
        serving.stop()


def test_the_prompt_rendered_raw_is_as_long_as_the_one_llama_serves_and_gives_its_text(tmp_path: Path) -> None:
    with asking_llama(tmp_path) as client:
        _as_long_and_the_same_text(client, None)


def test_the_prompt_rendered_raw_is_as_long_as_the_one_mlx_serves_and_gives_its_text(
    served: Serving, base: Path
) -> None:
    """mlx_lm.server does not render: the prompt is rendered by the tokenizer in the folder."""
    with Client(served.server, timeout=300) as client:
        _as_long_and_the_same_text(client, base)


def _as_long_and_the_same_text(client: Client, folder: Path | None) -> None:
    served = [client.chat(q.messages, tools=q.tools, max_tokens=q.max_tokens) for q in QUESTIONS]
    prompts = raw_completion.prompts(client, folder, QUESTIONS)
    together = raw_completion.answers(client, folder, prompts, sequential=False, tell=lambda _: None)
    alone = raw_completion.answers(client, folder, prompts, sequential=True, tell=lambda _: None)
    for question, reply, one, other in zip(QUESTIONS, served, alone, together, strict=True):
        assert (one.problem, other.problem) == ("", "")
        assert one.tokens == other.tokens == reply.usage["prompt_tokens"]
        assert ("terminal" in one.prompt.replace("ls -la", "")) is bool(question.tools or len(question.messages) == 3)
        assert one.cut is (reply.finish == "length")
        assert one.text.strip() == reply.content.strip()


@pytest.mark.parametrize(
    ("model", "how"),
    [
        pytest.param("llama.cpp", (), id="llama.cpp-alone"),
        pytest.param("llama.cpp", ("-n", "2"), id="llama.cpp-n2"),
        pytest.param("mlx_lm", (), id="mlx_lm-alone"),
        # MLX on a CPU takes half a minute, and MLX with workers is in test_grading.py too
        pytest.param("mlx_lm", ("-n", "2"), id="mlx_lm-n2", marks=pytest.mark.long),
    ],
    indirect=["model"],
)
def test_a_miss_of_an_untaught_model_is_its_own(project: Project, model: str, how: tuple[str, ...]) -> None:
    project.cases(*[a_case(name, max_tokens=40) for name in ("pwd", "whoami")])
    result = project.run(*how, "--gate-raw", model=model)
    assert last_line(result).startswith("BELOW_FLOOR: 0/2"), result.stdout.str()
    report = project.report()
    assert {row["stage"] for row in report["results"]} <= {"model", "length"}
    assert [row["raw"] for row in report["results"]] == [False, False]
    assert report["made"]["attribution"]["problems"] == {}
    assert report["made"]["determinism"]["sequential"] is not None
    assert report["made"]["determinism"]["cold"] is not None
    result.stdout.fnmatch_lines(["determinism: sequential *, batched *, cold/warm *"])
