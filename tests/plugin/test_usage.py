"""Bad input ends with a clear error that says what to do, exit status 4, and no report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gguf import GGUFWriter

from tests.plugin.test_verdict import project_suite
from tests.project import Project, a_case, last_line

GOOD = json.dumps(a_case("pwd"))


def refused(result: pytest.RunResult, project: Project, *words: str) -> None:
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == 4, text
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert not project.reports()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere/at/all", ["there is no such path"]),
        ("suites", ["not a checkpoint", "adapter_config.json", "config.json"]),
        ("answers.jsonl", ["this file cannot be graded. Wanted: ", "a .gguf file"]),
        ("scripted:nowhere.jsonl", ["no such file"]),
        ("http://127.0.0.1:9/", ["/v1"]),
        ("http://127.0.0.1:9/v1", ["cannot be reached"]),
    ],
)
def test_a_model_that_is_none(project: Project, how: tuple[str, ...], model: str, words: list[str]) -> None:
    refused(project.run(*how, model=model), project, *words)


def test_a_hub_id_offline_says_how_to_fetch_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(project.run(model="some-org/some-model"), project, "hf download some-org/some-model")


def test_an_adapter_without_its_base(project: Project) -> None:
    folder = project.path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"model": "/no/such/base"}))
    (folder / "adapters.safetensors").write_bytes(b"x")
    refused(project.run(model="adapter"), project, "wants the base '/no/such/base'", "--base DIR")


def test_a_file_that_only_claims_to_be_gguf(project: Project) -> None:
    (project.path / "model.gguf").write_bytes(b"GGML and more")
    refused(project.run(model="model.gguf"), project, "does not begin with GGUF")


def test_a_gguf_without_llama_server(project: Project) -> None:
    writer = GGUFWriter(project.path / "model.gguf", arch="llama")
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}")
    writer.add_token_list(["<|im_start|>", "<|im_end|>"])
    writer.add_token_types([3, 3])
    writer.add_eos_token_id(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    hidden = "from gate.system import platform\nplatform.find_llama_server = lambda: None\n"
    (project.path / "conftest.py").write_text(hidden)
    refused(project.run(model="model.gguf"), project, "llama-server was not found", "pytest-gate[gguf]")


def test_what_preflight_refuses_is_not_loaded(project: Project, how: tuple[str, ...]) -> None:
    """A folder whose configuration names code, and a GGUF that is cut."""
    folder = project.path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "model_file": "evil.py"}))
    (folder / "evil.py").write_text("open('ran', 'w').close()")
    (folder / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    refused(project.run(*how, model="model"), project, "preflight refuses it", "P22 no_code_by_config", "model_file")
    assert not (project.path / "ran").exists()
    (project.path / "cut.gguf").write_bytes(b"GGUF\3\0\0\0")
    refused(project.run(*how, model="cut.gguf"), project, "P22 headers_are_sound")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([GOOD, '{"id": "x",'], ["calls.jsonl:2", "not JSON"]),
        ([GOOD, GOOD], ["calls.jsonl:2", "stands twice"]),
        ([json.dumps(a_case("pwd", colour="red"))], ["calls.jsonl:1", "colour"]),
        ([json.dumps(a_case("pwd", tools="nothing"))], ["calls.jsonl:1", "known: tools"]),
        ([json.dumps(a_case("pwd", split="train"))], ["calls.jsonl:1", "split"]),
        (
            [json.dumps(a_case("pwd", calls=[{"name": "terminal", "arguments": {"command": {"$regexp": "x"}}}]))],
            ["calls.jsonl:1", "$regexp"],
        ),
        (['{"id": "a", "id": "b"}'], ["calls.jsonl:1", "stands twice"]),
        ([""], ["calls.jsonl", "holds no case"]),
        (["[1]"], ["calls.jsonl:1"]),
    ],
    ids=["json", "duplicate", "key", "tools", "split", "matcher", "repeated-key", "empty", "list"],
)
def test_a_bad_case_file(project: Project, how: tuple[str, ...], lines: list[str], words: list[str]) -> None:
    project.cases(*lines)
    refused(project.run(*how), project, *words)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ('gate("calls.jsonl", flor=0.5)', ["unknown marker argument flor"]),
        ('gate("calls.jsonl", floor=95)', ["floor must be a rate"]),
        ('gate("calls.jsonl", floor=True)', ["floor must be a rate"]),
        ('gate("calls.jsonl", drop=-1)', ["drop must be"]),
        ('gate("calls.jsonl", bound=0.9)', ["2 cases can never show a rate of 0.9", "it takes 29"]),
        ('gate("calls.jsonl", bound=1.0)', ["2 cases can never show a rate of 1", "no number of cases can"]),
        ('gate("calls.jsonl", bound=0.1, smoke=True)', ["give one of them"]),
        ('gate("calls.jsonl", must=True, floor=0.5)', ["no floor below 1"]),
        ('gate("calls.jsonl", must=True, drop=1)', ["no drop"]),
        ('gate("calls.jsonl", must=1)', ["must be True or False"]),
        ("gate()", ["one case file"]),
        ('gate("missing.jsonl")', ["there is no"]),
        ('gate("../../answers.jsonl")', ["must lie under"]),
    ],
)
def test_a_bad_marker(project: Project, how: tuple[str, ...], marker: str, words: list[str]) -> None:
    project.suite(f"import pytest\n\n@pytest.mark.{marker}\ndef test_calls(model, case):\n    model.ask(case)\n")
    refused(project.run(*how), project, *words)


@pytest.mark.parametrize("signature", ["model", "case", ""])
def test_a_gated_test_takes_model_and_case(project: Project, how: tuple[str, ...], signature: str) -> None:
    project.suite(f'import pytest\n\n@pytest.mark.gate("calls.jsonl")\ndef test_calls({signature}):\n    pass\n')
    refused(project.run(*how), project, "takes `model` and `case`")


def test_a_second_parameter_is_refused(project: Project, how: tuple[str, ...]) -> None:
    project.suite(
        'import pytest\n\n@pytest.mark.parametrize("n", [1, 2])\n@pytest.mark.gate("calls.jsonl")\n'
        "def test_calls(model, case, n):\n    model.ask(case)\n"
    )
    refused(project.run(*how), project, "no parameter but its cases")


def test_two_contracts_for_one_test_are_refused(project: Project) -> None:
    project.suite(project_suite("model.ask(case)", mark='@pytest.mark.gate("calls.jsonl", floor=0)'))
    refused(project.run(), project, "two gate markers")


def test_no_suites_folder(project: Project) -> None:
    (project.path / "suites" / "test_calls.py").unlink()
    (project.path / "suites").rmdir()
    refused(project.run(), project, "name the suites to ask")


def test_a_server_that_dies_at_start_shows_the_end_of_its_log(project: Project, how: tuple[str, ...]) -> None:
    project.script({"usr": "typo"})
    refused(project.run(*how), project, "answers.jsonl:1", "a rule is an object with the keys")


def test_a_report_that_cannot_be_written_is_incomplete(project: Project) -> None:
    """A full disk, made by failing where the report's bytes are synced."""
    (project.path / "conftest.py").write_text(
        "import os\nfrom gate.system import jsonl\n\ndef full(_):\n    raise OSError(28, 'No space left on device')\n\n"
        "def pytest_runtest_setup():\n    jsonl.os.fsync = full\n"
    )
    result = project.run()
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 2/2 hits")
    assert "No space left on device" in last_line(result)
    assert [path.name for folder in (project.path / "runs").iterdir() for path in folder.iterdir()] == ["server.log"]


