"""Reports side by side: hits, flips against the first, and what is demanded of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gate.cli.main import main
from gate.report.io import write
from gate.types import Report
from tests.reports import WHOLE

TEST = WHOLE.contracts[0].test


def a_report(folder: Path, name: str, hits: str, *, split: str = "dev") -> str:
    """A report whose cases were hit (x) or missed (.)."""
    ids = tuple(f"c{n}" for n in range(len(hits)))
    results = tuple(
        replace(WHOLE.results[0], case=c, hit=mark == "x", split=split) for c, mark in zip(ids, hits, strict=True)
    )
    contracts = (replace(WHOLE.contracts[0], ids=ids),)
    checkpoint = replace(WHOLE.checkpoint, name=name)
    report: Report = replace(WHOLE, contracts=contracts, results=results, checkpoint=checkpoint, breaks=(), skips=())
    (folder / name).mkdir()
    write(folder / name / "report.json", report)
    return str(folder / name)


def test_hits_and_flips_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [a_report(tmp_path, "base", "..xx"), a_report(tmp_path, "tuned", "xxx.")]
    assert main(["compare", *found]) == 0
    out = capsys.readouterr().out
    assert "2/4, at least 10 %" in out
    assert "3/4, at least 25 % (+2 -1, p 0.5)" in out


@pytest.mark.parametrize(("tuned", "status"), [("x" * 10, 0), ("x" * 6 + "." * 4, 1)])
def test_better_means_mcnemar(tmp_path: Path, tuned: str, status: int) -> None:
    """Ten won of ten: 2**-10; six of six: 2**-6 = 0.016."""
    found = [a_report(tmp_path, "base", "." * 10), a_report(tmp_path, "tuned", tuned)]
    assert main(["compare", *found, "--better", TEST]) == status


def test_kept_means_that_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [a_report(tmp_path, "base", "xx."), a_report(tmp_path, "tuned", "x.x")]
    assert main(["compare", *found, "--kept", TEST]) == 1
    assert "lost 1 cases" in capsys.readouterr().out


def test_a_split_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [a_report(tmp_path, "base", "xx", split="held-out"), a_report(tmp_path, "tuned", "x.", split="held-out")]
    assert main(["compare", *found, "--split", "dev"]) == 0
    assert "0/0" in capsys.readouterr().out


def test_an_unknown_test_is_bad_input(tmp_path: Path) -> None:
    found = [a_report(tmp_path, "base", "x"), a_report(tmp_path, "tuned", "x")]
    assert main(["compare", *found, "--better", "nothing"]) == 4


def test_what_was_not_asked_is_neither_better_nor_kept(tmp_path: Path) -> None:
    """Held-out results of a run that was cut are withheld: no loss is then no proof."""
    found = [a_report(tmp_path, "base", "xx", split="held-out"), a_report(tmp_path, "tuned", "xx")]
    assert main(["compare", *found, "--split", "held-out", "--kept", TEST]) == 1
