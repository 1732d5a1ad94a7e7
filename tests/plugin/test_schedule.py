"""A run asks ahead, settles what is not sure, stops early when told to, and asks nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from gate.models import batch_invariance
from gate.plugin.ask import TRIED
from gate.report import io as reports
from gate.types import AskMode, Report
from tests.project import SUITE, Project, a_case, right

SURE = {"gap": 2.0}
LAZY = """
import pytest

@pytest.mark.gate("calls.jsonl", floor=0.0)
def test_calls(model, case):
    assert model.chat([{"role": "user", "content": "something else"}]).content == "x"
"""
TWICE = """
import pytest

@pytest.mark.gate("calls.jsonl")
def test_one(model, case):
    assert model.ask(case).calls == case.calls

@pytest.mark.gate("calls.jsonl")
def test_two(model, case):
    assert model.ask(case).calls == case.calls

@pytest.mark.gate("calls.jsonl")
def test_asks_twice_itself(model, case):
    assert model.ask(case).calls == case.calls
    assert model.ask(case).calls == case.calls
"""

TWO_DEMANDS = """
import pytest

@pytest.mark.gate("calls.jsonl", within=60)
def test_fast(model, case):
    assert model.ask(case).calls == case.calls

@pytest.mark.gate("calls.jsonl")
def test_plain(model, case):
    assert model.ask(case).calls == case.calls
"""
WRITING = """
from pathlib import Path

import pytest

@pytest.mark.gate("calls.jsonl", floor=0.5)
def test_calls(model, case):
    path = Path(__file__).parent.parent / "answers.jsonl"
    path.write_bytes(path.read_bytes())
    assert model.ask(case).calls == case.calls
"""

LOADING = """
import os
from gate.models.serving import scripted

serve = scripted.serve

def loaded(*given, **more):
    served = serve(*given, **more)
    os.utime("answers.jsonl", (1, 1))
    return served

