"""What a person reads; and nothing that a model writes can steer the terminal."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gate import render
from gate.types import Break, Outcome
from gate.verdict import decide
from tests.test_report import REPLY, WHOLE

STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(st.text(st.characters(codec=None)))
def test_clean_text_holds_nothing_that_steers(text: str) -> None:
    assert not [c for c in render.clean(text) if unicodedata.category(c) in STEERING]


def test_clean_keeps_ordinary_text_and_shows_the_rest() -> None:
    assert render.clean("Käse, 日本 ✓") == "Käse, 日本 ✓"
    assert render.clean("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"


def test_a_summary_shows_the_miss_the_gap_and_the_table() -> None:
    text = render.summary(WHOLE, decide(WHOLE))
    assert "MISS t a (dev)" in text
    assert "expected  no call" in text
    assert "broke: t[b]: call: no answer" in text
    assert "0/1" in text


def test_long_lists_are_cut_and_counted() -> None:
    results = tuple(replace(WHOLE.results[0], case=f"c{n}") for n in range(render.MISSES + 3))
    breaks = tuple(Break(f"t{n}", "x") for n in range(render.MISSES + 3))
    many = replace(WHOLE, results=results, breaks=breaks)
    text = render.summary(many, decide(many))
    assert "… and 3 more misses in the report" in text
    assert text.count("MISS") == render.MISSES


def test_a_reply_without_anything_says_why() -> None:
    empty = replace(REPLY, content="", fault="empty answer")
    shown = render.summary(replace(WHOLE, results=(replace(WHOLE.results[0], replies=(empty,)),)), decide(WHOLE))
    assert "got       nothing (empty answer)" in shown


def test_the_verdict_line_names_outcome_totals_reason_and_report() -> None:
    line = render.verdict_line(decide(WHOLE), Path("runs/x/report.json"))
    assert line.startswith(f"{Outcome.INCOMPLETE}: 0/1 hits; ")
    assert line.endswith("report: runs/x/report.json")
    assert "\n" not in line
