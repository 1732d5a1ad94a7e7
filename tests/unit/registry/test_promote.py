"""The only door: a report that passes today, for exactly these bytes. Everything else is refused, and written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.cli.main import main
from gate.grading.verdict import decide
from gate.registry import promote as promotion  # before a pytester, which takes back what is imported under it
from gate.registry import slots
from gate.registry.policy import Policy, PolicyError, read, suites
from gate.registry.slots import Slot
from gate.types import Outcome
from tests.project import SUITE, Project, a_case, right
from tests.reports import REPLY, WHOLE

SLOT = ("--slot", "hermes")


@pytest.fixture
def graded(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose scripted model has passed; the policy asks for two cases."""
    (project.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 2\n")
    monkeypatch.chdir(project.path)
    assert project.run().ret == 0
    return project


def test_a_refusal_ends_with_1_and_bad_input_with_4() -> None:
    assert (promotion.PromotionError.status, promotion.GateError.status) == (1, 4)


def newest(project: Project) -> Path:
    return max(project.reports(), key=lambda path: path.stat().st_mtime_ns)


def promote(project: Project, *more: str, model: str = "scripted:answers.jsonl") -> int:
    return main(["promote", model, *SLOT, "--report", str(newest(project)), *more])


def edit(project: Project, change: Callable[[dict[str, Any]], object]) -> None:
    path = newest(project)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def events(project: Project) -> list[tuple[str, int]]:
    history = slots.history(Slot("hermes", project.path / "registry"))
    return [(line.event, len(line.facts.get("refused") or [])) for line in history]


def test_a_pass_is_promoted_and_written_down(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(graded) == 0
    assert "promoted: hermes line 2" in capsys.readouterr().out
    assert events(graded) == [("attempt", 0), ("promotion", 0)]
    assert main(["current", *SLOT]) == 0
    assert capsys.readouterr().out.strip() == str(graded.path / "answers.jsonl")
    assert main(["verify-ledger", *SLOT]) == 0
    assert main(["history", *SLOT]) == 0
    assert "PASS" in capsys.readouterr().out


def one_byte_more(project: Project) -> None:
    (project.path / "answers.jsonl").write_text((project.path / "answers.jsonl").read_text() + "\n")


def another_case(project: Project) -> None:
    project.cases(a_case("pwd"), a_case("ls"), a_case("id"))


def another_suite(project: Project) -> None:
    project.suite(name="test_more.py")


def a_lower_floor(project: Project) -> None:
    project.suite(floor=0.5)


def another_word(project: Project) -> None:
    (project.path / "suites" / "word.txt").write_text("x")


def another_root(project: Project) -> None:
    (project.path / "conftest.py").write_text("")


def another_helper(project: Project) -> None:
    (project.path / "suites" / "conftest.py").write_text("")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (one_byte_more, "grade it again"),
        (another_case, "the cases of calls.jsonl have changed"),
        (another_suite, "suites/test_more.py::test_calls was not asked"),
        (a_lower_floor, "suites/test_calls.py has changed"),
        (another_helper, "suites/conftest.py has changed"),
        (another_word, "suites/word.txt has changed"),
        (another_root, "suites/../conftest.py has changed"),
        (lambda p: edit(p, lambda r: r["made"].update(started="yesterday")), "not a time"),
        (lambda p: edit(p, lambda r: r["contracts"][0].update(ids=["pwd"])), "have changed"),
        (lambda p: edit(p, lambda r: r["made"].update(started="2020-01-01T00:00:00+00:00")), "days old"),
        (lambda p: edit(p, lambda r: r["made"].update(started="2099-01-01T00:00:00+00:00")), "days old"),
        (lambda p: edit(p, lambda r: r["results"].pop()), "INCOMPLETE"),
        (lambda p: edit(p, lambda r: r["results"][0].update(hit=False)), "BELOW_FLOOR"),
        (lambda p: edit(p, lambda r: r["checkpoint"].update(verified=False)), "cannot be verified"),
        (lambda p: edit(p, lambda r: r["made"].update(suites={})), "has changed"),
        (lambda p: edit(p, lambda r: [c.update(smoke=True) for c in r["contracts"]]), "only smoke tests"),
        (lambda p: (p.path / "pyproject.toml").unlink(), "20 are demanded"),
        (
            lambda p: (p.path / "pyproject.toml").write_text("[tool.pytest-gate]\nexact = true\nmin_cases = 1\n"),
            "determinism probe",
        ),
    ],
)
def test_what_does_not_pass_today_is_refused_and_written_down(
    graded: Project, capsys: pytest.CaptureFixture[str], change: Callable[[Project], object], why: str
) -> None:
    change(graded)
    if why == "determinism probe":
        edit(graded, lambda report: report["made"].update(determinism=None))
    assert promote(graded) == 1
    assert why in capsys.readouterr().err
    assert events(graded)[0][0] == "attempt"
    assert events(graded)[0][1] >= 1
    assert slots.current(Slot("hermes", graded.path / "registry")) is None


