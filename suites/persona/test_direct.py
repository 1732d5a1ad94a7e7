"""Answers sound like the direct persona: an order or a decision that moves the matter on, casual, no filler."""

from pathlib import Path

import pytest

from gate.judge.style_rules import faults, load

RULES = load("direct", Path(__file__).parents[2] / "fixtures")


@pytest.mark.gate("persona/direct.jsonl", floor=1.0, rubric="direct", mean=2.0)
def test_sounds_like_the_person(model, case):
    assert model.ask(case).content == case.answer


@pytest.mark.gate("persona/direct.jsonl", floor=0.8)
def test_keeps_the_style(model, case):
    assert faults(model.ask(case).content, RULES) == []
