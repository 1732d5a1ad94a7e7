"""Reports survive the way to disk and back, and anything that is none is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate import stats
from gate.errors import ReportError
from gate.report import io as report
from gate.system.jsonl import plain
from gate.types import Break, Contract, Outcome, Reply, Report, Result

REPLY = Reply(
    "hi \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "",
    [],
    [],
    "stop",
    "",
    {},
    0.1,
    200,
    0.5,
    "{}",
)
WHOLE = Report(
    version=report.VERSION,
    checkpoint={"kind": "mlx", "name": "m", "where": "/m", "digest": "0" * 64, "verified": True, "bytes": 1},
    made={
        "gate": "0.1.0",
        "python": "3.11",
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5,
        "command": ["pytest"],
        "runtime": "mlx_lm",
        "server": {},
        "sampling": {"seed": 0},
        "hardware": {},
        "versions": {},
    },
    contracts=(Contract("t", "c.jsonl", "1" * 64, ("a", "b"), 0.5),),
    results=(Result("t", "a", "dev", False, False, ("wrong",), "?", {"calls": []}, (REPLY,)),),
    breaks=(Break("t[b]", "call: no answer"),),
    skips=(),
)


TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def as_json_writes(value: Report) -> bytes:
    text = json.dumps(plain(value), ensure_ascii=False, indent=1)
    return (report.SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n").encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(made=st.dictionaries(TEXTS, VALUES, max_size=4), content=TEXTS, calls=st.lists(VALUES, max_size=2))
def test_a_report_is_written_as_json_would_be_with_an_indent_of_one(
    tmp_path: Path, made: Any, content: str, calls: Any
) -> None:
    reply = replace(REPLY, content=content, calls=calls, margin=None)
    whole = replace(WHOLE, made=made, results=(replace(WHOLE.results[0], replies=(reply, REPLY)), WHOLE.results[0]))
    report.write(tmp_path / "report.json", whole)
    assert (tmp_path / "report.json").read_bytes() == as_json_writes(whole)


@pytest.mark.parametrize(
    "made",
    [
        {1: {True: 2, None: 3, 1.5: 4}},
        {"a": Outcome.PASS, Outcome.PASS: ()},
        {"a": (1, (2,))},
        {"a": [math.inf, -math.inf]},
    ],
)
def test_values_that_json_turns_into_others_are_turned_alike(tmp_path: Path, made: Any) -> None:
    whole = replace(WHOLE, made=made, contracts=(), results=(), breaks=())
    report.write(tmp_path / "report.json", whole)
    assert (tmp_path / "report.json").read_bytes() == as_json_writes(whole)


def test_a_report_that_cannot_be_written_to_its_end_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report.write(path, WHOLE)
    odd = replace(WHOLE.results[0], expect={"calls": object()})
    with pytest.raises(TypeError):
        report.write(path, replace(WHOLE, results=(*WHOLE.results, odd)))
    assert report.read(path) == WHOLE
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    report.write(tmp_path / "report.json", WHOLE)
    assert report.read(tmp_path / "report.json") == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"results": [{}]},
        {"extra": 1},
        {"contracts": [plain(WHOLE.contracts[0]) | {"floor": 1.5}]},
        {"contracts": [plain(WHOLE.contracts[0]) | {"ids": []}]},
        {"contracts": [plain(WHOLE.contracts[0]) | {"ids": ["a", "a"]}]},
        {"results": [plain(WHOLE.results[0]) | {"hit": 1}]},
        {"results": [plain(WHOLE.results[0]) | {"replies": []}]},
        {"checkpoint": {}},
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(plain(WHOLE) | change))
    with pytest.raises(ReportError, match="is no report of version 1"):
        report.read(path)


@pytest.mark.parametrize("text", ["", "{", '{"version": NaN}', '{"version": 1, "version": 1}'])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ReportError, match="cannot be read as a report"):
        report.read(path)
    with pytest.raises(ReportError):
        report.read(tmp_path / "gone.json")


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="could not be written"):
        report.write(tmp_path / "gone/report.json", WHOLE)


def test_a_results_seconds_and_margin_are_those_of_its_replies() -> None:
    assert (WHOLE.results[0].seconds, WHOLE.results[0].margin, WHOLE.results[0].leaked) == (0.1, 0.5, False)
    assert stats.quantile([WHOLE.results[0].seconds], 0.95) == 0.1


def test_half_a_character_from_a_server_is_kept(tmp_path: Path) -> None:
    half = replace(WHOLE.results[0], replies=(replace(REPLY, content="a\ud83d b"),))
    report.write(tmp_path / "report.json", replace(WHOLE, results=(half,)))
    assert report.read(tmp_path / "report.json").results[0].replies[0].content == "a\ud83d b"
