"""Real models: SmolLM2-135M as MLX folder, adapter, fused, 8-bit and GGUF, graded by pytest --model."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from gate.checkpoints import checkpoint
from gate.models.client import Client
from gate.models.runtime import Serving, Start
from gate.models.serving import mlx
from tests.project import TOOL, Project, a_case, last_line
from tests.taught import NAMES

pytestmark = pytest.mark.real
LONG = pytest.mark.long

CAPITAL = {
    "id": "capital",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "expect": {"calls": [], "answer": {"contains": ["Paris"]}},
    "split": "dev",
    "max_tokens": 24,
}
TALK = '''
"""A plain question gets the plain answer."""
import pytest

@pytest.mark.gate("talk.jsonl", floor=0)
def test_talks(model, case):
    assert model.ask(case).content == case.answer
'''


@pytest.fixture
def calls(project: Project) -> Project:
    project.cases(*[a_case(name, max_tokens=48) for name in NAMES])
    return project


@pytest.mark.parametrize("kind", ["adapter", *(pytest.param(each, marks=LONG) for each in ("fused", "eight_bit"))])
def test_a_taught_checkpoint_passes_in_every_form(
    calls: Project, kind: str, request: pytest.FixtureRequest, how: tuple[str, ...]
) -> None:
    result = calls.run(*how, model=str(request.getfixturevalue(kind)))
    assert last_line(result).startswith("PASS: 3/3 hits"), result.stdout.str()
    assert result.ret == 0
    report = calls.report()
    assert report["made"]["runtime"] == "mlx_lm"
    assert report["checkpoint"]["kind"] == ("adapter" if kind == "adapter" else "mlx")
    assert report["made"]["versions"]["mlx-lm"]
    assert all(row["replies"][0]["margin"] is not None for row in report["results"])
    assert {row["replies"][0]["finish"] for row in report["results"]} == {"tool_calls"}


@LONG
def test_a_taught_adapter_is_right_raw_too(calls: Project, adapter: Path) -> None:
    """mlx_lm.server cuts calls out of raw text as well: they are found in its tokens."""
    result = calls.run("--gate-raw", model=str(adapter))
    assert last_line(result).startswith("PASS: 3/3 hits"), result.stdout.str()
    report = calls.report()
    assert [(row["raw"], row["stage"]) for row in report["results"]] == [(True, "")] * 3
    assert report["made"]["attribution"]["problems"] == {}


def test_the_untaught_base_is_below_the_floor(calls: Project, base: Path) -> None:
    result = calls.run(model=str(base))
    assert result.ret == 1
    assert last_line(result).startswith("BELOW_FLOOR")


@LONG
def test_an_adapter_takes_another_base_by_option(calls: Project, adapter: Path, base: Path) -> None:
    assert calls.run("--base", str(base), model=str(adapter)).ret == 0


def test_smollm2_by_its_name_knows_the_capital_of_france(project: Project) -> None:
    project.suite(TALK)
    project.cases(CAPITAL, name="talk.jsonl")
    result = project.run(model="smollm2")
    assert last_line(result).startswith("PASS: 1/1"), result.stdout.str()


def test_a_gguf_is_graded_on_a_real_llama_server(calls: Project, gguf: Path, how: tuple[str, ...]) -> None:
    calls.suite(TALK, name="test_talk.py")
    calls.cases(CAPITAL, name="talk.jsonl")
    result = calls.run(*how, model=str(gguf))
    assert result.ret == 1
    assert last_line(result).startswith("BELOW_FLOOR"), result.stdout.str()
    report = calls.report()
    assert report["made"]["runtime"] == "llama.cpp"
    assert report["made"]["server"]["chat_template_caps"]["supports_tool_calls"] is True
    assert len(report["results"]) == 4
    assert all(row["replies"][0]["margin"] is not None for row in report["results"])


def test_what_was_seen_without_a_base_is_looked_at_anew_with_one(calls: Project, gguf: Path, base: Path) -> None:
    seen = []
    for more in ((), (), ("--base", str(base))):
        calls.run(*more, "--gate-attribution=off", model=str(gguf), fresh=False)
        newest = max(calls.reports(), key=lambda path: path.stat().st_mtime_ns)
        checks = json.loads(newest.read_text())["made"]["preflight"]
        seen.append(((newest.parent / "server.log").exists(), {row["id"] for row in checks if row["status"] == "ok"}))
    assert [served for served, _ in seen] == [True, False, True]
    assert seen[0][1] == seen[1][1] < seen[2][1]


def test_a_url_is_graded_and_its_digest_is_unverified(calls: Project, served: Serving) -> None:
    """An mlx_lm server that somebody else runs."""
    result = calls.run(model=served.server.url)
    assert served.alive()
    assert last_line(result).startswith("BELOW_FLOOR"), result.stdout.str()
    assert calls.report()["checkpoint"]["verified"] is False
    assert calls.report()["made"]["runtime"] == "mlx_lm"


def test_a_truncated_gguf_is_refused_before_it_is_loaded(calls: Project, gguf: Path) -> None:
    whole = gguf.read_bytes()
    (calls.path / "half.gguf").write_bytes(whole[: len(whole) // 2])
    result = calls.run(model="half.gguf")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*preflight refuses it*", "*headers_are_sound*", "*cut short*"])
    assert not calls.reports()


def test_an_adapter_of_another_shape_is_refused(calls: Project, adapter: Path, base: Path) -> None:
    """The base's config says one hidden size less; nothing of it fits the adapter."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    bad = calls.path / "bad"
    bad.mkdir()
    (bad / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapters.safetensors")
    save_file({name: np.ascontiguousarray(value[:-1]) for name, value in tensors.items()}, bad / "adapters.safetensors")
    result = calls.run("--base", str(base), "--gate-start-timeout", "100", model=str(bad))
    assert result.ret == 4
    assert "mlx_lm server" in result.stderr.str()
    assert "shape" in result.stderr.str()


def test_the_server_is_gone_when_it_is_stopped(base: Path, tmp_path: Path) -> None:
    start = Start(folder=tmp_path, timeout=120, context=2048, parallel=1, say=lambda _: None)
    others = set(psutil.Process().children(recursive=True))  # servers that other tests share
    serving = mlx.RUNTIME.start(checkpoint.identify(str(base)), start)
    family = set(psutil.Process().children(recursive=True)) - others
    assert any("mlx_lm" in " ".join(process.cmdline()) for process in family)
    serving.stop()
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_the_same_request_gets_the_same_answer_and_the_prefix_is_cached(served: Serving) -> None:
    with Client(served.server, timeout=120) as ask:
        messages = [{"role": "user", "content": "Name three colours."}]
        answers = [ask.chat(messages, tools=[TOOL], max_tokens=16) for _ in range(3)]
    assert len({answer.content for answer in answers}) == 1
    assert answers[2].usage["prompt_tokens_details"]["cached_tokens"] > 50
