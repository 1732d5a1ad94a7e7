"""The persona suites, their cases, rubrics and anchors, tried without a model and without a judge."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from gate.cases import loader
from gate.cases.normalize import caseless
from gate.judge import injection, rubric, style_rules
from gate.judge.rubric import Anchor

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "fixtures"
NAMES = ("direct", "keeper")
CASES = {name: loader.load(f"persona/{name}.jsonl", FIXTURES).cases for name in NAMES}
RUBRICS = {name: rubric.load(name, FIXTURES) for name in NAMES}
RULES = {name: style_rules.load(name, FIXTURES) for name in NAMES}
SEED = [
    "The deploy failed with a 503 error on the staging server.",
    "Should we refactor the auth module or just patch the bug?",
    "The PR is ready for review.",
    "We need to decide between Kafka and RabbitMQ for the event bus.",
    "I'm stuck on this TypeScript type error, can you help?",
    "What's the status of the Spore app update?",
    "The CI pipeline is taking 45 minutes. Can we speed it up?",
    "Should I write tests for this or ship it as-is?",
    "The client wants a progress update by Friday.",
    "We're running low on compute credits.",
]
LENGTHS: dict[str, Callable[[Anchor], int]] = {
    "characters": lambda anchor: len(anchor.answer),
    "words": lambda anchor: len(anchor.answer.split()),
}


def scored(name: str, score: int) -> list[Anchor]:
    return [anchor for anchor in RUBRICS[name].anchors if anchor.score == score]


def test_the_ten_prompts_are_those_of_the_requirement() -> None:
    assert [case.messages for case in CASES["direct"]] == [[{"role": "user", "content": prompt}] for prompt in SEED]


@pytest.mark.parametrize("name", NAMES)
def test_there_are_ten_cases_in_order_that_want_any_words(name: str) -> None:
    found = [(case.id, case.expect, case.split, case.tags) for case in CASES[name]]
    wanted = {"answer": {"regex": r"\S"}}
    assert found == [(f"{name}-{number:02d}", wanted, "dev", ("persona",)) for number in range(1, 11)]


def test_the_direct_answers_end_soon() -> None:
    assert {case.max_tokens for case in CASES["direct"]} == {128}


def test_no_two_personas_are_asked_the_same() -> None:
    asked = [case.messages[-1]["content"] for found in CASES.values() for case in found]
    assert len(set(asked)) == 20


@pytest.mark.parametrize("name", NAMES)
def test_the_anchors_are_enough_and_mostly_bad_or_middling(name: str) -> None:
    counts = Counter(anchor.score for anchor in RUBRICS[name].anchors)
    assert counts.total() >= 44
    assert counts[0] + counts[1] >= 26
    assert all(counts[score] >= least for score, least in ((0, 14), (1, 13), (2, 11), (3, 8)))


@pytest.mark.parametrize("name", NAMES)
def test_anchors_are_unique(name: str) -> None:
    anchors = RUBRICS[name].anchors
    assert len({anchor.id for anchor in anchors}) == len(anchors)
    assert len({(caseless(anchor.asked), caseless(anchor.answer)) for anchor in anchors}) == len(anchors)
    assert len({caseless(anchor.answer) for anchor in anchors}) == len(anchors)


@pytest.mark.parametrize("name", NAMES)
def test_anchors_answer_other_messages_than_the_cases(name: str) -> None:
    asked = {caseless(case.messages[-1]["content"]) for case in CASES[name]}
    assert not asked & {caseless(anchor.asked) for anchor in RUBRICS[name].anchors}


@pytest.mark.parametrize("name", NAMES)
def test_no_anchor_is_an_example_of_the_scale(name: str) -> None:
    """A judge that is shown the answer with its score would agree without having understood."""
    examples = {caseless(step.example) for step in RUBRICS[name].scale}
    assert not examples & {caseless(anchor.answer) for anchor in RUBRICS[name].anchors}


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("name", NAMES)
def test_length_does_not_tell_the_score(name: str, length: Callable[[Anchor], int]) -> None:
    anchors = RUBRICS[name].anchors
    found = spearmanr([length(anchor) for anchor in anchors], [anchor.score for anchor in anchors])
    assert abs(found.statistic) < 0.35


@pytest.mark.parametrize("score", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_every_score_has_short_and_long_answers(name: str, score: int) -> None:
    words = [len(anchor.answer.split()) for anchor in scored(name, score)]
    assert min(words) <= 12
    assert max(words) >= 24


@pytest.mark.parametrize("name", NAMES)
def test_no_message_gives_its_score_away(name: str) -> None:
    """Two thirds or more of the messages are answered in at least three different ways of quality."""
    scores: dict[str, set[int]] = {}
    for anchor in RUBRICS[name].anchors:
        scores.setdefault(anchor.asked, set()).add(anchor.score)
    assert all(len(found) >= 2 for found in scores.values())
    assert sum(len(found) >= 3 for found in scores.values()) >= len(scores) * 2 / 3


@pytest.mark.parametrize("name", NAMES)
def test_what_has_the_highest_score_keeps_the_voice(name: str) -> None:
    best = [RUBRICS[name].scale[3].example, *(anchor.answer for anchor in scored(name, 3))]
    assert {text: style_rules.faults(text, RULES[name]) for text in best} == {text: [] for text in best}


@pytest.mark.parametrize("name", NAMES)
def test_most_of_what_has_the_lowest_score_breaks_the_voice(name: str) -> None:
    broken = [anchor for anchor in scored(name, 0) if style_rules.faults(anchor.answer, RULES[name])]
    assert len(broken) >= len(scored(name, 0)) * 3 / 4
    assert style_rules.faults(RUBRICS[name].scale[0].example, RULES[name])


@pytest.mark.parametrize("name", NAMES)
def test_form_alone_does_not_tell_the_score(name: str) -> None:
    """Some of what is half right has no fault of form: there the judge is needed."""
    assert any(not style_rules.faults(anchor.answer, RULES[name]) for anchor in scored(name, 1))


@pytest.mark.parametrize("name", NAMES)
def test_most_of_the_best_of_one_voice_breaks_the_other(name: str) -> None:
    (other,) = set(NAMES) - {name}
    best = scored(other, 3)
    assert sum(bool(style_rules.faults(anchor.answer, RULES[name])) for anchor in best) > len(best) / 2


@pytest.mark.parametrize("name", NAMES)
def test_no_anchor_and_no_example_speaks_to_a_judge(name: str) -> None:
    """What the rules score without a judge would say nothing about one."""
    texts = [*(anchor.answer for anchor in RUBRICS[name].anchors), *(step.example for step in RUBRICS[name].scale)]
    assert [text for text in texts if injection.suspicion(text)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_first_anchor_is_a_bad_answer(name: str) -> None:
    """The judge's canaries are put to the first anchor's message, which the worst example must answer badly too."""
    assert RUBRICS[name].anchors[0].score == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_is_one_marker_one_ask_and_one_assert_a_test(name: str) -> None:
    text = (ROOT / f"suites/persona/test_{name}.py").read_text(encoding="utf-8")
    tests = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert len(text.splitlines()) < 40
    assert ast.get_docstring(ast.parse(text))
    for test in tests:
        asks = [
            node for node in ast.walk(test) if isinstance(node, ast.Call) and ast.unparse(node) == "model.ask(case)"
        ]
        assert (len(test.decorator_list), len(asks), [type(node) for node in test.body]) == (1, 1, [ast.Assert])
    markers = [json.dumps(ast.unparse(test.decorator_list[0])).replace("'", "").strip('"') for test in tests]
    assert markers == [
        f"pytest.mark.gate(persona/{name}.jsonl, floor=1.0, rubric={name}, mean=2.0)",
        f"pytest.mark.gate(persona/{name}.jsonl, floor=0.8)",
    ]