scripted.serve = loaded
"""


def names(count: int) -> list[str]:
    return [f"case-{number}" for number in range(count)]


def filled(project: Project, count: int, **rules: dict[str, Any]) -> None:
    """Cases that are answered right and sure, but for the rules that are given otherwise."""
    project.cases(*[a_case(name) for name in names(count)])
    project.script(*[right(name) | SURE | rules.get(name.replace("-", "_"), {}) for name in names(count)])


def last(project: Project) -> Report:
    return reports.read(max(project.reports(), key=lambda path: path.stat().st_mtime_ns))


def asked(project: Project) -> list[str]:
    """The last messages that the scripted server was sent, when it is told to log."""
    log = max(project.path.glob("runs/*/server.log"), key=lambda path: path.stat().st_mtime)
    return [line.removeprefix("asked ") for line in log.read_text().splitlines() if line.startswith("asked ")]


def test_misses_and_unsure_hits_are_asked_again_alone_and_all_else_once(project: Project, how: tuple[str, ...]) -> None:
    filled(project, 12, case_3={"calls": []}, case_5={"gap": 0.01})
    project.suite(floor=0.9)
    assert project.run(*how).ret == 0
    told = last(project)
    mode = told.made.ask_mode
    assert mode == AskMode("verified", mode.at_once, batch_invariance.LEAST)
    assert {each.case for each in told.results if each.replies[0].verified} == {"case-3", "case-5"}
    assert [each.case for each in told.results if not each.hit] == ["case-3"]
    assert len(told.results) == 12


def test_the_answer_given_alone_counts_in_both_directions(project: Project, how: tuple[str, ...]) -> None:
    turned = {
        "case_1": {"calls": [], "sequential": right("case-1")},
        "case_2": {"gap": 0.01, "sequential": {"content": "no"}},
    }
    filled(project, 8, **turned)
    project.suite(floor=0.5)
    project.run(*how).assert_outcomes(passed=7)
    told = last(project)
    assert (told.made.ask_mode.won, told.made.ask_mode.lost) == (1, 1)
    assert [each.case for each in told.results if not each.hit] == ["case-2"]


def test_an_answer_that_changes_above_the_bound_closes_the_gate(project: Project, how: tuple[str, ...]) -> None:
    filled(project, 6, case_1={"calls": [], "content": "a", "sequential": {"content": "b"}})
    project.suite(floor=0.5)
    assert project.run(*how).ret == 1
    (broke,) = last(project).breaks
    assert "--gate-sequential" in broke.what


def test_alone_asks_one_at_a_time_and_settles_nothing(project: Project, how: tuple[str, ...]) -> None:
    filled(project, 8, case_1={"calls": []})
    project.run("--gate-sequential", *how)
    told = last(project)
    assert told.made.ask_mode == AskMode("sequential", 1)
    assert not any(each.replies[0].verified for each in told.results)


def test_a_server_without_log_probabilities_is_asked_together_and_the_report_says_so(project: Project) -> None:
    out = project.run()
    out.stdout.fnmatch_lines(["*8 at once; the server returns no log-probabilities*"])
    assert last(project).made.ask_mode.name == "batched"


def test_many_are_under_way_at_once(project: Project) -> None:
    """Forty answers of a quarter of a second are there in less than ten; eight, one at a time, are not in two."""
    for count, concurrency in ((40, 20), (8, 1)):
        project.cases(*[a_case(name) for name in names(count)])
        project.script(*[right(name) | SURE | {"seconds": 0.25} for name in names(count)])
        project.run("--gate-concurrency", str(concurrency))
        told = last(project)
        assert told.made.ask_mode.at_once == concurrency
        together = sum(each.seconds for each in told.results)
        assert together >= 0.25 * count
        assert (told.made.seconds < together) is (concurrency > 1)


def test_equal_questions_of_two_tests_are_asked_once_and_a_second_one_in_a_test_again(project: Project) -> None:
    filled(project, 3)  # so few that none is streamed
    project.script(*[right(name) | SURE | {"log": True} for name in names(3)])
    project.suite(TWICE)
    assert project.run().ret == 0
    assert sorted(asked(project)) == sorted(names(3) * 2)


def test_repeats_are_each_asked(project: Project) -> None:
    filled(project, 3)
    project.script(*[right(name) | SURE | {"log": True} for name in names(3)])
    project.suite(SUITE.replace("floor={floor}", "repeats=3"))
    assert project.run().ret == 0
    assert sorted(asked(project)) == sorted(names(3) * 3)


def test_a_test_that_asks_something_else_is_not_asked_ahead_for_long(project: Project) -> None:
    project.cases(*[a_case(name) for name in names(60)])
    slow = [right(name) | SURE | {"log": True, "seconds": 0.05} for name in names(60)]
    project.script({"user": "something else", "content": "x", "gap": 2.0}, *slow)
    project.suite(LAZY)
    assert project.run("--gate-concurrency", "2").ret == 0
    assert len(asked(project)) < 20


def test_what_is_known_is_not_asked_and_nothing_is_served(project: Project) -> None:
    filled(project, 10, case_3={"calls": []})
    project.suite(floor=0.9)
    assert project.run(fresh=False).ret == 0
    first = last(project)
    out = project.run(fresh=False)
    assert out.ret == 0
    out.stdout.fnmatch_lines(["*10 of 10 cached from earlier runs (--gate-fresh asks again)*"])
    second = last(project)
    assert all(reply.cached for each in second.results for reply in each.replies)
    assert not any(reply.cached for each in first.results for reply in each.replies)
    assert sorted((each.case, each.hit, each.stage) for each in first.results) == sorted(
        (each.case, each.hit, each.stage) for each in second.results
    )
    assert second.made.server == first.made.server
    folder = max(project.path.glob("runs/*"), key=lambda path: path.stat().st_mtime)
    assert not (folder / "server.log").exists()


def test_a_changed_case_asks_only_itself(project: Project, how: tuple[str, ...]) -> None:
    filled(project, 10)
    project.run(*how, fresh=False)
    project.cases(*[a_case(name) for name in names(9)], a_case("new"))
    project.script(*[right(name) | SURE for name in [*names(10), "new"]])
    project.run(*how, fresh=False)
    told = last(project)
    assert not any(each.replies[0].cached for each in told.results)  # another script is another checkpoint
    project.cases(*[a_case(name) for name in names(8)], a_case("new"), a_case("case-9"))
    project.run(*how, fresh=False)
    assert {each.case for each in last(project).results if not each.replies[0].cached} == {"case-9"}


def test_fresh_asks_everything_again(project: Project) -> None:
    filled(project, 4)
    project.run(fresh=False)
    project.run()
    assert not any(reply.cached for each in last(project).results for reply in each.replies)


def test_seconds_that_are_demanded_are_of_today(project: Project) -> None:
    filled(project, 4)
    project.suite(SUITE.replace("floor={floor}", "within=9"))
    for _ in range(2):
        project.run(fresh=False)
    assert not any(reply.cached for each in last(project).results for reply in each.replies)


def test_a_run_that_was_killed_goes_on(project: Project) -> None:
    filled(project, 30)
    slow = [right(name) | SURE | {"seconds": 0.3} for name in names(30)]
    project.script(*slow)
    child = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--model", "scripted:answers.jsonl", "--gate-concurrency", "2"],
        cwd=project.path, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _stored() <= 8:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    project.run("--gate-concurrency", "2", fresh=False)
    told = last(project)
    known = sum(each.replies[0].cached for each in told.results)
    assert 6 <= known < 30
    assert len(told.results) == 30


def _stored() -> int:
    import sqlite3

    try:
        store = sqlite3.connect(os.environ["GATE_REPLIES"])
        return int(store.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_fail_fast_stops_when_it_is_certain_and_says_what_was_not_asked(project: Project, how: tuple[str, ...]) -> None:
    filled(project, 40, **{f"case_{number}": {"calls": []} for number in range(20)})
    project.suite(floor=0.9)
    out = project.run("--gate-fail-fast", "--gate-concurrency", "2", *how)
    assert out.ret == 1
    out.stdout.fnmatch_lines(["*stopped early: suites/test_calls.py::test_calls:*at most, below the floor 0.9*"])
    assert out.outlines[-1].startswith("BELOW_FLOOR")
    told = last(project)
    assert 5 <= len(told.results) < 40 if not how else len(told.results) <= 40


def test_fail_fast_asks_first_what_was_missed_before(project: Project, how: tuple[str, ...]) -> None:
    filled(project, 20, case_17={"calls": []})
    project.run("--gate-sequential")
    slow = {name.replace("-", "_"): {"seconds": 1} for name in names(20)}  # the others are not there before the stop
    filled(project, 20, **slow | {"case_17": {"calls": []}})
    out = project.run("--gate-fail-fast", "--gate-sequential", *how)
    assert out.ret == 1
    told = last(project)
    assert "case-17" in {each.case for each in told.results}
    assert len(told.results) < 20


def test_fail_fast_changes_nothing_of_a_run_that_passes(project: Project, how: tuple[str, ...]) -> None:
    filled(project, 10, case_3={"calls": []})
    project.suite(floor=0.9)
    assert project.run("--gate-fail-fast", *how).ret == 0
    assert len(last(project).results) == 10


def test_control_c_cuts_what_is_under_way(project: Project) -> None:
    filled(project, 20)
    project.script(*[right(name) | SURE | {"seconds": 30, "log": True} for name in names(20)])
    child = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--model", "scripted:answers.jsonl"],
        cwd=project.path, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (list(project.path.glob("runs/*/server.log")) and asked(project)):
        time.sleep(0.05)
    assert asked(project)
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=30)
    assert time.monotonic() - begun < 20
    assert child.returncode == 2
    assert "INCOMPLETE" in out
    assert not [each for each in psutil.process_iter() if _in(each, project.path)]


def _in(process: psutil.Process, folder: Path) -> bool:
    try:
        alive = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
        return alive and process.cwd() == str(folder)
    except psutil.Error:
        return False


def test_sealed_answers_are_not_kept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    from gate.cli.main import main

    filled(project, 3)
    key = project.path.parent / "key"
    monkeypatch.setenv("GATE_SEAL_KEY", str(key))
    monkeypatch.chdir(project.path)
    assert main(["seal", "fixtures/cases/calls.jsonl", "--key", str(key)]) == 0
    for _ in range(2):
        project.run(fresh=False)
    assert not any(reply.cached for each in last(project).results for reply in each.replies)


def test_workers_do_not_start_over_when_a_folder_has_appeared(project: Project) -> None:
    filled(project, 6)
    project.run("-n", "2", "--gate-runs", "new/runs", "--gate-registry", "new/registry")
    assert len(list((project.path / "new/runs").iterdir())) == 1


def test_a_promotion_takes_no_answers_from_earlier_runs_unless_policy_says_so(project: Project) -> None:
    filled(project, 25)
    for _ in range(2):
        assert project.run(fresh=False).ret == 0
    newest = max(project.reports(), key=lambda path: path.stat().st_mtime_ns)
    command = [
        sys.executable,
        "-m",
        "gate",
        "promote",
        "scripted:answers.jsonl",
        "--slot",
        "x",
        "--report",
        str(newest),
    ]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "25 of its answers are from an earlier run" in done.stderr
    (project.path / "pyproject.toml").write_text('[tool.pytest-gate]\ncached = true\nasked = "sequential"\n')
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "asked verified, and the policy demands sequential" in done.stderr
    (project.path / "pyproject.toml").write_text('[tool.pytest-gate]\ncached = true\nasked = "verified"\n')
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_held_out_cases_are_told_in_one_order_whichever_were_asked_again(
    project: Project, how: tuple[str, ...]
) -> None:
    split = {name: "held-out" if name in ("case-1", "case-2", "case-3") else "dev" for name in names(6)}
    project.cases(*[a_case(name, split=split[name]) for name in names(6)])
    project.suite(floor=0.5)
    orders = []
    for missed in ("case-1", "case-3"):
        project.script(*[right(name) | SURE | ({"calls": []} if name == missed else {}) for name in names(6)])
        run = project.run(*how)
        asking = [line for line in run.outlines if line.startswith("gate: asking")]
        assert "again, one at a time: misses" not in "".join(asking)
        orders.append([each.case for each in last(project).results if each.split == "held-out"])
    assert sorted(orders[0]) == ["case-1", "case-2", "case-3"]
    if not how:
        assert orders[0] == orders[1]


def test_seconds_are_of_today_also_where_another_test_asks_the_same(project: Project) -> None:
    filled(project, 4)
    project.suite(TWO_DEMANDS)
    for _ in range(2):
        assert project.run(fresh=False).ret == 0
    cached = {each.test.rpartition("::")[2]: each.replies[0].cached for each in last(project).results}
    assert cached["test_fast"] is False


def test_two_tests_that_settle_the_same_answers_take_none_from_an_earlier_run(project: Project) -> None:
    filled(project, 3, case_0={"gap": 0.01}, case_1={"gap": 0.01})
    project.suite(TWO_DEMANDS)
    assert project.run(fresh=False).ret == 0
    assert not [each for each in last(project).results if each.replies[0].cached]


def test_failing_fast_with_repeats_is_below_the_floor(project: Project) -> None:
    filled(project, 8, case_0={"calls": []})
    project.suite(SUITE.replace("floor={floor}", "floor=1.0, repeats=3"))
    run = project.run("--gate-fail-fast")
    assert run.ret == 1
    assert [line for line in run.outlines if line.startswith("BELOW_FLOOR")]


def test_bytes_that_were_written_meanwhile_close_the_gate_and_leave_no_answer(project: Project) -> None:
    """Even where they are the same again in the end."""
    filled(project, 4)
    project.suite(WRITING)
    run = project.run(fresh=False)
    assert [line for line in run.outlines if line.startswith("INCOMPLETE")]
    assert "changed while it was graded" in "".join(run.outlines)
    project.suite()
    assert project.run(fresh=False).ret == 0
    assert not [each for each in last(project).results if each.replies[0].cached]


def test_files_that_are_written_while_they_are_loaded_are_not_graded(project: Project) -> None:
    filled(project, 4)
    (project.path / "conftest.py").write_text(LOADING)
    run = project.run(fresh=False)
    assert run.ret == 4
    assert "changed while it was loaded" in run.stderr.str() + run.stdout.str()
    assert not project.reports()


def test_a_name_given_to_several_runs_makes_them_no_one_run(project: Project) -> None:
    """xdist's --testrunuid is the user's: an answer of the run before is an earlier one all the same."""
    filled(project, 4)
    for _ in range(2):
        assert project.run("-n", "2", "--testrunuid", "ci", fresh=False).ret == 0
    assert all(each.replies[0].cached for each in last(project).results)


def test_variables_that_give_a_server_options_make_other_answers(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(project, 4)
    project.run(fresh=False)
    monkeypatch.setenv("LLAMA_ARG_CHAT_TEMPLATE_FILE", "other.jinja")
    project.run(fresh=False)
    assert not [each for each in last(project).results if each.replies[0].cached]


def test_what_was_seen_of_a_server_with_other_slots_is_not_believed(project: Project) -> None:
    filled(project, 4)
    started = []
    for ahead in ((), (), ("--gate-concurrency", "2")):
        project.run(*ahead, fresh=False)
        folder = max(project.reports(), key=lambda path: path.stat().st_mtime_ns).parent
        started.append((folder / "server.log").exists())
    assert started == [True, False, True]


def test_fewer_at_once_than_processes_is_refused(project: Project) -> None:
    run = project.run("-n", "4", "--gate-concurrency", "2")
    assert run.ret == 4
    assert "each of 4 processes asks" in run.stderr.str()


def test_a_single_held_out_case_is_not_told_by_what_asking_alone_has_changed(project: Project) -> None:
    project.cases(*[a_case(name, split="held-out" if name == "case-1" else "dev") for name in names(4)])
    project.script(*[right(name) | SURE for name in names(4)])
    project.script(
        *[right(name) | SURE for name in ("case-0", "case-2", "case-3")],
        {"user": "case-1", "calls": [], "sequential": right("case-1")},
    )
    project.run("-k", "case-1")
    assert last(project).made.ask_mode.won == 0
    project.run("--durations=0", "-vv").stdout.fnmatch_lines(["0.00s call *case-1*"])
    assert last(project).made.ask_mode.won == 1


def test_where_most_must_be_asked_again_the_rest_is_asked_alone_at_once(project: Project) -> None:
    count = 40
    project.cases(*[a_case(name) for name in names(count)])
    project.script(*[right(name) | SURE | {"gap": 0.01, "log": True, "seconds": 0.15} for name in names(count)])
    assert project.run("--gate-concurrency", "2").ret == 0
    told = last(project)
    assert len(told.results) == count
    assert all(reply.verified for each in told.results for reply in each.replies)
    times = Counter(asked(project))
    assert set(times) == set(names(count))
    streamed = 4  # once more, for the time to the first token
    assert count + TRIED <= times.total() < 2 * count + streamed


def test_what_was_asked_alone_at_once_is_known_again(project: Project) -> None:
    project.cases(*[a_case(name) for name in names(40)])
    project.script(*[right(name) | SURE | {"gap": 0.01} for name in names(40)])
    for _ in range(2):
        assert project.run(fresh=False).ret == 0
    assert all(reply.cached and reply.verified for each in last(project).results for reply in each.replies)
    newest = max(project.reports(), key=lambda path: path.stat().st_mtime_ns)
    assert not (newest.parent / "server.log").exists()


def test_held_out_cases_do_not_decide_how_the_rest_is_asked(project: Project) -> None:
    project.cases(*[a_case(name, split="held-out") for name in names(40)])
    project.script(*[right(name) | SURE | {"gap": 0.01} for name in names(40)])
    project.run().stdout.no_fnmatch_line("*one at a time*")
