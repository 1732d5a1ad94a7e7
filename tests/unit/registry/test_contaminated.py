"""A case that training learned from is asked on and counts no more, until a fresh one takes its place."""

from __future__ import annotations

import pytest

from gate.cases import loader
from gate.errors import GateError
from gate.grading import paired  # before pytester takes the modules back
from gate.grading.verdict import decide
from gate.registry import contaminated, promote, slots
from gate.registry.ledger import LedgerError
from gate.registry.promote import PromotionError, Request
from gate.registry.slots import Slot
from gate.report import io as reports
from tests.project import Project, a_case, last_line, right

assert slots


def burn(project: Project, *ids: str) -> int:
    file = loader.load("calls.jsonl", project.path / "fixtures")
    marks = {loader.marks(case)[1]: case.id for case in file.cases if case.id in ids}
    return contaminated.record(project.path / "registry", marks, {"repair": "r1"})


def test_each_case_burns_once(project: Project) -> None:
    assert (burn(project, "pwd"), burn(project, "pwd", "ls"), burn(project, "ls")) == (1, 1, 0)
    assert set(contaminated.recorded(project.path / "registry").values()) == {"pwd", "ls"}


def test_a_burned_case_is_asked_and_not_counted(project: Project, how: tuple[str, ...]) -> None:
    burn(project, "pwd")
    project.script({"user": "pwd", "content": "no"}, right("ls"))
    run = project.run(*how)
    text = "\n".join(run.outlines)
    assert run.ret == 0
    assert last_line(run).startswith("PASS: 1/1 hits")
    assert "learned from by training, and not counted:" in text
    assert "1, 0 of them right; 0 of them have a fresh one" in text


def test_a_suite_of_burned_cases_proves_nothing(project: Project) -> None:
    burn(project, "pwd", "ls")
    run = project.run()
    assert run.ret == 1
    assert last_line(run).startswith("INCOMPLETE")
    assert "nothing that counts" in last_line(run)


def test_a_reworded_id_does_not_bring_a_case_back(project: Project) -> None:
    burn(project, "pwd")
    project.cases(a_case("pwd") | {"id": "renamed"}, a_case("ls"))
    project.run()
    assert project.report()["contracts"][0]["contaminated"] == ["renamed"]


def test_a_fresh_case_takes_its_place(project: Project) -> None:
    burn(project, "pwd")
    project.cases(a_case("pwd"), a_case("ls"), a_case("whoami", replaces="pwd"))
    project.script(right("pwd"), right("ls"), right("whoami"))
    run = project.run()
    assert last_line(run).startswith("PASS: 2/2 hits")
    assert project.report()["contracts"][0]["replaced"] == ["pwd"]


def test_no_promotion_on_fewer_cases_without_a_reason(project: Project) -> None:
    (project.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 1\n")
    burn(project, "pwd")
    project.run()
    slot = Slot("demo", project.path / "registry")
    request = Request(
        path=f"scripted:{project.path / 'answers.jsonl'}", slot=slot, report=project.reports()[0], project=project.path
    )
    with pytest.raises(
        PromotionError, match=r"1 cases were contaminated by training and have no fresh one .*first pwd"
    ):
        promote.promote(request)


def test_what_burned_after_it_was_asked_is_graded_again(project: Project) -> None:
    (project.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 1\n")
    project.run()
    burn(project, "pwd")
    slot = Slot("demo", project.path / "registry")
    request = Request(
        path=f"scripted:{project.path / 'answers.jsonl'}", slot=slot, report=project.reports()[0], project=project.path
    )
    with pytest.raises(PromotionError, match="training has learned from cases since"):
        promote.promote(request)


def test_a_broken_ledger_stops_the_run(project: Project) -> None:
    burn(project, "pwd")
    path = contaminated.path(project.path / "registry")
    path.write_text(path.read_text().replace('"cases"', '"other"'))
    with pytest.raises(LedgerError):
        contaminated.recorded(project.path / "registry")
    assert issubclass(LedgerError, GateError)
    run = project.run()
    assert run.ret == 4
    assert not project.reports()


def test_flips_of_burned_cases_are_no_regressions(project: Project) -> None:
    project.run()
    first = reports.read(project.reports()[0])
    burn(project, "pwd")
    project.script({"user": "pwd", "content": "no"}, right("ls"))
    project.run()
    second = reports.read(next(path for path in project.reports() if reports.read(path) != first))
    found = decide(second, first).findings[0]
    assert found.regressions == ()


def test_an_old_case_that_says_it_replaces_leaves_fewer_that_count(project: Project) -> None:
    project.run()
    first = reports.read(project.reports()[0])
    burn(project, "pwd")
    project.cases(a_case("pwd"), a_case("ls", replaces="pwd"))
    project.run()
    second = reports.read(next(path for path in project.reports() if reports.read(path) != first))
    assert second.contracts[0].replaced == ("pwd",)
    assert "suites/test_calls.py::test_calls: 1 cases count, were 2" in paired.lowered(second, first)
