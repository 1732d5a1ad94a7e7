"""What a run ends with: the verdict, the exit status, the last line, for every way to be right, wrong or incomplete."""

from __future__ import annotations

import json

import pytest

from gate.report import io as reports
from tests.project import Project, a_case, last_line, right

NO_TOOL = '''
"""Words are answered by words."""
import pytest

@pytest.mark.gate("calls.jsonl")
def test_words(model, case):
    assert model.ask(case).calls == case.calls
'''


def test_every_case_right_is_pass_and_exit_0(project: Project, how: tuple[str, ...]) -> None:
    result = project.run(*how)
    assert result.ret == 0
    assert last_line(result).startswith("PASS: 2/2 hits; every floor is met; report: ")
    assert [r["hit"] for r in project.report()["results"]] == [True, True]


def test_a_wrong_answer_is_a_miss_and_below_the_floor(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "calls": [{"name": "terminal", "arguments": {"command": "dir"}}]})
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("BELOW_FLOOR: 1/2 hits; below the floor: test_calls::test_calls")
    result.stdout.fnmatch_lines(["*1 passed, 1 miss in*"])
    (miss,) = [r for r in project.report()["results"] if not r["hit"]]
    assert miss["case"] == "ls"
    assert any('"ls"' in why and '"dir"' in why for why in miss["why"])


def test_a_floor_under_the_rate_passes(project: Project, how: tuple[str, ...]) -> None:
    project.suite(floor=0.5)
    project.script(right("pwd"), {"user": "ls", "content": "I will not."})
    assert project.run(*how).ret == 0


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"content": ""}, "empty answer"),
        ({"content": None}, "empty answer"),
        ({"content": "a very long", "finish": "length"}, "cut at max_tokens"),
        ({"content": None, "finish": "tool_calls"}, "there are none"),
        ({"content": '<tool_call>{"name": "terminal", "arguments": {"command": "x"}}</tool_call>'}, "as text"),
        (
            {"status": 500, "body": "The model produced output that does not match the expected peg-native format"},
            "parse",
        ),
    ],
    ids=["empty", "null", "length", "no-calls", "leak", "peg"],
)
def test_a_failure_of_the_model_is_a_miss_even_where_no_call_is_wanted(
    project: Project, rule: dict[str, object], why: str
) -> None:
    project.cases(a_case("words", calls=[]))
    project.script({"user": "words", **rule})
    result = project.run()
    assert result.ret == 1
    assert last_line(result).startswith("BELOW_FLOOR: 0/1")
    (only,) = project.report()["results"]
    assert any(why in line for line in only["why"]), only["why"]


def test_a_call_in_the_text_is_a_leak_and_counted_with_the_text_parsed(project: Project, how: tuple[str, ...]) -> None:
    project.script(
        right("pwd"), {"user": "ls", "content": '<tool_call>{"name": "terminal", "arguments": {"command": "ls"}}'}
    )
    result = project.run(*how)
    assert result.ret == 1
    (leak,) = [r for r in project.report()["results"] if not r["hit"]]
    assert leak["parsed"] is True
    result.stdout.fnmatch_lines(["test_calls::test_calls*1/2*2/2*1*BELOW_FLOOR*"])


def test_a_server_that_refuses_is_a_break_and_incomplete(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "status": 503, "body": '{"error": "overloaded"}'})
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 1/1 hits; ")
    (broken,) = project.report()["breaks"]
    assert "HTTP 503: overloaded" in broken["what"]


def test_a_server_that_dies_leaves_breaks_and_incomplete(project: Project, how: tuple[str, ...]) -> None:
    project.cases(*[a_case(name) for name in ("a", "die", "b", "c")])
    project.script(right("a"), {"user": "die", "die": True}, right("b"), right("c"))
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE")
    assert any("died during the run" in item["what"] for item in project.report()["breaks"])


def test_an_answer_that_never_ends_is_a_break(project: Project) -> None:
    project.script(right("pwd"), {"user": "ls", "seconds": 30, "content": "late"})
    result = project.run("--gate-timeout", "1")
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE")
    assert "no answer in time" in project.report()["breaks"][0]["what"]


def test_a_connection_closed_by_an_mlx_server_that_lives_on_is_a_miss(project: Project) -> None:
    project.script({"runtime": "mlx_lm"}, right("pwd"), {"user": "ls", "close": True})
    project.run()
    (miss,) = [r for r in project.report()["results"] if not r["hit"]]
    assert "closed the connection" in miss["why"][0]
    assert miss["replies"][0]["status"] == 0


def test_a_connection_closed_by_any_other_server_is_a_break(project: Project) -> None:
    project.script(right("pwd"), {"user": "ls", "close": True})
    assert last_line(project.run()).startswith("INCOMPLETE")


