"""The plugin keeps pytest what it is: options, reports and plain runs behave."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from tests.project import Project, a_case, last_line, right

ESCAPE = "\x1b]0;pwned\x07\x1b[31m::error::red\u202eevil"


def test_without_model_the_plugin_is_not_there(project: Project) -> None:
    (project.path / "tests/test_own.py").write_text("def test_own(pytestconfig):\n    assert True\n")
    result = project.pytester.runpytest_subprocess()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*1 passed*"])
    result.stdout.no_fnmatch_line("*gate:*")
    assert not (project.path / "runs").exists()


def test_model_without_a_path_grades_suites(project: Project, how: tuple[str, ...]) -> None:
    (project.path / "tests/test_own.py").write_text("def test_own():\n    assert False\n")
    assert project.run(*how).ret == 0


@pytest.mark.parametrize("joined", [False, True])
def test_a_model_outside_of_the_project_does_not_move_its_root(
    project: Project, how: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory, joined: bool
) -> None:
    """pytest takes the value of an option that it does not know yet for a test path."""
    elsewhere = tmp_path_factory.mktemp("models") / "fused"
    elsewhere.mkdir()
    arguments = (f"--model={elsewhere}",) if joined else ("--model", str(elsewhere))
    result = project.pytester.runpytest_subprocess(*arguments, *how)
    assert "not a checkpoint" in result.stderr.str()
    (elsewhere / "suites").mkdir()
    (elsewhere / "suites/test_trap.py").write_text("raise SystemExit('collected from the model')")
    script = elsewhere / "answers.jsonl"
    script.write_text((project.path / "answers.jsonl").read_text())
    result = project.run(*how, model=f"scripted:{script}")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"rootdir: {project.path}"])


def test_collect_only_lists_the_cases_and_serves_nothing(project: Project, how: tuple[str, ...]) -> None:
    result = project.run(*how, "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["suites/test_calls.py::test_calls?pwd?", "suites/test_calls.py::test_calls?ls?"])
    assert not (project.path / "runs").exists()


def test_it_works_without_xdist_installed(project: Project) -> None:
    result = project.run("-p", "no:xdist")
    assert result.ret == 0
    assert last_line(result).startswith("PASS")


def test_junit_names_each_hit_and_miss(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "content": ESCAPE})
    project.run(*how, "--junitxml=junit.xml")
    cases = ElementTree.parse(project.path / "junit.xml").iter("testcase")
    said = {case.get("name"): [p.get("value") for p in case.iter("property")] for case in cases}
    assert said == {"test_calls[pwd]": ["hit"], "test_calls[ls]": ["miss"]}


def test_a_miss_has_its_own_letter_and_word(project: Project) -> None:
    project.script(right("pwd"), {"user": "ls", "content": "no"})
    result = project.run("--color=no")
    result.stdout.fnmatch_lines(["*test_calls.py .m*"])
    result.stdout.fnmatch_lines(["*MISS test_calls::test_calls ls (dev)*"])
    verbose = project.run("-v", "--color=no")
    verbose.stdout.fnmatch_lines(["*test_calls?ls? MISS*"])


def test_a_miss_shows_what_was_asked_expected_and_got(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "calls": [{"name": "browse", "arguments": {"url": "ls"}}]})
    project.run(*how).stdout.fnmatch_lines(
        ["  asked     ls", '  expected  terminal(command="ls")', '  got       browse(url="ls")', "  because   *browse*"]
    )


def test_control_characters_of_a_model_never_reach_the_terminal(project: Project, how: tuple[str, ...]) -> None:
    project.script(right("pwd"), {"user": "ls", "calls": [{"name": ESCAPE, "arguments": {ESCAPE: ESCAPE}}]})
    for arguments in ((), ("-v",), ("-vv", "--color=yes")):
        text = project.run(*how, *arguments).stdout.str()
        assert "\x1b]0" not in text
        assert "\x07" not in text
        assert "\u202e" not in text


def test_the_smallest_margins_are_listed_as_fragile(project: Project) -> None:
    project.script(right("pwd") | {"gap": 4.0}, right("ls") | {"gap": 0.11})
    result = project.run()
    lines = [line for line in result.outlines if " nats  " in line]
    assert lines == ["   0.110 nats  test_calls::test_calls ls", "   4.000 nats  test_calls::test_calls pwd"]


def test_every_sampling_parameter_is_in_the_report(project: Project) -> None:
    project.run()
    sampling = project.report()["made"]["sampling"]
    assert sampling["temperature"] == 0
    assert sampling["top_p"] == 1
    assert "seed" in sampling


def test_held_out_and_dev_are_told_apart_in_the_report(project: Project) -> None:
    project.cases(a_case("pwd"), a_case("ls", split="held-out"))
    project.run()
    assert {r["case"]: r["split"] for r in project.report()["results"]} == {"pwd": "dev", "ls": "held-out"}


@pytest.mark.parametrize("arguments", [("-q",), ("-qq",), ("--no-header", "--no-summary"), ("-rA",), ("--tb=no",)])
def test_the_verdict_is_the_last_line_however_quiet(project: Project, arguments: tuple[str, ...]) -> None:
    assert last_line(project.run(*arguments)).startswith("PASS")
