"""Once a tool's result is there, the answer tells what it says and calls nothing more."""

import pytest


@pytest.mark.gate("hermes/finalization.jsonl", floor=1.0)
def test_answers_from_the_result(model, case):
    reply = model.ask(case)
    assert reply.calls == case.calls
    assert reply.content == case.answer
