"""Time to the first token is measured on streamed answers; seconds are compared warm, and only on the same machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gate.checkpoints.checkpoint import identify
from gate.errors import AskError
from gate.grading import latency
from gate.grading.verdict import decide
from gate.models import streaming
from gate.models.client import Client, _streamed
from gate.models.serving.start import served
from gate.types import AskMode, Case, Contract, Json, Made, Outcome, Reply, Report, Result
from tests import rubrics
from tests.reports import HARDWARE, MADE, asked

REPLY = Reply("x", "", [], [], "stop", "", {}, 1.0, 200, None, "")
CASE = Case("a", [{"role": "user", "content": "hello"}], [], {"calls": []}, "dev", (), "", 8, "", None, None)
HERE = replace(MADE, ask_mode=AskMode("verified", 1))


def results(*seconds: float, cold: int = 0) -> list[Result]:
    return [
        Result("t", f"c{n}", "dev", True, True, (), "", {}, (replace(REPLY, seconds=each),), cold=n < cold)
        for n, each in enumerate(seconds)
    ]


def report(seconds: list[Result], made: Made = HERE, **demands: float) -> Report:
    contract = Contract("t", "t.jsonl", "0" * 64, tuple(each.case for each in seconds), 1.0, **demands)  # type: ignore[arg-type]
    return asked(contract, results=tuple(seconds), made=made)


def test_a_streamed_answer_has_a_first_token_and_a_rate(tmp_path: Path) -> None:
    script = rubrics.script(tmp_path / "s.jsonl", [{"content": "Hi.", "seconds": 0.2}])
    with served(identify(f"scripted:{script}"), lambda _text: None, context=512) as server:
        measured = streaming.probe(server, [CASE] * 4, timeout=30)
    assert measured.asked == 3
    assert 0.2 <= measured.first_token < 5
    assert measured.tokens_per_second is None, "the script says one token"


def test_events_are_read_as_servers_send_them() -> None:
    lines = [
        'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}',
        ": keep-alive",
        'data: {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}',
        'data: {"choices": [{"delta": {"content": "b"}}]}',
        'data: {"choices": [], "usage": {"completion_tokens": 3}}',
        "data: [DONE]",
        "data: {broken",
    ]
    streamed = _streamed(iter(lines), 0.0, float("inf"))
    assert streamed.first is not None
    assert streamed.rate is not None
    assert streamed.rate > 0
    whole = [*lines[:3], 'data: {"choices": [], "usage": {"completion_tokens": 30}}']
    assert _streamed(iter(whole), 0.0, float("inf")).rate is None, "a call that was sent whole has no rate"
    assert _streamed(iter(lines[:2]), 0.0, float("inf")).first is None
    with pytest.raises(AskError, match="in time"):
        _streamed(iter(lines), 0.0, 0.0)


@pytest.mark.parametrize("rule", [{"status": 500, "body": "no"}, {"close": True}, {"body": "no events"}])
def test_a_server_that_does_not_stream_breaks_nothing(tmp_path: Path, rule: Json) -> None:
    script = rubrics.script(tmp_path / "s.jsonl", [rule])
    with served(identify(f"scripted:{script}"), lambda _text: None, context=512) as server:
        measured = streaming.probe(server, [CASE] * 2, timeout=30)
    assert measured.why
    assert streaming.probe(server, [], timeout=30).why.startswith("no case")


def test_seconds_are_those_of_the_warm_requests() -> None:
    verdict = decide(report(results(9.0, 9.0, 1.0, 1.0, 1.0, cold=2)))
    assert (verdict.findings[0].median, verdict.findings[0].p95) == (1.0, 1.0)
    assert latency.warm(results(9.0, 8.0, cold=2)) == [9.0, 8.0]


@pytest.mark.parametrize(("seconds", "outcome"), [(1.2, Outcome.PASS), (1.21, Outcome.REGRESSED)])
def test_a_ratio_to_the_champion_is_kept(seconds: float, outcome: Outcome) -> None:
    champion = report(results(*[1.0] * 5), slower=1.2)
    assert decide(report(results(*[seconds] * 5), slower=1.2), champion).outcome is outcome


@pytest.mark.parametrize(
    "made",
    [
        replace(HERE, hardware=replace(HARDWARE, id="two")),
        replace(HERE, ask_mode=AskMode("verified", 4)),
        replace(HERE, ask_mode=None),
    ],
)
def test_a_ratio_needs_the_same_machine_and_load(made: Made) -> None:
    champion = report(results(*[1.0] * 5), made, slower=1.2)
    verdict = decide(report(results(*[1.0] * 5), slower=1.2), champion)
    assert verdict.outcome is Outcome.INCOMPLETE
    assert "another machine" in verdict.gaps[0]
    assert decide(report(results(*[9.0] * 5)), report(results(*[1.0] * 5), made)).outcome is Outcome.PASS


def test_a_ratio_does_not_use_the_seconds_of_cached_replies() -> None:
    old = results(*[1.0] * 5)
    old[0] = replace(old[0], replies=(replace(old[0].replies[0], cached=True),))
    verdict = decide(report(results(*[1.0] * 5), slower=1.2), report(old))
    assert verdict.outcome is Outcome.INCOMPLETE
    assert "--gate-fresh" in verdict.gaps[0]


def test_without_a_champion_a_ratio_demands_nothing() -> None:
    assert decide(report(results(*[9.0] * 5), slower=1.2)).outcome is Outcome.PASS


@pytest.mark.parametrize(("within", "outcome"), [(1.0, Outcome.PASS), (0.99, Outcome.BELOW_FLOOR)])
def test_an_absolute_time_counts_where_it_is_asked_for(within: float, outcome: Outcome) -> None:
    assert decide(report(results(*[1.0] * 5), within=within)).outcome is outcome


def test_a_client_says_what_a_streamed_answer_was_refused_with(tmp_path: Path) -> None:
    script = rubrics.script(tmp_path / "s.jsonl", [{"status": 400, "body": "no"}])
    with (
        served(identify(f"scripted:{script}"), lambda _text: None, context=512) as server,
        Client(server, timeout=9) as client,
        pytest.raises(AskError, match="HTTP 400"),
    ):
        client.stream(CASE.messages, tools=[], max_tokens=8)
