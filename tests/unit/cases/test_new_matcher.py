"""A matcher is one class in one file: lint, repair, `gate add` and a grading know it without a change elsewhere."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader, matchers
from gate.cases.matchers.matcher import MATCHERS, Place, describe_call, literals, mismatches, problems
from gate.cli.main import main
from gate.repair.rows import calls
from tests.project import TOOL, Project, a_case

DATE = '''
from datetime import date, datetime

from gate.cases.matchers.matcher import Matcher


class Date(Matcher):
    """A date in a format of strftime."""

    key = "$date"

    def flaw(self):
        return "" if isinstance(self.value, str) and "%" in self.value else "expected a format such as %Y-%m-%d"

    def accepts(self, got):
        try:
            return isinstance(got, str) and bool(datetime.strptime(got, self.value))
        except ValueError:
            return False

    def describe(self):
        return f"a date as {self.value}"

    def named_value(self):
        return date(2026, 2, 1).strftime(self.value)
'''
DAY = {"type": "object", "properties": {"day": {"type": "string", "maxLength": 10}}, "required": ["day"]}
BOOK = {"type": "function", "function": {"name": "book", "parameters": DAY}}


def booking(name: str, day: Any, **more: Any) -> dict[str, Any]:
    return a_case(name, calls=[{"name": "book", "arguments": {"day": day}}], tools=[TOOL, BOOK], **more)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose one file with a matcher is loaded; afterwards nobody knows it."""
    known = dict(MATCHERS)
    for folder in ("fixtures/cases", "fixtures/tools"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "dates.py").write_text(DATE)
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("dates", tmp_path / "dates.py")
    if spec is None or spec.loader is None:
        pytest.fail("the file cannot be loaded")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield tmp_path
    MATCHERS.clear()
    MATCHERS.update(known)


@pytest.mark.usefixtures("here")
def test_it_is_checked_compared_and_described() -> None:
    expected = {"day": {"$any": [{"$date": "%Y-%m-%d"}, {"$optional": 1}]}}
    assert problems({"$date": 5}, "x") == ["x.$date: expected a format such as %Y-%m-%d"]
    assert problems({"$date": "%Y", "more": 1}, "x") == ['x.$date: a matcher stands alone, found also ["more"]']
    assert "$date" in problems({"$dat": 5}, "x")[0]
    assert problems(expected, "x") == ["x.day.$any[1].$optional: stands only as the direct value of an object's key"]
    expected = {"day": {"$date": "%Y-%m-%d"}}
    assert mismatches(expected, {"day": "2026-12-01"}, Place("x")) == []
    assert mismatches(expected, {"day": "soon"}, Place("x")) == ['x.day: expected a date as %Y-%m-%d, got "soon"']
    assert describe_call({"name": "book", "arguments": expected}) == "book(day=a date as %Y-%m-%d)"
    assert list(literals(expected)) == ["2026-02-01"]


def test_lint_tries_its_example_with_the_tools_schema(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = booking("good", {"$date": "%Y-%m-%d"}), booking("bad", {"$date": "%A, %d %B %Y"})
    (here / "fixtures/cases/c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (good, bad)))
    assert main(["lint-cases"]) == 1
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "bad: its own expected answer is a miss" in errors[0]
    assert "is too long" in errors[0]


def test_repair_teaches_the_value_that_it_names(here: Path) -> None:
    case = loader.parse(booking("a", {"$date": "%d.%m.%Y"}), here / "fixtures")
    assert calls(case) == [{"name": "book", "arguments": {"day": "01.02.2026"}}]


def test_gate_add_takes_it_and_refuses_one_that_nothing_can_meet(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"messages": [{"role": "user", "content": "Book a table for Sunday, please."}], "tools": [BOOK]}
    response = {"choices": [{"message": {"role": "assistant", "content": "For when?"}, "finish_reason": "stop"}]}
    (here / "pair.json").write_text(json.dumps({"request": request, "response": response}))
    take = ["add", "live.jsonl", "--pair", "pair.json", "--call"]
    assert main([*take, 'book({"day": {"$date": "%A, %d %B %Y"}})']) == 4
    assert "nothing can meet what it expects" in capsys.readouterr().err
    assert main([*take, 'book({"day": {"$date": "%Y-%m-%d"}})']) == 0
    assert "book(day=a date as %Y-%m-%d)" in capsys.readouterr().out
    (row,) = [json.loads(line) for line in (here / "fixtures/cases/live.jsonl").read_text().splitlines()]
    assert row["expect"] == {"calls": [{"name": "book", "arguments": {"day": {"$date": "%Y-%m-%d"}}}]}


def test_a_grading_uses_it(pytester: pytest.Pytester) -> None:
    project = Project(pytester)
    (project.path / "conftest.py").write_text(DATE)
    project.cases(booking("first", {"$date": "%Y-%m-%d"}), booking("second", {"$date": "%Y-%m-%d"}))
    days = {"first": "2026-12-01", "second": "tomorrow"}
    project.script(*({"user": u, "calls": [{"name": "book", "arguments": {"day": d}}]} for u, d in days.items()))
    ran = project.run()
    assert "expected a date as %Y-%m-%d, got" in ran.stdout.str()
    assert {row["case"]: row["hit"] for row in project.report()["results"]} == {"first": True, "second": False}


def test_every_matcher_is_in_the_documentation_of_the_package() -> None:
    assert all(f'{{"{key}": ' in (matchers.__doc__ or "") for key in MATCHERS)
    assert all(known.__doc__ for known in MATCHERS.values())
