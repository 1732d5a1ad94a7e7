"""Check that an expectation is satisfiable: one that no answer meets would count against every checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from gate.cases import answer
from gate.cases import expected as expect
from gate.cases.matchers.matcher import UnknownError, example
from gate.cases.normalize import caseless
from gate.errors import CaseError
from gate.system.text import show
from gate.types import Case, Json

TRIES = 4
"""Ways to pick among alternatives before an expectation counts as one that nothing meets."""


def unreachable(case: Case) -> str:
    """Why the case's own expected call or JSON is a miss; empty where it is a hit, or no example of one is known."""
    try:
        return _missed_call(case) or _missed_json(case)
    except CaseError as error:
        return str(error)


def contradiction(case: Case) -> str:
    """A text that the answer must and must not contain; empty where there is none."""
    wanted = case.expect.get("answer", {})
    never = [part for each in wanted.get("not_contains", []) for part in ([each] if isinstance(each, str) else each)]
    for each in wanted.get("contains", []):
        parts = [each] if isinstance(each, str) else each
        if never and all(any(caseless(no) in caseless(part) for no in never) for part in parts):
            return f"contains {show(each)} and not_contains {show(never)}"
    return ""


def _missed_call(case: Case) -> str:
    if not case.expect.get("calls"):
        return ""
    wanted: Json = {key: case.expect[key] for key in ("calls", "order") if key in case.expect}
    return _first(expect.compare(wanted, each, case.tools) for each in _examples(wanted["calls"]))


def _missed_json(case: Case) -> str:
    wanted = case.expect.get("answer", {})
    if "json" not in wanted:
        return ""
    said = {key: wanted[key] for key in ("json", "json_schema") if key in wanted}
    return _first(list(answer.reasons(said, json.dumps(each))) for each in _examples(said["json"]))


def _first(tries: Iterable[list[str]]) -> str:
    """Why the first try is a miss, where all are; empty where one is a hit, or there is none."""
    first = ""
    for reasons in tries:
        if not reasons:
            return ""
        first = first or reasons[0]
    return first


def _examples(expected: Any) -> Iterator[Any]:
    """Values that should meet an expectation, by the first, second, … of its alternatives; none where none is known."""
    for pick in range(TRIES):
        with suppress(UnknownError):
            yield example(expected, pick)
