"""From a test's outcome to its case's result: a failed assertion is a miss, and any other exception a break."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gate.cases import expected
from gate.models.client import Model
from gate.plugin import attribution, heldout
from gate.plugin.items import case_of, gated, state_of, test_of
from gate.plugin.state import FIELD, Asking, Scored, carry
from gate.types import HELD_OUT, Break, Case, Reply, Result

SHORT = 300
"""Characters of a message or a reason that a report keeps beside the full replies."""
EXPECTED = (expected.ExpectedCalls, expected.ExpectedAnswer)


def score(asking: Asking, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Let the report of a gated test carry its result, and hide in it what is held out."""
    if not gated(item):
        return
    if call.when == "call":
        _clear_status(item, report)
        _grade(asking, item, call, report)
    if case_of(item).split == HELD_OUT and (broke := heldout.hide(report)):
        carry(report, broke=Break(test_of(item), broke))


def explain(asking: Asking, left: object, right: object) -> list[str] | None:
    """Why an answer is not what its case expects, for pytest and for the result; None for another comparison."""
    wanted, got = (left, right) if isinstance(left, EXPECTED) else (right, left)
    if not isinstance(wanted, EXPECTED):
        return None
    asking.reasons = wanted.reasons(got)
    return ["the answer is not what the case expects:", *asking.reasons]


def _grade(asking: Asking, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """A skip stays a skip, and a break a failure; anything else has passed for pytest, and is a hit or a miss."""
    if report.skipped or hasattr(report, "wasxfail") or (report.failed and call.excinfo is None):
        return
    if call.excinfo is not None and not call.excinfo.errisinstance(AssertionError):
        return
    model = item.funcargs["model"]  # type: ignore[attr-defined]
    if not isinstance(model, Model):
        report.outcome, report.longrepr = "failed", "another fixture stands in for `model`: nothing was asked"
        return
    if model.broken or not model.replies:
        nothing = "the test asked the model nothing: it must call model.ask(case)"
        report.outcome, report.longrepr = "failed", "; ".join(model.broken) or nothing
        return
    assert_failed = call.excinfo is not None
    reasons = asking.reasons or _lines(call) if assert_failed else []
    result = _result(item, tuple(model.replies), reasons, assert_failed=assert_failed)
    state_of(item, asking.contracts).result = result
    report.outcome, report.longrepr = "passed", None
    question = model.questions[-1] if attribution.is_due(asking.config, result) else None
    carry(report, scored=Scored(result, question))
    status = HELD_OUT if result.split == HELD_OUT else "hit" if result.hit else "miss"
    for each in (item, report):
        each.user_properties.append((FIELD, status))


def _clear_status(item: pytest.Item, report: pytest.TestReport) -> None:
    """A test that runs again has no status of before, nor one of its own making."""
    for each in (item, report):
        each.user_properties[:] = [pair for pair in each.user_properties if pair[0] != FIELD]


def _result(item: pytest.Item, replies: tuple[Reply, ...], reasons: list[str], *, assert_failed: bool) -> Result:
    case = case_of(item)
    why = [reply.fault for reply in replies if reply.fault]
    why += [f"a call arrived as text: {_short(json.dumps(leak))}" for reply in replies for leak in reply.leaks]
    why += reasons
    hit = not why and not assert_failed
    return Result(
        test=test_of(item),
        case=case.id,
        split=case.split,
        hit=hit,
        parsed=_parsed(case, replies, hit=hit),
        why=tuple(_short(line) for line in why),
        asked=_short(next((m["content"] or "" for m in reversed(case.messages) if m["role"] == "user"), "")),
        expect=case.expect,
        replies=replies,
    )


def _parsed(case: Case, replies: tuple[Reply, ...], *, hit: bool) -> bool:
    """Would the case be a hit if the calls written as text counted as calls?"""
    if hit or not case.expect.get("calls") or len(replies) != 1 or not replies[0].leaks or replies[0].fault:
        return hit
    return not expected.compare(case.expect, replies[0].calls + replies[0].leaks, case.tools)


def _lines(call: pytest.CallInfo[None]) -> list[str]:
    text = str(call.excinfo.value) if call.excinfo else ""
    lines = [line.strip() for line in text.splitlines()[:8] if line.strip() and "Use -v to get" not in line]
    return lines or ["the assertion failed"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
