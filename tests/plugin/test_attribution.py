"""A miss is asked once more, raw; its stage stands beside it, in the terminal and in the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from gate.models import determinism
from tests.plugin.test_verdict import project_suite
from tests.project import Project, a_case, last_line, right

CALL = {"name": "terminal", "arguments": {"command": "ls"}}
WRITTEN = f"<tool_call>{json.dumps(CALL)}</tool_call>"
PEG = {"status": 500, "body": "The model produced output that does not match the expected peg-native format"}
TWICE = """
import pytest

@pytest.mark.gate("calls.jsonl")
def test_calls(model, case):
    talk = list(case.messages)
    first = model.chat(talk, tools=case.tools)
    talk += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "sure?"}]
    assert model.chat(talk, tools=case.tools).content == "yes"
"""


def results(project: Project) -> dict[str, dict[str, Any]]:
    return {result["case"]: result for result in project.report()["results"]}


@pytest.mark.parametrize(
    ("rule", "stage"),
    [
        ({"content": "I will not."}, "model"),
        ({"content": WRITTEN}, "parser"),
        ({**PEG, "raw": WRITTEN}, "parser"),
        ({"content": None, "finish": "tool_calls", "raw": WRITTEN}, "parser"),
        ({"content": "", "raw": WRITTEN}, "parser"),
        ({"content": "No.", "raw": WRITTEN}, "server"),
        ({"content": "No.", "prompt": "the tools have gone", "raw": "No."}, "template"),
        ({"content": "x", "finish": "length", "raw": {"content": f"{WRITTEN}<|im_end|>", "finish": "length"}}, "stop"),
        ({"content": "Well", "finish": "length"}, "length"),
    ],
    ids=["model", "leak", "http-500", "gave-none", "empty", "server", "template", "stop", "length"],
)
def test_each_miss_gets_its_stage(project: Project, how: tuple[str, ...], rule: dict[str, Any], stage: str) -> None:
    project.script(right("pwd"), {"user": "ls", **rule})
    result = project.run(*how)
    assert last_line(result).startswith("BELOW_FLOOR: 1/2 hits")
    assert {name: each["stage"] for name, each in results(project).items()} == {"pwd": "", "ls": stage}
    assert project.report()["made"]["attribution"] == {
        "asked": "misses",
        "seconds": pytest.approx(5, abs=5),
        "problems": {},
    }
    result.stdout.fnmatch_lines([f"MISS test_calls::test_calls ls (dev), stage {stage}", f"attribution: {stage} 1"])


def test_raw_asks_every_case_both_ways_and_shows_both_rates(project: Project, how: tuple[str, ...]) -> None:
    project.cases(*[a_case(name) for name in ("pwd", "ls", "df", "ps")])
    leak = {"user": "df", "content": WRITTEN.replace("ls", "df")}
    project.script(right("pwd"), right("ls") | {"raw": "ls"}, leak, {"user": "ps", "content": "no"})
    result = project.run(*how, "--gate-raw")
    told = {name: (each["hit"], each["raw"], each["stage"]) for name, each in results(project).items()}
    assert told["pwd"] == (True, True, "")
    assert told["ls"] == (True, False, "grammar")
    assert told["df"] == (False, True, "parser")
    assert told["ps"] == (False, False, "model")
    result.stdout.fnmatch_lines(["test * hits * rate * raw * at least*", "test_calls::test_calls*2/4*2/4*BELOW_FLOOR*"])
    result.stdout.fnmatch_lines(["hits that are none raw:", "  grammar   test_calls::test_calls ls"])


def test_without_misses_nothing_is_asked_and_nothing_is_said(project: Project) -> None:
    project.script(right("pwd") | {"raw": {"die": True}}, right("ls") | {"raw": {"die": True}})
    result = project.run()
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*attribution*")


def test_switched_off_the_report_says_so(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "content": "no", "raw": {"die": True}})
    result = project.run(*how, "--gate-attribution=off")
    assert last_line(result).startswith("BELOW_FLOOR: 1/2")
    assert results(project)["ls"]["stage"] == ""
    assert project.report()["made"]["attribution"]["asked"] == "off"
    result.stdout.fnmatch_lines(["attribution: off*"])


def test_off_and_raw_together_are_refused(project: Project) -> None:
    result = project.run("--gate-attribution=off", "--gate-raw")
    assert result.ret == 4
    assert "--gate-raw asks what --gate-attribution=off leaves out" in result.stderr.str()


def test_a_server_that_does_not_tell_its_prompts_leaves_no_stage_and_the_reason(
    project: Project, how: tuple[str, ...]
) -> None:
    project.script({"runtime": "mlx_lm"}, right("pwd"), {"user": "ls", "content": "no"})
    result = project.run(*how)
    assert last_line(result).startswith("BELOW_FLOOR: 1/2")
    assert results(project)["ls"]["stage"] == ""
    (reason,) = project.report()["made"]["attribution"]["problems"]
    assert "no tokenizer" in reason
    result.stdout.fnmatch_lines(["attribution: not told 1", "  not told 1 times: mlx_lm.server does not reveal*"])


def test_several_requests_are_blamed_by_the_last(project: Project, how: tuple[str, ...]) -> None:
    project.suite(TWICE)
    project.script({"user": "sure?", "content": "no"}, {"content": "first"})
    project.run(*how)
    assert {each["stage"] for each in results(project).values()} == {"model"}


def test_a_test_that_asserts_something_else_is_blamed_by_the_text(project: Project) -> None:
    project.suite(project_suite("assert 'x' in model.ask(case).content"))
    project.run()
    assert {each["stage"] for each in results(project).values()} == {"model"}


@pytest.mark.parametrize("raw", [{"status": 503, "body": "busy"}, {"body": "[]"}, {"body": "{}"}, {"close": True}])
def test_a_raw_answer_that_does_not_come_leaves_no_stage(project: Project, raw: dict[str, Any]) -> None:
    project.script(right("pwd"), {"user": "ls", "content": "no", "raw": raw})
    result = project.run()
    assert last_line(result).startswith("BELOW_FLOOR: 1/2")
    assert results(project)["ls"]["stage"] == ""
    assert sum(project.report()["made"]["attribution"]["problems"].values()) == 1


def test_a_raw_answer_that_takes_too_long_leaves_no_stage(project: Project) -> None:
    project.script(right("pwd"), {"user": "ls", "content": "no", "raw": {"content": "no", "seconds": 30}})
    result = project.run("--gate-timeout", "2")
    assert last_line(result).startswith("BELOW_FLOOR: 1/2")
    assert results(project)["ls"]["stage"] == ""


def test_a_server_that_dies_under_blame_hides_no_result(project: Project, how: tuple[str, ...]) -> None:
    project.cases(*[a_case(name) for name in ("pwd", "ls", "df")])
    project.script(right("pwd"), {"user": "ls", "content": "no", "raw": {"die": True}}, {"content": "no"})
    result = project.run(*how)
    assert last_line(result).startswith("BELOW_FLOOR: 1/3 hits")
    assert {name: each["hit"] for name, each in results(project).items()} == {"pwd": True, "ls": False, "df": False}
    assert results(project)["ls"]["stage"] == ""


def test_ctrl_c_under_blame_writes_an_incomplete_report(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "content": "no", "raw": {"content": "no", "seconds": 60}})
    command = [sys.executable, "-m", "pytest", "--model", "scripted:answers.jsonl", *how]
    running = subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("gate: attribution"):
            break
    time.sleep(0.3)
    begun = time.monotonic()
    running.send_signal(signal.SIGINT)
    said = running.stdout.read()
    assert running.wait(timeout=30) == 2
    assert time.monotonic() - begun < 20
    assert "INCOMPLETE: 1/2 hits" in said
    report = project.report()
    assert report["made"]["attribution"]["problems"] == {"the run ended before they were asked": 1}
    assert not [p for p in psutil.process_iter() if str(project.path) in " ".join(_command(p)) and p.pid != os.getpid()]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_canary_is_in_the_report_and_on_a_line(project: Project, how: tuple[str, ...]) -> None:
    result = project.run(*how)
    told = project.report()["made"]["determinism"]
    assert (told["equal"], told["sequential"], told["batched"], told["cold"]) == (True, True, True, None)
    assert told["seconds"] < 3
    result.stdout.fnmatch_lines(["determinism: sequential equal, batched equal, cold/warm not possible"])


def test_a_canary_that_cannot_be_made_says_why_and_changes_no_verdict(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), right("ls"), {"user": determinism.PROMPTS[0], "status": 503, "body": "busy"})
    result = project.run(*how)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["determinism: not possible: HTTP 503: busy"])