def test_other_bytes_cannot_be_forced_and_other_reasons_can(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    another_case(graded)
    assert promote(graded, "--force", "the demo is at noon") == 0
    assert main(["history", *SLOT]) == 0
    assert "FORCED: the demo is at noon" in capsys.readouterr().out
    one_byte_more(graded)
    assert promote(graded, "--force", "the demo is at noon") == 1


def second(project: Project, **more: Any) -> None:
    """Another model, graded: the champion's script with a harmless line more."""
    project.script(right("pwd"), right("ls"), {"user": "unused", "content": "x"}, **more)
    assert project.run().ret == 0


def test_the_champion_is_beaten_and_a_rollback_returns_to_it(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    first = graded.path / "answers.jsonl"
    first.rename(graded.path / "first.jsonl")
    assert graded.run(model="scripted:first.jsonl").ret == 0
    assert promote(graded, model="scripted:first.jsonl") == 0
    second(graded)
    assert promote(graded) == 0
    assert main(["rollback", *SLOT, "--reason", "it sounds wrong"]) == 0
    assert main(["current", *SLOT]) == 0
    assert capsys.readouterr().out.strip().endswith("first.jsonl")
    assert main(["rollback", *SLOT, "--reason", "again"]) == 4
    assert [event for event, _ in events(graded)] == ["attempt", "promotion", "attempt", "promotion", "rollback"]


def test_after_a_case_was_added_the_champion_is_graded_again(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = graded.path / "answers.jsonl"
    champion.rename(graded.path / "first.jsonl")
    assert graded.run(model="scripted:first.jsonl").ret == 0
    assert promote(graded, model="scripted:first.jsonl") == 0
    graded.cases(a_case("pwd"), a_case("ls"), a_case("id", calls=[]))
    graded.run(model="scripted:first.jsonl")
    again = newest(graded)
    graded.script(right("pwd"), right("ls"), {"user": "id", "content": "You are root."})
    assert graded.run().ret == 0
    assert promote(graded) == 1
    assert "grade it again" in capsys.readouterr().err
    assert promote(graded, "--champion", str(newest(graded))) == 1
    assert "is not a report of the slot's champion" in capsys.readouterr().err
    assert promote(graded, "--champion", str(again)) == 0


def test_a_report_of_the_champion_that_was_asked_less_is_none_to_compare_with(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = graded.path / "answers.jsonl"
    champion.rename(graded.path / "first.jsonl")
    assert graded.run(model="scripted:first.jsonl").ret == 0
    first = newest(graded)
    assert promote(graded, model="scripted:first.jsonl") == 0
    graded.suite(name="test_more.py")
    graded.script(right("pwd"), right("ls"), {"user": "unused", "content": ""})
    assert graded.run().ret == 0
    assert promote(graded, "--champion", str(first)) == 1
    assert "the champion was not asked what suites/test_more.py::test_calls asks today" in capsys.readouterr().err


def test_attempts_that_were_counted_elsewhere_or_fewer_are_refused(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    graded.cases(a_case("pwd"), a_case("ls", split="held-out"))
    graded.script(right("pwd"))
    assert graded.run().ret == 1
    graded.script(right("pwd"), right("ls"))
    assert graded.run("--gate-registry", "elsewhere").ret == 0
    assert promote(graded) == 1
    assert "its held-out cases were counted elsewhere" in capsys.readouterr().err
    assert graded.run().ret == 0
    edit(graded, lambda report: report["contracts"][0].update(attempt=1))
    assert promote(graded) == 1
    assert "the report says attempt 1, and registry counts 2" in capsys.readouterr().err
    assert graded.run().ret == 0
    assert promote(graded) == 0


def test_a_blank_reason_is_bad_input(graded: Project) -> None:
    assert promote(graded, "--force", " ") == 4
    assert events(graded) == []


def test_links_that_lead_in_a_circle_are_followed_once(graded: Project) -> None:
    (graded.path / "suites" / "again").symlink_to(graded.path / "suites", target_is_directory=True)
    assert set(suites(graded.path / "suites")) == {"test_calls.py"}


def test_a_lowered_bar_needs_a_reason(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(graded) == 0
    graded.suite(floor=0.5)
    second(graded)
    assert promote(graded) == 1
    assert "floor 0.5, was 1" in capsys.readouterr().err
    assert promote(graded, "--accept-lower-bar", "the case was wrong") == 0
    main(["history", *SLOT])
    assert "lower bar: the case was wrong" in capsys.readouterr().out


def test_a_champion_whose_report_was_changed_stops_everything(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote(graded) == 0
    kept = next((graded.path / "registry/hermes/releases").glob("*/report.json"))
    kept.write_text(kept.read_text().replace('"hit": true', '"hit": false'))
    second(graded)
    assert promote(graded) == 1
    assert "was changed" in capsys.readouterr().err


def test_a_regression_is_listed_by_decide(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    champion = newest(graded)
    graded.script(right("pwd"))
    graded.suite(floor=0.5)
    assert graded.run().ret == 0
    assert main(["decide", str(newest(graded)), "--champion", str(champion)]) == 1
    out = capsys.readouterr().out
    assert "REGRESSED" in out
    assert "lost" in out
    assert "ls" in out


@pytest.mark.parametrize("text", ["max_age = 3", 'min_cases = "2"', "exact = 1", "min_cases = -1", "min_cases = true"])
def test_a_policy_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.pytest-gate]\n{text}\n")
    with pytest.raises(PolicyError, match=text.split()[0]):
        read(tmp_path)


def test_without_a_policy_the_defaults_hold(tmp_path: Path) -> None:
    assert read(tmp_path) == Policy()
    assert Policy().min_cases == 20


def test_a_judge_that_was_weakened_is_a_lower_bar(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(graded) == 0
    suite = graded.path / "suites/test_calls.py"
    suite.write_text(suite.read_text().replace("assert model.ask(case).calls == case.calls", "model.ask(case)"))
    graded.script({"user": "pwd", "content": "no"})
    assert graded.run().ret == 0
    assert promote(graded) == 1
    assert "the bar was lowered: suites/test_calls.py was changed" in capsys.readouterr().err


def test_a_case_that_expects_less_is_a_lower_bar(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    champion = graded.path / "answers.jsonl"
    champion.rename(graded.path / "first.jsonl")
    assert graded.run(model="scripted:first.jsonl").ret == 0
    assert promote(graded, model="scripted:first.jsonl") == 0
    graded.cases(
        a_case("pwd"), a_case("ls", calls=[{"name": "terminal", "arguments": {"command": {"$anything": True}}}])
    )
    graded.run(model="scripted:first.jsonl")
    again = newest(graded)
    graded.script(right("pwd"), right("ls"), {"user": "unused", "content": ""})
    assert graded.run().ret == 0
    assert promote(graded, "--champion", str(again)) == 1
    assert "1 cases were changed, the first ls" in capsys.readouterr().err


def test_a_champion_graded_by_other_suites_is_none_to_compare_with(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote(graded) == 0
    strict = (graded.path / "suites/test_calls.py").read_text()
    (graded.path / "suites/test_calls.py").write_text(strict + "    assert False\n")
    graded.run()
    again = newest(graded)
    (graded.path / "suites/test_calls.py").write_text(strict)
    second(graded)
    assert promote(graded, "--champion", str(again)) == 1
    assert "was graded by other suites than the candidate" in capsys.readouterr().err


TWO = (
    SUITE
    + """

class TestHard:
    @pytest.mark.gate("calls.jsonl", floor=1.0)
    def test_hard(self, model, case):
        assert model.ask(case).calls == case.calls and False
"""
)


def test_a_marked_test_that_was_left_out_is_refused(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    graded.suite(TWO)
    assert graded.run("suites/test_calls.py::test_calls").ret == 0
    assert promote(graded) == 1
    assert "suites/test_calls.py::TestHard::test_hard was not asked" in capsys.readouterr().err


def test_a_judge_beside_the_suites_must_be_the_one_of_today(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (graded.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (graded.path / "judge.py").write_text("def good(*_):\n    return True\n")
    suite = graded.path / "suites/test_calls.py"
    text = suite.read_text().replace("import pytest", "import pytest\nfrom judge import good")
    suite.write_text(text.replace("model.ask(case).calls == case.calls", "good(model.ask(case), case)"))
    assert graded.run().ret == 0
    (graded.path / "judge.py").write_text("def good(reply, case):\n    return reply.calls == case.calls\n")
    assert promote(graded) == 1
    assert "judge.py has changed" in capsys.readouterr().err


def test_the_same_case_counts_once(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    more = "".join(
        f'\n@pytest.mark.gate("calls.jsonl")\ndef test_{n}(model, case):\n'
        "    assert model.ask(case).calls == case.calls\n"
        for n in range(4)
    )
    graded.suite(SUITE + more)
    (graded.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 5\n")
    assert graded.run().ret == 0
    assert promote(graded) == 1
    assert "it stands on 2 different cases" in capsys.readouterr().err


def test_a_forced_promotion_says_what_it_goes_against(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    another_case(graded)
    assert promote(graded, "--force", "the demo is at noon") == 0
    assert "against the gate:\n  the cases of calls.jsonl have changed" in capsys.readouterr().err
    main(["history", *SLOT])
    assert "against 1 reasons; FORCED" in capsys.readouterr().out


def test_other_folders_are_promoted_from_as_they_were_graded(graded: Project) -> None:
    (graded.path / "pytest.ini").write_text("[pytest]\ngate_fixtures = fx\ngate_suites = exam\n")
    (graded.path / "fixtures").rename(graded.path / "fx")
    (graded.path / "suites").rename(graded.path / "exam")
    assert graded.run().ret == 0
    assert promote(graded) == 0


@pytest.mark.parametrize("text", ["tool = 5", "[tool]\npytest-gate = 3", "[[tool.pytest-gate]]\nmin_cases = 2"])
def test_a_table_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(PolicyError):
        read(tmp_path)


SLOTS = '[tool.pytest-gate]\nmin_cases = 1\n[tool.pytest-gate.slots]\nhermes = ["suites/test_calls.py"]\n'


def test_a_slot_demands_the_suites_that_policy_names(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    graded.suite(name="test_more.py")
    graded.script(right("pwd"), right("ls"))
    assert graded.run("suites/test_calls.py").ret == 0
    assert promote(graded) == 1
    assert "suites/test_more.py::test_calls was not asked" in capsys.readouterr().err
    (graded.path / "pyproject.toml").write_text(SLOTS)
    assert promote(graded) == 0


def test_a_run_for_a_slot_asks_what_the_slot_demands(graded: Project) -> None:
    graded.suite(name="test_more.py")
    (graded.path / "pyproject.toml").write_text(SLOTS)
    assert graded.run("--gate-slot", "hermes").ret == 0
    assert [each["test"] for each in reports(graded)[-1]["contracts"]] == ["suites/test_calls.py::test_calls"]
    assert graded.run("--gate-slot", "other").ret == 0
    assert len(reports(graded)[-1]["contracts"]) == 2


def reports(project: Project) -> list[dict[str, Any]]:
    """Every report, the oldest first."""
    read = [json.loads(path.read_text()) for path in project.reports()]
    return sorted(read, key=lambda each: (each["made"]["started"], len(each["contracts"])))


@pytest.mark.parametrize(
    "text",
    [
        "hermes = 3",
        "hermes = []",
        'hermes = ["suites/none"]',
        'hermes = ["suites/../suites"]',
        'hermes = ["/"]',
    ],
)
def test_slots_that_name_nothing_are_refused(graded: Project, text: str) -> None:
    (graded.path / "pyproject.toml").write_text(f"[tool.pytest-gate.slots]\n{text}\n")
    with pytest.raises(PolicyError, match="hermes"):
        read(graded.path)


def test_a_slot_whose_paths_hold_no_suite_promotes_nothing(graded: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (graded.path / "pyproject.toml").write_text(SLOTS.replace("suites/test_calls.py", "fixtures"))
    assert promote(graded) == 1
    assert "policy demands no suite for the slot 'hermes'" in capsys.readouterr().err


def test_a_limit_of_seconds_holds_for_a_run_a_decision_and_a_promotion_alike(
    graded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report that has passed without a limit does not with one, whoever decides."""
    report = str(newest(graded))
    assert main(["decide", report]) == 0
    (graded.path / "pyproject.toml").write_text("[tool.pytest-gate]\nmin_cases = 2\nmax_p95_seconds = 0.000001\n")
    capsys.readouterr()
    assert main(["decide", report]) == 1
    assert "max_p95_seconds is 1e-06" in capsys.readouterr().out
    assert promote(graded) == 1
    assert "BELOW_FLOOR" in capsys.readouterr().err
    result = graded.run(fresh=False)  # answers of the run before are not taken: their seconds are not of today
    assert result.ret == 1
    result.stdout.fnmatch_lines(["BELOW_FLOOR: 2/2 hits; below the floor: test_calls::test_calls*"])


def test_seconds_of_cached_answers_meet_no_limit() -> None:
    cached = replace(WHOLE.results[0], hit=True, why=(), replies=(replace(REPLY, cached=True),))
    contract = replace(WHOLE.contracts[0], ids=("a",))
    report = replace(WHOLE, contracts=(contract,), results=(cached,), breaks=())
    assert decide(report).outcome is Outcome.PASS
    assert decide(report, max_p95_seconds=100).outcome is Outcome.INCOMPLETE
