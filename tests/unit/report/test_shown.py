"""What is held out cannot be shown, whatever a renderer prints of what it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass, replace
from typing import Any

import msgspec
import pytest

from gate.grading.verdict import decide
from gate.registry import release
from gate.registry.release import Evidence
from gate.report import github, judge_section, terminal
from gate.report.shown import Shown, shown
from gate.types import HELD_OUT, AskMode, Break, Contract, Judged, Report, Result, Verdict
from tests.reports import REPLY, WHOLE, asked, made

SECRET = "canary"
"""Stands in everything that is a held-out case's, and in nothing else."""
TEST = "suites/test_calls.py::test_calls"


def a_result(case: str, *, hit: bool, **more: Any) -> Result:
    return replace(WHOLE.results[0], test=TEST, case=case, hit=hit, why=() if hit else ("another word",), **more)


def held_out(number: int, *, hit: bool = False, **more: Any) -> Result:
    """A result as no run of ours writes it: with every text, in a report that somebody has made by hand."""
    call = {"name": f"{SECRET}-call", "arguments": {SECRET: SECRET}}
    reply = replace(REPLY, content=SECRET, reasoning=SECRET, calls=[call], leaks=[call], fault=SECRET, raw=SECRET)
    told = {"why": (SECRET,), "asked": SECRET, "expect": {"calls": [call]}, "replies": (reply,)}
    judged = Judged(None, (), SECRET, ruled=True)
    case = f"{SECRET}-{number}"
    return replace(a_result(case, hit=hit), split=HELD_OUT, stage="model", judged=judged, **told, **more)


IDS = ("dev-0", "dev-1", *(f"{SECRET}-{number}" for number in range(4)))
CONTRACT = Contract(
    TEST,
    "calls.jsonl",
    "1" * 64,
    IDS,
    0.5,
    digests=tuple(f"{id_}-digest" for id_ in IDS),
    contaminated=(f"{SECRET}-1", "dev-1"),
    replaced=(f"{SECRET}-1",),
    held_out=tuple(f"{SECRET}-asks-{number}" for number in range(4)),
    held_out_ids=IDS[2:],
    tagged={"hard": IDS[1:4]},
    floors={"hard": 0.1},
    attempt=2,
)
DEV = (a_result("dev-0", hit=True), a_result("dev-1", hit=False))


def new() -> Report:
    """Two dev cases, one missed; of four held-out ones two missed, one asked twice and one not at all."""
    rows = (*DEV, held_out(0), held_out(1), held_out(2, hit=True), held_out(2, hit=True))
    whole = asked(CONTRACT, results=rows, skips=(Break(f"{TEST}[{SECRET}-3]", f"Skipped: {SECRET}"),))
    broke = Break(f"{TEST}[{SECRET}-3~2]", f"worker gw0 crashed while running {TEST}[{SECRET}-3~2]")
    return made(replace(whole, breaks=(broke,)), ask_mode=AskMode("verified", 4, 0.1))


def old() -> Report:
    """The champion: another held-out case was right, and one that is no longer asked."""
    gone = replace(held_out(9), case=f"{SECRET}-gone", hit=True)
    return asked(CONTRACT, results=(*DEV, replace(held_out(0), hit=True), gone))


def everything(value: Any, *, seen: set[int] | None = None) -> Iterator[str]:
    """Every text that can be got at from a value: as a renderer would print it that prints all it is given."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    yield repr(value)
    if is_dataclass(value) and not isinstance(value, type):
        yield json.dumps(asdict(value), default=str)
        yield json.dumps(msgspec.to_builtins(value), default=str)
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    elif type(value).__module__.startswith("gate."):
        parts = [getattr(value, name, None) for name in dir(value) if not name.startswith("__")]
    for part in parts:
        yield from everything(part, seen=seen)


def test_the_report_itself_holds_the_secret_everywhere() -> None:
    """Else the next tests would show nothing."""
    text = "\n".join(everything(new()))
    assert f"{SECRET}-0" in text
    assert f"{SECRET}-call" in text


@pytest.mark.parametrize("champion", [None, old()], ids=["alone", "against a champion"])
def test_a_renderer_that_prints_all_it_is_given_shows_nothing_that_is_held_out(champion: Report | None) -> None:
    verdict = decide(new(), champion)
    given = shown(new(), verdict)
    found = "\n".join([*everything(given), *everything(verdict)])
    assert "dev-1" in found
    assert SECRET not in found


def test_what_a_person_reads_names_no_held_out_case_and_counts_them() -> None:
    verdict = decide(new(), old())
    given = shown(new(), verdict)
    texts = [
        terminal.summary(given),
        github.summary(given),
        "\n".join(github.alarms(given)),
        judge_section.summary(given),
    ]
    texts += [terminal.verdict_line(verdict, release.Path("report.json"))]
    assert not [text for text in texts if SECRET in text]
    assert "2 misses of held-out cases, which are not shown one by one" in texts[0]
    assert "0 of 6 verified" in texts[0]
    assert "lost  test_calls::test_calls: 1 held out (1 cases, p = 0.500)" in texts[0]
    assert "test_calls::test_calls: 2, 0 of them right; 1 of them have a fresh one" in texts[0]
    assert "- 2 of held-out cases" in texts[1]


def test_a_release_names_no_held_out_case() -> None:
    facts = {"force": "", "lower_bar": "", "refused": []}
    texts = release.texts(Evidence("hermes", shown(new(), decide(new(), old())), "{}", {}, facts, {}))
    assert SECRET not in "".join(texts.values())
    (metric,) = json.loads(texts[release.SUMMARY])["metrics"]
    assert (metric["held_out"], metric["regressions"]) == (4, 1)


def gaps(verdict: Verdict) -> list[str]:
    return [gap.replace(TEST, "T") for gap in verdict.gaps]


def test_gaps_count_the_held_out_cases_and_name_the_others() -> None:
    assert gaps(decide(new(), old())) == [
        "broke: T: a held-out case; which and how is not shown",
        "not scored: T: a held-out case; which and how is not shown",
        "asked 2 times, not 1: T: a held-out case",
        "the champion was asked T: 1 held-out cases",
        "not asked: T: 1 held-out cases (1 of 6)",
    ]
    stray = replace(WHOLE.results[0], test="u", case=f"{SECRET}-x", split=HELD_OUT)
    few = asked(replace(CONTRACT, ids=(*IDS, "dev-2")), results=(*DEV, held_out(0), stray))
    assert gaps(decide(few)) == [
        "unknown: u: 1 held-out cases is in no contract",
        "not asked: T: dev-2, 3 held-out cases (4 of 7)",
    ]


def test_sums_are_over_all_cases() -> None:
    given = shown(new(), decide(new(), old()))
    assert (given.totals.results, given.totals.held_out_misses) == (6, 2)
    (test,) = given.tests
    assert (test.cases, test.held_out, test.contaminated, test.replaced) == (6, 4, 2, 1)
    assert test.contract.ids == ("dev-0", "dev-1")
    assert test.contract.digests == ("dev-0-digest", "dev-1-digest")
    assert test.contract.tagged == {"hard": ("dev-1",)}
    assert (test.finding.lost, test.finding.regressions, test.finding.won) == (1, (), 0)
    assert isinstance(given, Shown)
