"""The labels of a confusion matrix: one word for what a case expects, and one for what the model answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from gate.cases import answer
from gate.system.text import one_line
from gate.types import HELD_OUT, Json, Reply, Result

NO_CALL = "(no call)"
NO_JSON = "(no JSON)"
AS_TEXT = "(call as text)"
NO_ANSWER = "(no answer)"
OTHER = "(other)"
"""Everything that no case of the test wants."""


def expected_label(expect: Json) -> str:
    """The names of the calls that a case wants, or the first value of the JSON it wants; empty where it wants neither.

    Calls of several names are joined in the order of the alphabet. A value that is a matcher is not a label.
    """
    if "calls" in expect:
        return _names(call["name"] for call in expect["calls"])
    json = expect.get("answer", {}).get("json")
    return _label(json) if isinstance(json, dict) else ""


def reply_label(expect: Json, reply: Reply) -> str:
    """What an answer to such a case is."""
    if "calls" in expect:
        return AS_TEXT if reply.leaks and not reply.calls else _names(call["name"] for call in reply.calls)
    try:
        return _label(answer.value(reply.content)) or OTHER
    except ValueError:
        return NO_JSON if reply.content.strip() else NO_ANSWER


def confusion(results: Iterable[Result]) -> dict[str, dict[str, dict[str, int]]]:
    """Test by test: how often which answer came where which was wanted; tests without labels are left out.

    So is the one held-out case of a label: beside the dev cases, which are shown, its answer could be read off.
    """
    told: dict[str, dict[str, dict[str, int]]] = {}
    known = [(result, expected_label(result.expect)) for result in results]
    held = Counter((result.test, label, result.split) for result, label in known)
    for result, label in known:
        if label and not (result.split == HELD_OUT and held[result.test, label, result.split] == 1):
            row = told.setdefault(result.test, {}).setdefault(label, {})
            got = reply_label(result.expect, result.replies[-1])
            row[got] = row.get(got, 0) + 1
    return {test: _known(rows) for test, rows in told.items()}


def _known(rows: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The rows with what no case wants summed up: a model can call tools by any name."""
    kept = {*rows, NO_CALL, NO_JSON, AS_TEXT, NO_ANSWER}
    summed: dict[str, dict[str, int]] = {label: {} for label in rows}
    for label, row in rows.items():
        for got, count in row.items():
            name = got if got in kept else OTHER
            summed[label][name] = summed[label].get(name, 0) + count
    return summed


def _names(names: Iterable[Any]) -> str:
    return " + ".join(sorted({one_line(str(name), 60) for name in names})) or NO_CALL


def _label(value: Any) -> str:
    """The first value of an object, where it is a text."""
    first = next(iter(value.values()), None) if isinstance(value, dict) else None
    return one_line(first, 60) if isinstance(first, str) and first else ""
