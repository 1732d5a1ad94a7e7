"""Answers sound like a museum keeper: whole, calm sentences about a thing that can be seen, and never an order."""

from pathlib import Path

import pytest

from gate.judge.style_rules import faults, load

RULES = load("keeper", Path(__file__).parents[2] / "fixtures")


@pytest.mark.gate("persona/keeper.jsonl", floor=1.0, rubric="keeper", mean=2.0)
def test_sounds_like_the_person(model, case):
    assert model.ask(case).content == case.answer


@pytest.mark.gate("persona/keeper.jsonl", floor=0.8)
def test_keeps_the_style(model, case):
    assert faults(model.ask(case).content, RULES) == []
