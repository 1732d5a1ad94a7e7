"""Requests for one of five household tools are answered by exactly the right call, and small talk in words."""

import pytest


@pytest.mark.gate("calls.jsonl", floor=0.7)
def test_calls(model, case):
    assert model.ask(case).calls == case.calls


@pytest.mark.gate("no_tool.jsonl", floor=0.85)
def test_talks(model, case):
    assert model.ask(case).calls == case.calls
