"""Held-out cases in a run: counted as an attempt, and told of only in sums."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gate.models import determinism
from gate.models.serving.process import free_port
from gate.registry.slots import Slot, promote
from gate.system import platform
from tests.project import Project, a_case, last_line, right

PRINTING = """
import pytest

@pytest.mark.gate("calls.jsonl", floor=0.0{more})
def test_calls(model, case):
    reply = model.ask(case)
    print("the model said", reply.content)
    assert reply.calls == case.calls
"""
UNSTEADY = """
import pytest

SEEN = []

@pytest.mark.gate("calls.jsonl", floor=0.5, repeats=3)
def test_calls(model, case):
    SEEN.append(case.id)
    assert model.ask(case).calls == case.calls
    assert case.id != "pwd" or SEEN.count("pwd") != 2
"""
SECRET = "the-secret-answer"


@pytest.fixture
def held(project: Project) -> Project:
    """Two dev cases and two held-out ones, of which one each is answered wrong."""
    rows = [a_case(name, split="held-out" if name.startswith("h") else "dev") for name in ("d1", "d2", "h1", "h2")]
    project.cases(*rows)
    project.suite(PRINTING.replace("{more}", ""))
    project.script(right("d1"), right("h1"), {"user": "d2", "content": "no"}, {"user": "h2", "content": SECRET})
    return project


@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_single_held_out_result_is_shown_nowhere(held: Project, how: tuple[str, ...]) -> None:
    run = held.run(*how, "-v", "-rA", "--junitxml=junit.xml")
    text = "\n".join(run.outlines)
    assert run.ret == 0
    assert "2/4" in text
    assert "MISS test_calls::test_calls d2" in text
    assert "1 misses of held-out cases" in text
    assert text.count("HELD OUT") == 2
    told = [line for line in run.outlines if "h1" in line or "h2" in line]
    assert told
    assert not [line for line in told if "MISS" in line or "PASSED" in line]
    junit = (held.path / "junit.xml").read_text()
    assert SECRET not in text + junit
    assert junit.count('value="held-out"') == 2
    assert junit.count('value="miss"') == 1
    for path in (held.path / ".pytest_cache").rglob("lastfailed"):
        assert "[h" not in path.read_text()


def test_the_report_keeps_what_counting_needs_and_no_text(held: Project) -> None:
    held.run()
    results = {result["case"]: result for result in held.report()["results"]}
    assert [results[name]["hit"] for name in ("d1", "d2", "h1", "h2")] == [True, False, True, False]
    assert results["d2"]["why"]
    for name in ("h1", "h2"):
        assert (results[name]["why"], results[name]["asked"], results[name]["expect"]) == ([], "", {})
        assert [(reply["content"], reply["calls"], reply["raw"]) for reply in results[name]["replies"]] == [
            ("", [], "")
        ]
        assert results[name]["replies"][0]["seconds"] > 0
    assert SECRET not in json.dumps(results["h2"])


def test_each_checkpoint_is_the_next_attempt(held: Project) -> None:
    held.run()
    held.script(right("d1"))
    held.run()
    held.run()
    numbers = [json.loads(path.read_text())["contracts"][0]["attempt"] for path in held.reports()]
    assert sorted(numbers) == [1, 2, 2]
    assert len((held.path / "registry/holdout_reuse.jsonl").read_text().splitlines()) == 2


def test_without_held_out_cases_nothing_is_counted(project: Project) -> None:
    assert project.run().ret == 0
    assert project.report()["contracts"][0]["attempt"] == 0
    assert not (project.path / "registry").exists()


def test_a_bound_that_holds_at_the_first_attempt_may_not_at_the_second(project: Project) -> None:
    """Five of five show 0.549 at 95 %, and 0.478 at 97.5 %."""
    names = [f"h{number}" for number in range(5)]
    project.cases(*[a_case(name, split="held-out") for name in names])
    project.suite(PRINTING.replace("{more}", ", bound=0.5"))
    project.script(*[right(name) for name in names])
    first = project.run()
    project.script(*[right(name) for name in names], {"user": "unused", "content": ""})
    second = project.run()
    assert (first.ret, second.ret) == (0, 1)
    assert last_line(second).startswith("BELOW_FLOOR")


def test_an_attempt_that_cannot_be_recorded_is_incomplete(held: Project) -> None:
    held.path.joinpath("registry").mkdir()
    held.path.joinpath("registry/holdout_reuse.jsonl").write_text("{}\n")
    run = held.run()
    assert run.ret == 1
    assert last_line(run).startswith("INCOMPLETE")


def test_a_forced_promotion_shows_in_every_later_report(project: Project) -> None:
    facts = {"path": "/m", "digest": "0" * 64, "force": "the demo is at noon"}
    promote(Slot("hermes", project.path / "registry"), facts, beat=None)
    run = project.run()
    assert "promoted by force, without having passed:" in "\n".join(run.outlines)
    assert project.report()["made"]["forced"] == [{"slot": "hermes", "line": 1, "reason": "the demo is at noon"}]


def test_every_answer_of_a_repeated_case_must_be_right(project: Project) -> None:
    project.suite(UNSTEADY)
    run = project.run()
    report = project.report()
    assert run.ret == 0
    assert sorted(result["case"] for result in report["results"]) == ["ls"] * 3 + ["pwd"] * 3
    assert sum(result["hit"] for result in report["results"] if result["case"] == "pwd") == 2
    assert "1/2 hits" in last_line(run)


@pytest.mark.parametrize("repeats", ["0", "True", "101", "'2'"])
def test_repeats_that_are_none_are_refused(project: Project, repeats: str) -> None:
    project.suite(PRINTING.replace("{more}", f", repeats={repeats}"))
    run = project.run()
    assert run.ret != 0
    assert "repeats must be a number of times" in "\n".join(run.outlines)


def test_a_settings_file_of_another_place_is_a_gap(project: Project) -> None:
    other = Path("other.ini")
    (project.path / other).write_text("[pytest]\n")
    run = project.run("-c", str(other))
    assert last_line(run).startswith("INCOMPLETE")
    assert "-c can ask less than all" in "\n".join(run.outlines)


BREAKING = """
import pytest

