"""Unseen functions are called as the Berkeley Function Calling Leaderboard expects, and none is called if none fits."""

import pytest


@pytest.mark.gate("functions/bfcl.jsonl", floor=0.5)
def test_calls_unseen_functions(model, case):
    assert model.ask(case).calls == case.calls
