"""A slot's rounds: what was trained, what came of it, what was lost, how many cases had been contaminated by then."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gate.cli import slots as command
from gate.registry import contaminated, rounds, slots
from gate.registry import release as releases
from gate.registry.slots import Pointer, Slot
from gate.report import io as report
from tests.reports import WHOLE, asked, made

TEST = "suites/test_calls.py::test_calls"


def a_report(hits: str, name: str = "m", at: str = "2999-01-01T00:00:00+00:00") -> report.Report:
    """A report whose cases were hit (x) or missed (.)."""
    ids = tuple(f"c{n}" for n in range(len(hits)))
    one = replace(WHOLE.results[0], test=TEST)
    results = tuple(replace(one, case=each, hit=mark == "x") for each, mark in zip(ids, hits, strict=True))
    contract = replace(WHOLE.contracts[0], test=TEST, ids=ids)
    named = replace(WHOLE.checkpoint, name=name)
    return made(asked(contract, results=results, checkpoint=named), started=at)


def promoted(slot: Slot, hits: str, path: Path, beat: Pointer | None, **facts: object) -> Pointer:
    """A promotion as gate.registry.promote records it: the report kept in a release, its digest in the ledger."""
    folder = releases.place(slot, f"s{len(slots.history(slot))}")
    folder.mkdir(parents=True)
    report.write(folder / "report.json", a_report(hits))
    told = {"path": str(path), "digest": f"{len(hits):064x}", "release": folder.name, "hits": {TEST: [1, len(hits)]}}
    told["report"] = report.digest((folder / "report.json").read_text())
    return slots.promote(slot, told | facts, beat=beat)


def run(slot: Slot, *more: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parsers(parser.add_subparsers())
    given = parser.parse_args(["rounds", "--slot", slot.name, "--registry", str(slot.registry), *more])
    return int(given.run(given))


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    """Two rounds, the second trained on rows whose manifest lies beside it, and a case contaminated in between."""
    found = Slot("hermes", tmp_path / "registry")
    first = promoted(found, "x...", tmp_path / "one", None)
    contaminated.record(found.registry, {"a" * 16: "c1", "b" * 16: "c2"}, {"repair": "out"})
    (tmp_path / "run/data").mkdir(parents=True)
    told = {"rows": {"train": {"terminal": 30, "read": 4}}, "sha256": {"train": "f" * 64}}
    (tmp_path / "run/data/manifest.json").write_text(json.dumps(told))
    promoted(found, ".xxx", tmp_path / "run/8bit", first, training={"data/train.jsonl": "f" * 64})
    return found


def test_each_promotion_is_a_round_with_its_rows_losses_and_burned_cases(slot: Slot) -> None:
    one, two = rounds.rounds(slot)
    assert (one.training, one.lost) == ("not known", None)
    assert (two.training, two.lost, two.contaminated) == ("34 rows (ffffffff)", 1, 2)
    assert one.rates[TEST].hits == 1
    assert two.rates[TEST].hits == 3
    assert two.rates[TEST].lower == pytest.approx(0.249, abs=0.001)


def test_the_table_shows_them_with_lower_bounds(slot: Slot, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(slot) == 0
    out = capsys.readouterr().out
    assert "3/4, at least 25 %" in out
    assert "34 rows" in out


def test_a_report_that_was_not_promoted_is_the_last_round(slot: Slot, tmp_path: Path) -> None:
    last = rounds.rounds(slot, [a_report("x.xx", name="try\x1b[2J")])[-1]
    assert (last.lost, last.contaminated) == (1, 2)
    assert "\x1b" not in rounds.table([last])
    report.write(tmp_path / "report.json", a_report("xxxx"))
    assert run(slot, str(tmp_path / "report.json")) == 0


def test_a_changed_report_is_not_believed_and_the_ledger_is(slot: Slot) -> None:
    path = releases.place(slot, "s0") / "report.json"
    path.write_text(path.read_text().replace('"hit": false', '"hit": true'))
    one, two = rounds.rounds(slot)
    assert (one.rates[TEST].hits, one.report) == (1, None)
    assert two.lost is None


def test_other_rows_than_were_trained_are_not_counted(slot: Slot, tmp_path: Path) -> None:
    told = {"rows": {"train": {"terminal": 30}}, "sha256": {"train": "e" * 64}}
    (tmp_path / "run/data/manifest.json").write_text(json.dumps(told))
    assert rounds.rounds(slot)[1].training == "sha256 ffffffffffff"


def test_a_rollback_stands_between_the_rounds(slot: Slot) -> None:
    slots.rollback(slot, "it talks to itself")
    back = rounds.rounds(slot)[-1]
    assert (back.name, back.training) == ("back", "rolled back: it talks to itself")


def test_a_slot_that_is_not_there_is_bad_news(tmp_path: Path) -> None:
    assert run(Slot("nothing", tmp_path)) == 1


def test_rounds_are_drawn(slot: Slot, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run(slot, "--out", str(tmp_path / "v1.2")) == 0
    assert (tmp_path / "v1.2.svg").read_text().count("test_calls::test_calls") > 0
    assert (tmp_path / "v1.2.png").stat().st_size > 1000