def test_another_exception_in_a_test_is_a_break(project: Project, how: tuple[str, ...]) -> None:
    project.suite(project_suite("model.ask(case); raise KeyError('mine')"))
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE")
    assert "KeyError" in project.report()["breaks"][0]["what"]


def test_a_test_that_asks_nothing_is_a_break(project: Project, how: tuple[str, ...]) -> None:
    project.suite(project_suite("pass"))
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE")
    assert "asked the model nothing" in project.report()["breaks"][0]["what"]


@pytest.mark.parametrize(
    "mark",
    ["@pytest.mark.skip(reason='later')", "@pytest.mark.xfail", "@pytest.mark.skipif(True, reason='no')"],
    ids=["skip", "xfail", "skipif"],
)
def test_a_skipped_or_excused_test_is_incomplete(project: Project, how: tuple[str, ...], mark: str) -> None:
    project.suite(project_suite("assert model.ask(case).calls == case.calls", mark=mark))
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE")
    assert project.report()["skips"]


@pytest.mark.parametrize(
    "arguments",
    [("-k", "pwd"), ("-k", "nothing_matches"), ("--deselect", "suites/test_calls.py::test_calls[ls]")],
    ids=["k", "k-none", "deselect"],
)
def test_a_run_that_asks_less_is_incomplete(project: Project, how: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    result = project.run(*how, *arguments)
    assert result.ret != 0
    assert last_line(result).startswith("INCOMPLETE")


def test_one_case_by_its_node_id_is_incomplete(project: Project, how: tuple[str, ...]) -> None:
    result = project.run(*how, "suites/test_calls.py::test_calls[pwd]")
    assert result.ret == 1
    assert "not asked: suites/test_calls.py::test_calls: ls (1 of 2)" in last_line(result)


def test_x_stops_at_the_first_break_and_is_incomplete(project: Project, how: tuple[str, ...]) -> None:
    project.cases(*[a_case(f"c{number}") for number in range(12)])
    project.script({"status": 503})
    result = project.run(*how, "-x")
    assert result.ret != 0
    assert last_line(result).startswith("INCOMPLETE")


def test_lf_after_a_run_with_misses_asks_the_misses_alone(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "content": "no"})
    project.run(*how)
    result = project.run(*how, "--lf")
    assert last_line(result).startswith("INCOMPLETE: 0/1 hits")
    assert result.ret == 1


def test_a_crashed_worker_is_incomplete(project: Project) -> None:
    project.suite(project_suite("model.ask(case); import os; case.id == 'ls' and os._exit(9)"))
    result = project.run("-n", "2")
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE")
    assert any("crash" in item["what"] for item in project.report()["breaks"])


def test_a_plain_test_that_fails_in_the_run_is_a_break(project: Project, how: tuple[str, ...]) -> None:
    project.suite("def test_plain():\n    assert 1 == 2\n", name="test_plain.py")
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 2/2 hits")


def test_a_run_without_a_graded_test_is_incomplete(project: Project, how: tuple[str, ...]) -> None:
    project.suite("def test_plain():\n    pass\n")
    result = project.run(*how)
    assert result.ret == 1
    assert "no graded test was collected" in last_line(result)


def test_reruns_are_refused(project: Project) -> None:
    (project.path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--reruns', type=int)\n"
    )
    result = project.run("--reruns", "2")
    assert result.ret == 4
    assert not project.reports()


def test_a_checkpoint_that_changes_during_the_run_is_incomplete(project: Project, how: tuple[str, ...]) -> None:
    body = "model.ask(case); import pathlib; p = pathlib.Path('answers.jsonl'); p.write_text(p.read_text() + '\\n')"
    project.suite(project_suite(body))
    result = project.run(*how)
    assert result.ret == 1
    assert any("changed while it was graded" in item["what"] for item in project.report()["breaks"])


def test_the_same_results_come_alone_and_with_workers(project: Project) -> None:
    project.cases(*[a_case(f"c{number}") for number in range(9)])
    project.script(*[right(f"c{number}") for number in range(0, 9, 2)], {"content": "no"})
    project.run()
    project.run("-n", "2")
    first, second = (json.loads(path.read_text()) for path in project.reports())
    scored = [{(r["test"], r["case"], r["hit"], tuple(r["why"])) for r in run["results"]} for run in (first, second)]
    assert scored[0] == scored[1]
    assert len(scored[0]) == 9


def project_suite(body: str, *, mark: str = "", cases: str = "calls.jsonl") -> str:
    return f'import pytest\n\n{mark}\n@pytest.mark.gate("{cases}")\ndef test_calls(model, case):\n    {body}\n'


