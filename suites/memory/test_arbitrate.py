"""A new fact updates or deletes the stored memory that it contradicts, and a paraphrased duplicate changes none."""

import pytest


@pytest.mark.gate("memory/arbitrate.jsonl", floor=0.8, floors={"NONE-duplicate": 0.8})
def test_changes_the_right_memory(model, case):
    assert model.ask(case).content == case.answer
