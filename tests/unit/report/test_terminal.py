"""What a person reads; and nothing that a model writes can steer the terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gate.grading.verdict import decide
from gate.report import io as reports
from gate.report import terminal
from gate.report.shown import shown
from gate.types import Attribution, Break, Determinism, Outcome, Report
from tests.reports import REPLY, WHOLE, made


def summary(report: Report) -> str:
    return terminal.summary(shown(report, decide(report)))


def test_a_summary_shows_the_miss_the_gap_and_the_table() -> None:
    text = summary(WHOLE)
    assert "MISS t a (dev)" in text
    assert "expected  no call" in text
    assert "broke: t[b]: call: no answer" in text
    assert "0/1" in text


def test_long_lists_are_cut_and_counted() -> None:
    results = tuple(replace(WHOLE.results[0], case=f"c{n}") for n in range(terminal.MISSES + 3))
    breaks = tuple(Break(f"t{n}", "x") for n in range(terminal.MISSES + 3))
    many = replace(WHOLE, results=results, breaks=breaks)
    text = summary(many)
    assert "… and 3 more misses in the report" in text
    assert text.count("MISS") == terminal.MISSES


def test_a_reply_without_anything_says_why() -> None:
    empty = replace(REPLY, content="", fault="empty answer")
    text = summary(replace(WHOLE, results=(replace(WHOLE.results[0], replies=(empty,)),)))
    assert "got       nothing (empty answer)" in text


def test_the_verdict_line_names_outcome_totals_reason_and_report() -> None:
    line = terminal.verdict_line(decide(WHOLE), Path("runs/x/report.json"))
    assert line.startswith(f"{Outcome.INCOMPLETE}: 0/1 hits; ")
    assert line.endswith("report: runs/x/report.json")
    assert "\n" not in line


FOUND = Determinism(True, 1.0, sequential=True, batched=True)


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (FOUND, ["determinism: sequential equal, batched equal, cold/warm not possible"]),
        (
            replace(FOUND, equal=False, batched=False, differences=("batched: 'a' for 'b'",)),
            [
                "determinism: sequential equal, batched DIFFERENT, cold/warm not possible",
                "  batched: 'a' for 'b'",
            ],
        ),
        (Determinism(None, 0.1, why="not possible: HTTP 503"), ["determinism: not possible: HTTP 503"]),
    ],
)
def test_the_determinism_probe_is_one_line_and_what_differed(
    tmp_path: Path, found: Determinism, lines: list[str]
) -> None:
    reports.write(tmp_path / "report.json", made(WHOLE, determinism=found))
    text = summary(reports.read(tmp_path / "report.json")).splitlines()
    start = text.index(lines[0])
    assert text[start : start + len(lines)] == lines


def test_a_report_without_attribution_and_determinism_says_nothing_of_them() -> None:
    text = summary(WHOLE)
    assert "attribution" not in text
    assert "determinism" not in text


def test_stages_stand_beside_the_misses_and_are_counted(tmp_path: Path) -> None:
    told = replace(WHOLE.results[0], stage="parser", raw=True)
    whole = made(replace(WHOLE, results=(told, WHOLE.results[0])), attribution=Attribution("misses", 0.5, {"no": 1}))
    reports.write(tmp_path / "report.json", whole)
    text = summary(reports.read(tmp_path / "report.json"))
    assert "MISS t a (dev), stage parser\n" in text
    assert "MISS t a (dev)\n" in text
    assert "attribution: parser 1, not told 1\n  not told 1 times: no" in text
