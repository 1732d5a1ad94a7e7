"""Casual, terse and misspelt requests go to the same tool as careful ones, and small talk to none."""

import pytest


@pytest.mark.gate("hermes/colloquial_calls.jsonl", floor=1.0)
def test_routes_casual_requests(model, case):
    assert model.ask(case).calls == case.calls


@pytest.mark.gate("hermes/colloquial_words.jsonl", floor=1.0)
def test_answers_casual_talk_in_words(model, case):
    reply = model.ask(case)
    assert reply.calls == case.calls
    assert reply.content == case.answer
