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
from gate.report import schema
from gate.types import AskMode, Check, Report
from tests.reports import REPLY, WHOLE, as_json, made

TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    server=st.dictionaries(TEXTS, VALUES, max_size=4),
    content=TEXTS,
    calls=st.lists(st.fixed_dictionaries({"name": VALUES, "arguments": VALUES}), max_size=2),
)
def test_whatever_a_server_sends_is_read_back_as_it_was(tmp_path: Path, server: Any, content: str, calls: Any) -> None:
    """Half characters, numbers beyond 64 bits, texts that look like escapes."""
    reply = replace(REPLY, content=content, calls=calls, margin=None)
    results = (replace(WHOLE.results[0], replies=(reply, REPLY)), WHOLE.results[0])
    whole = made(replace(WHOLE, results=results), server=server)
    report.write(tmp_path / "report.json", whole)
    assert report.read(tmp_path / "report.json") == whole


def test_a_result_is_a_line(tmp_path: Path) -> None:
    report.write(tmp_path / "report.json", replace(WHOLE, results=WHOLE.results * 3))
    lines = [line.strip().lstrip("[,").strip() for line in (tmp_path / "report.json").read_text().splitlines()]
    assert sum(line.startswith('{"test": "t", "case": "a"') for line in lines) == 3


CONTRACT, RESULT = WHOLE.contracts[0], WHOLE.results[0]
NO_REPORT = [
    replace(WHOLE, contracts=(replace(CONTRACT, floor=1.5),)),
    replace(WHOLE, contracts=(replace(CONTRACT, floor=math.nan),)),
    replace(WHOLE, contracts=(replace(CONTRACT, ids=()),)),
    replace(WHOLE, contracts=(replace(CONTRACT, ids=("a", "a")),)),
    replace(WHOLE, results=(replace(RESULT, hit=1),)),  # type: ignore[arg-type]
    replace(WHOLE, results=(replace(RESULT, split="open"),)),
    replace(WHOLE, results=(replace(RESULT, stage="luck"),)),
    replace(WHOLE, results=(replace(RESULT, replies=()),)),
    replace(WHOLE, results=(replace(RESULT, expect={"calls": object()}),)),
    replace(WHOLE, results=(replace(RESULT, expect={"calls": math.inf}),)),
    replace(WHOLE, results=(replace(RESULT, replies=(replace(REPLY, calls=[{"name": "f"}]),)),)),
    replace(WHOLE, checkpoint=replace(WHOLE.checkpoint, kind="")),
    replace(WHOLE, checkpoint=replace(WHOLE.checkpoint, digest="0")),
    made(WHOLE, preflight=(Check("P01", "n", "found", "warn", "m", (), "r"),)),
    made(WHOLE, ask_mode=AskMode("verified", 0)),
    made(WHOLE, server=None),
]


@pytest.mark.parametrize("odd", NO_REPORT, ids=range(len(NO_REPORT)))
def test_what_could_not_be_read_back_is_not_written_and_leaves_the_one_before(tmp_path: Path, odd: Report) -> None:
    path = tmp_path / "report.json"
    report.write(path, WHOLE)
    with pytest.raises(ReportError, match="was not written"):
        report.write(path, odd)
    assert report.read(path) == WHOLE
    assert list(tmp_path.iterdir()) == [path]


def test_a_kind_that_another_plugin_serves_is_one(tmp_path: Path) -> None:
    other = replace(WHOLE, checkpoint=replace(WHOLE.checkpoint, kind="toy"))
    report.write(tmp_path / "report.json", other)
    assert report.read(tmp_path / "report.json") == other


def test_what_a_result_says_stands_in_no_error(tmp_path: Path) -> None:
    """It may be of a case that is held out."""
    odd = replace(RESULT, case="the-case", hit="the-answer")  # type: ignore[arg-type]
    with pytest.raises(ReportError) as caught:
        report.write(tmp_path / "report.json", replace(WHOLE, results=(odd,)))
    assert str(caught.value).endswith("$.results[0].hit: fails 'type'")


def test_the_schema_in_the_package_is_the_generated_one() -> None:
    """python -m gate.report.schema writes it."""
    assert schema.PLACE.read_text(encoding="utf-8") == schema.text()


def test_every_field_is_required_and_no_other_allowed() -> None:
    value = schema.generated()
    for part in (value, *value["$defs"].values()):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])


def test_a_report_of_the_version_before_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(as_json(WHOLE) | {"version": 1}))
    with pytest.raises(ReportError, match=r"is a report of version 1, and 2 is read here: grade again$"):
        report.read(path)


def test_a_report_reads_back_as_it_was_written(tmp_path: Path) -> None:
    report.write(tmp_path / "report.json", WHOLE)
    assert report.read(tmp_path / "report.json") == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"results": [{}]},
        {"extra": 1},
        {"contracts": [as_json(WHOLE)["contracts"][0] | {"floor": 1.5}]},
        {"contracts": [as_json(WHOLE)["contracts"][0] | {"ids": []}]},
        {"contracts": [as_json(WHOLE)["contracts"][0] | {"ids": ["a", "a"]}]},
        {"results": [as_json(WHOLE)["results"][0] | {"hit": 1}]},
        {"results": [as_json(WHOLE)["results"][0] | {"replies": []}]},
        {"results": [as_json(WHOLE)["results"][0] | {"extra": 1}]},
        {"made": as_json(WHOLE)["made"] | {"extra": 1}},
        {"made": {key: value for key, value in as_json(WHOLE)["made"].items() if key != "determinism"}},
        {"checkpoint": {}},
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(as_json(WHOLE) | change))
    with pytest.raises(ReportError, match="is not a report of version 2"):
        report.read(path)


@pytest.mark.parametrize("text", ["", "{", '{"version": NaN}', '{"version": 2, "version": 2}'])
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
