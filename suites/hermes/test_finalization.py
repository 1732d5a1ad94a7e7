"""After a tool's result, the answer states what the result says and calls no tool."""

import pytest


@pytest.mark.gate("hermes/finalization.jsonl", floor=1.0)
def test_answers_from_the_result(model, case):
    reply = model.ask(case)
    assert reply.calls == case.calls
    assert reply.content == case.answer
