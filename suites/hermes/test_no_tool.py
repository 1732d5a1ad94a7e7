"""A request that mentions a tool, a command or a file but asks for an explanation is answered in words."""

import pytest


@pytest.mark.gate("hermes/no_tool.jsonl", floor=1.0)
def test_answers_in_words(model, case):
    reply = model.ask(case)
    assert reply.calls == case.calls
    assert reply.content == case.answer
