"""A text that is worth keeping is saved, and logs, chatter and duplicates are skipped, by one JSON object."""

import pytest


@pytest.mark.gate("memory/memorise.jsonl", floor=0.9, floors={"SAVE": 0.9, "SKIP": 0.9}, positive="SAVE")
def test_keeps_what_is_worth_it(model, case):
    assert model.ask(case).content == case.answer