@pytest.mark.gate("calls.jsonl", floor=0.0)
def test_calls(model, case):
    assert model.ask(case).calls[0]["name"] == "terminal"
"""


@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_held_out_case_that_breaks_is_counted_and_not_shown(held: Project, how: tuple[str, ...]) -> None:
    held.suite(BREAKING)
    held.script(right("d1"), right("d2"), right("h1"), {"user": "h2", "content": SECRET})
    run = held.run(*how, "--junitxml=junit.xml")
    text = "\n".join([*run.outlines, *run.errlines])
    assert last_line(run).startswith("INCOMPLETE")
    assert "a held-out case broke in its call phase" in text
    told = text + (held.path / "junit.xml").read_text() + held.reports()[0].read_text()
    assert "IndexError" not in told
    assert SECRET not in told
    assert "[h2]" not in held.reports()[0].read_text()


def test_a_part_of_the_held_out_cases_tells_nothing_of_them(held: Project) -> None:
    """One case by its id: a sum of one is that case's result."""
    run = held.run("suites/test_calls.py::test_calls[h2]")
    text = "\n".join(run.outlines)
    assert last_line(run).startswith("INCOMPLETE")
    assert "0/0" in text
    assert "misses of held-out" not in text
    assert held.report()["results"] == []


@pytest.mark.parametrize("flag", ["--pdb", "--trace", "--debug"])
def test_what_shows_every_case_is_refused(held: Project, flag: str) -> None:
    assert held.run(flag).ret == 4


def test_logs_of_the_client_tell_of_no_answer(held: Project) -> None:
    run = held.run("--log-cli-level=DEBUG")
    assert "Content-Length" not in "\n".join(run.outlines)


def test_what_a_suite_logs_of_a_held_out_case_is_kept_nowhere(held: Project) -> None:
    logging = '    __import__("logging").getLogger("suite").warning("%s said %s", case.id, reply.content)\n'
    held.script(right("d1"), right("h1"), {"user": "d2", "content": "a dev answer"}, {"user": "h2", "content": SECRET})
    held.suite(PRINTING.replace("{more}", "").replace("    assert", f"{logging}    assert"))
    held.run("--log-file=log.txt", "--log-level=INFO")
    log = (held.path / "log.txt").read_text()
    assert "d2 said a dev answer" in log
    assert SECRET not in log
    assert "h1 said" not in log


def test_a_registry_that_cannot_be_written_tells_nothing(held: Project) -> None:
    run = held.run("--gate-registry", "/dev/null/x")
    assert run.ret != 0
    assert "2/4" not in "\n".join(run.outlines)


def test_every_run_of_a_url_is_an_attempt(held: Project) -> None:
    """What it serves can change between two runs, and nothing tells."""
    port = free_port()
    always = [part for prompt in determinism.PROMPTS for part in ("--always", prompt)]
    command = [
        *platform.PYTHON,
        "-m",
        "gate.models.serving.scripted_rules",
        "answers.jsonl",
        "--port",
        str(port),
        *always,
    ]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=held.path)
    try:
        for _ in range(2):
            held.run(model=f"http://127.0.0.1:{port}/v1")
    finally:
        server.kill()
        server.wait()
    numbers = [json.loads(path.read_text())["contracts"][0]["attempt"] for path in held.reports()]
    assert sorted(numbers) == [1, 2]