def test_a_test_that_swallows_a_break_is_a_break(project: Project, how: tuple[str, ...]) -> None:
    project.script({"user": "pwd", "status": 503}, right("ls"))
    project.suite(
        "import contextlib, pytest\nfrom gate.errors import GateError\n\n"
        '@pytest.mark.gate("calls.jsonl")\ndef test_calls(model, case):\n'
        "    with contextlib.suppress(GateError):\n        model.ask(case)\n"
        '    model.chat([{"role": "user", "content": "ls"}])\n'
    )
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 1/1 hits")


@pytest.mark.parametrize(
    "when", ["model.ask(case); pytest.exit('enough', returncode=0)", "pytest.exit('x', returncode=0)"]
)
def test_a_test_that_ends_the_run_with_0_does_not_open_the_gate(project: Project, when: str) -> None:
    project.suite(project_suite(when))
    result = project.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INCOMPLETE: *"])


def test_a_fixture_in_the_models_place_is_a_break(project: Project, how: tuple[str, ...]) -> None:
    (project.path / "conftest.py").write_text(
        "import pytest, types\n\n@pytest.fixture\ndef model():\n"
        "    return types.SimpleNamespace(ask=lambda case: case, replies=[1], broken=[])\n"
    )
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 0/0")


def test_a_conftest_that_drops_cases_silently_is_incomplete(project: Project, how: tuple[str, ...]) -> None:
    (project.path / "conftest.py").write_text("def pytest_collection_modifyitems(items):\n    del items[1:]\n")
    result = project.run(*how)
    assert result.ret == 1
    assert "not asked" in last_line(result)


def test_a_returned_comparison_is_a_break(project: Project, how: tuple[str, ...]) -> None:
    """`return` for `assert` would pass whatever the model says."""
    project.script({"content": "nope"})
    project.suite(project_suite("return model.ask(case).calls == case.calls"))
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 0/0")


def test_lf_is_incomplete_also_where_it_leaves_out_a_whole_file(project: Project, how: tuple[str, ...]) -> None:
    project.cases(a_case("one"), name="one.jsonl")
    project.suite(
        name="test_one.py", text=project_suite("assert model.ask(case).calls == case.calls", cases="one.jsonl")
    )
    project.script(right("pwd"), right("ls"), {"user": "one", "content": "no"})
    project.run(*how)
    project.script({"user": "pwd", "content": "no"}, {"user": "ls", "content": "no"}, right("one"))
    result = project.run(*how, "--lf")
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 1/1 hits")


def test_a_module_that_skips_itself_is_incomplete(project: Project, how: tuple[str, ...]) -> None:
    project.suite('import pytest\npytest.importorskip("not_there")\n', name="test_skipped.py")
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 2/2 hits")


@pytest.mark.parametrize("way", ["option", "conftest"])
def test_an_ignored_suite_is_incomplete(project: Project, how: tuple[str, ...], way: str) -> None:
    project.suite(name="test_other.py")
    if way == "conftest":
        (project.path / "suites/conftest.py").write_text('collect_ignore = ["test_other.py"]\n')
    result = project.run(*how, *(("--ignore=suites/test_other.py",) if way == "option" else ()))
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 2/2 hits")


@pytest.mark.parametrize("how_it_fails", ["xfail", "hook"])
def test_a_report_that_failed_without_an_exception_is_a_break(
    project: Project, how: tuple[str, ...], how_it_fails: str
) -> None:
    mark = "@pytest.mark.xfail(strict=True)" if how_it_fails == "xfail" else ""
    project.suite(project_suite("assert model.ask(case).calls == case.calls", mark=mark))
    if how_it_fails == "hook":
        (project.path / "conftest.py").write_text(
            "import pytest\n\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
            "    report = yield\n    if call.when == 'call':\n"
            "        report.outcome, report.longrepr = 'failed', 'bad thing in the log'\n    return report\n"
        )
    result = project.run(*how)
    assert result.ret == 1
    assert last_line(result).startswith("INCOMPLETE: 0/0")


def test_numbers_that_json_does_not_have_make_a_miss_and_a_report_that_reads_back(project: Project) -> None:
    odd = '{"choices": [{"message": {"content": null, "tool_calls": [{"function": {"name": "terminal", "arguments": '
    odd += '"{\\"command\\": 1e999}"}}]}, "finish_reason": "tool_calls"}], "usage": [1]}'
    project.script({"user": "pwd", "body": odd}, right("ls"))
    result = project.run()
    assert last_line(result).startswith("BELOW_FLOOR: 1/2")
    assert reports.read(project.reports()[0]).results