def test_a_folder_for_runs_that_cannot_be_made(project: Project) -> None:
    Path(project.path / "runs").write_text("in the way")
    refused(project.run(), project, "runs")


def test_a_key_in_a_url_is_refused_before_it_stands_in_a_report(project: Project) -> None:
    refused(project.run(model="http://me:secret@127.0.0.1:9/v1"), project, "GATE_API_KEY")


def test_an_empty_model_is_no_run_without_the_gate(project: Project) -> None:
    """`--model "$MODEL"` with an unset variable must not end in green project tests."""
    (project.path / "tests/test_own.py").write_text("def test_own():\n    pass\n")
    refused(project.run(model=""), project, "--model was given without a value")


def test_python_without_asserts_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    refused(project.run("--assert=plain"), project, "leaves asserts out")


def test_a_marker_that_would_do_nothing_is_refused(project: Project) -> None:
    project.suite(
        'import pytest, unittest\n\nclass TestCalls(unittest.TestCase):\n    @pytest.mark.gate("calls.jsonl")\n'
        "    def test_calls(self):\n        pass\n"
    )
    refused(project.run(), project, "the gate marker does nothing here")


def test_subtests_are_refused(project: Project) -> None:
    project.suite(
        'import pytest\n\n@pytest.mark.gate("calls.jsonl")\n'
        "def test_calls(model, case, subtests):\n    model.ask(case)\n"
    )
    refused(project.run(), project, "subtests cannot be graded")


@pytest.mark.parametrize(
    "given", ["--gate-timeout=nan", "--gate-timeout=0", "--gate-start-timeout=-1", "--gate-context=x"]
)
def test_a_limit_that_is_none_is_refused(project: Project, given: str) -> None:
    refused(project.run(given), project, given.partition("=")[0])


def test_the_demo_models_name_as_a_folder_is_ambiguous(project: Project) -> None:
    (project.path / "smollm2").mkdir()
    refused(project.run(model="smollm2"), project, "./smollm2")
