"""What was wanted and what came, as a matrix: calls by name, JSON by its first value, everything else apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gate.cases import labels
from gate.grading.verdict import decide
from gate.report import confusion
from gate.report.shown import Shown, shown
from gate.types import Contract, Json, Reply, Result
from tests.reports import asked, made

REPLY = Reply("", "", [], [], "stop", "", {}, 0.1, 200, None, "")
SAVE: Json = {"answer": {"json": {"decision": "SAVE"}}}


def calls(*names: str) -> Json:
    return {"calls": [{"name": name, "arguments": {}} for name in names]}


@pytest.mark.parametrize(
    ("expect", "label"),
    [
        (calls("a"), "a"),
        (calls("b", "a", "b"), "a + b"),
        (calls(), "(no call)"),
        (SAVE, "SAVE"),
        ({"answer": {"json": {"action": "UPDATE", "target": 2}}}, "UPDATE"),
        ({"answer": {"json": {"action": {"$any": ["UPDATE", "NONE"]}}}}, ""),
        ({"answer": {"json": [1]}}, ""),
        ({"answer": {"contains": ["x"]}}, ""),
    ],
)
def test_a_case_wants_a_label(expect: Json, label: str) -> None:
    assert labels.expected_label(expect) == label


@pytest.mark.parametrize(
    ("expect", "reply", "label"),
    [
        (calls("a"), {"calls": [{"name": "b", "arguments": {}}]}, "b"),
        (calls("a"), {"content": "words"}, "(no call)"),
        (calls("a"), {"content": "a()", "leaks": [{"name": "a", "arguments": {}}]}, "(call as text)"),
        (SAVE, {"content": '{"decision": "SKIP"}'}, "SKIP"),
        (SAVE, {"content": '<think>so</think>{"decision": "SKIP"}'}, "SKIP"),
        (SAVE, {"content": '```json\n{"decision": "SAVE"}\n```'}, "(no JSON)"),
        (SAVE, {"content": "SAVE"}, "(no JSON)"),
        (SAVE, {"content": ""}, "(no answer)"),
        (SAVE, {"content": '{"decision": 1}'}, "(other)"),
        (SAVE, {"content": "[" * 100_000}, "(no JSON)"),
        (calls("a"), {"calls": [{"name": "\x1b[2J", "arguments": {}}]}, "\\x1b[2J"),
    ],
)
def test_an_answer_is_a_label(expect: Json, reply: Json, label: str) -> None:
    assert labels.reply_label(expect, replace(REPLY, **reply)) == label


def result(number: int, wanted: str, said: str) -> Result:
    reply = replace(REPLY, content=said)
    expect = {"answer": {"json": {"decision": wanted}}}
    return Result("t", f"c{number}", "dev", wanted in said, False, (), "", expect, (reply,))


def test_what_no_case_wants_is_summed_up() -> None:
    said = ['{"decision": "SAVE"}', '{"decision": "KEEP"}', '{"decision": "DROP"}', "no", '{"decision": "SKIP"}']
    rows = [result(n, "SAVE", text) for n, text in enumerate(said)] + [result(9, "SKIP", said[0])]
    found = labels.confusion(rows)
    assert found == {"t": {"SAVE": {"SAVE": 1, "(other)": 2, "(no JSON)": 1, "SKIP": 1}, "SKIP": {"SAVE": 1}}}


def report(rows: dict[str, dict[str, int]], **more: Any) -> Shown:
    contract = Contract("t", "t.jsonl", "0" * 64, ("c",), 1.0, **more)
    whole = made(asked(contract), confusion={"t": rows})
    return shown(whole, decide(whole))


def test_false_positives_and_negatives_are_rates_of_their_own_cases() -> None:
    rows = {"SAVE": {"SAVE": 45, "SKIP": 12, "(no JSON)": 3}, "SKIP": {"SKIP": 58, "SAVE": 2}}
    text = confusion.summary(report(rows, positive="SAVE"))
    assert "false positives 2/60 (3.3 %, at most 10.1 %)" in text
    assert "false negatives 12/57 (21.1 %, at most 31.9 %)" in text
    assert "3 answers were no JSON" in text


def test_a_clean_matrix_is_not_shown() -> None:
    assert confusion.summary(report({"a": {"a": 5}, "b": {"b": 2}})) == ""


def test_a_matrix_shows_at_most_twelve_columns() -> None:
    rows = {f"tool{n}": {f"tool{n}": 1, f"tool{(n + 1) % 20}": 1} for n in range(20)}
    head = confusion.summary(report(rows)).splitlines()[1]
    assert head.count("tool") == 12
    assert "(others)" in head


def test_the_one_held_out_case_of_a_label_is_not_told() -> None:
    one, two = result(0, "SAVE", '{"decision": "SAVE"}'), result(1, "SKIP", '{"decision": "SAVE"}')
    alone = [one, replace(one, split="held-out"), replace(two, split="held-out"), replace(two, split="held-out")]
    assert labels.confusion(alone) == {"t": {"SAVE": {"SAVE": 1}, "SKIP": {"SAVE": 2}}}
