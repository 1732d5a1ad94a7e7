"""What a person reads; and nothing that a model writes can steer the terminal."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.grading.verdict import decide
from gate.report import io as reports
from gate.report import terminal
from gate.types import Break, Json, Outcome
from tests.unit.report.test_io import REPLY, WHOLE

STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(st.text(st.characters(codec=None)))
def test_clean_text_holds_nothing_that_steers(text: str) -> None:
    assert not [c for c in terminal.clean(text) if unicodedata.category(c) in STEERING]


def test_clean_keeps_ordinary_text_and_shows_the_rest() -> None:
    assert terminal.clean("Käse, 日本 ✓") == "Käse, 日本 ✓"
    assert terminal.clean("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"


def test_a_summary_shows_the_miss_the_gap_and_the_table() -> None:
    text = terminal.summary(WHOLE, decide(WHOLE))
    assert "MISS t a (dev)" in text
    assert "expected  no call" in text
    assert "broke: t[b]: call: no answer" in text
    assert "0/1" in text


def test_long_lists_are_cut_and_counted() -> None:
    results = tuple(replace(WHOLE.results[0], case=f"c{n}") for n in range(terminal.MISSES + 3))
    breaks = tuple(Break(f"t{n}", "x") for n in range(terminal.MISSES + 3))
    many = replace(WHOLE, results=results, breaks=breaks)
    text = terminal.summary(many, decide(many))
    assert "… and 3 more misses in the report" in text
    assert text.count("MISS") == terminal.MISSES


def test_a_reply_without_anything_says_why() -> None:
    empty = replace(REPLY, content="", fault="empty answer")
    shown = terminal.summary(replace(WHOLE, results=(replace(WHOLE.results[0], replies=(empty,)),)), decide(WHOLE))
    assert "got       nothing (empty answer)" in shown


def test_the_verdict_line_names_outcome_totals_reason_and_report() -> None:
    line = terminal.verdict_line(decide(WHOLE), Path("runs/x/report.json"))
    assert line.startswith(f"{Outcome.INCOMPLETE}: 0/1 hits; ")
    assert line.endswith("report: runs/x/report.json")
    assert "\n" not in line


CANARY = {"equal": True, "alone": True, "batched": True, "cold": None, "differences": [], "seconds": 1.0}


@pytest.mark.parametrize(
    ("canary", "lines"),
    [
        (CANARY, ["determinism: alone equal, batched equal, cold/warm not possible"]),
        (
            CANARY | {"equal": False, "batched": False, "differences": ["batched: 'a' for 'b'"]},
            [
                "determinism: alone equal, batched DIFFERENT, cold/warm not possible",
                "  batched: 'a' for 'b'",
            ],
        ),
        ({"equal": None, "why": "not possible: HTTP 503", "seconds": 0.1}, ["determinism: not possible: HTTP 503"]),
    ],
)
def test_the_canary_is_one_line_and_what_differed(tmp_path: Path, canary: Json, lines: list[str]) -> None:
    whole = replace(WHOLE, made=WHOLE.made | {"canary": canary})
    reports.write(tmp_path / "report.json", whole)
    shown = terminal.summary(reports.read(tmp_path / "report.json"), decide(whole)).splitlines()
    start = shown.index(lines[0])
    assert shown[start : start + len(lines)] == lines


def test_a_report_from_before_blame_and_canary_says_nothing_of_them() -> None:
    text = terminal.summary(WHOLE, decide(WHOLE))
    assert "attribution" not in text
    assert "determinism" not in text


def test_stages_stand_beside_the_misses_and_are_counted(tmp_path: Path) -> None:
    made = WHOLE.made | {"blame": {"asked": "misses", "seconds": 0.5, "problems": {"no answer": 1}}}
    told = replace(WHOLE.results[0], stage="parser", raw=True)
    whole = replace(WHOLE, made=made, results=(told, WHOLE.results[0]))
    reports.write(tmp_path / "report.json", whole)
    text = terminal.summary(reports.read(tmp_path / "report.json"), decide(whole))
    assert "MISS t a (dev), stage parser\n" in text
    assert "MISS t a (dev)\n" in text
    assert "attribution: parser 1, not told 1\n  not told 1 times: no answer" in text
