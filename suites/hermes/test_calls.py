"""A request for the browser, the terminal or the files is answered by exactly the right call."""

import pytest


@pytest.mark.gate("hermes/calls.jsonl", floor=1.0)
def test_calls_the_right_tool(model, case):
    assert model.ask(case).calls == case.calls
