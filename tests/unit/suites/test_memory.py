"""The memory suites and the prompts that a student learns them from: balanced, reachable, apart from each other."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import pytest
import regex

from gate.cases import loader
from gate.cases.normalize import words
from gate.cases.similarity import shingles
from gate.system import jsonl
from gate.types import Case, Json
from trainers.prepare.distill import agrees

ROOT = Path(__file__).parents[3]
NAMES = ("memorise", "arbitrate")
SUITES = sorted(ROOT.glob("suites/memory/test_*.py"))
PROMPTS = ROOT / "trainers/memory/prompts.jsonl"
ALIKE = 0.5
"""From here on a training prompt is too near to a case; preflight refuses from 0.7 on."""
MEMORISE = {
    ("SAVE", "fact"): 15,
    ("SAVE", "lesson"): 15,
    ("SAVE", "correction"): 15,
    ("SAVE", "preference"): 15,
    ("SKIP", "commit-log"): 20,
    ("SKIP", "chatter"): 20,
    ("SKIP", "duplicate"): 20,
}
ARBITRATE = {
    ("NONE", "NONE-duplicate"): 6,
    ("NONE", "NONE-unrelated"): 4,
    ("UPDATE", "UPDATE-value"): 7,
    ("UPDATE", "UPDATE-relational"): 4,
    ("DELETE", "DELETE-retraction"): 5,
    ("UPDATE", "MIXED"): 2,
    ("DELETE", "MIXED"): 2,
}
TRAINED = {
    "SAVE-fact": 18,
    "SAVE-lesson": 17,
    "SAVE-correction": 18,
    "SAVE-preference": 17,
    "SKIP-commit-log": 24,
    "SKIP-chatter": 23,
    "SKIP-duplicate": 23,
    "NONE-duplicate": 12,
    "NONE-unrelated": 8,
    "UPDATE-value": 14,
    "UPDATE-relational": 8,
    "DELETE-retraction": 10,
    "MIXED": 8,
}
CHINESE = regex.compile(r"\p{Han}")
LATIN = regex.compile(r"\p{Latin}{2,}")


@cache
def load(name: str) -> tuple[Case, ...]:
    return loader.load(f"memory/{name}.jsonl", ROOT / "fixtures").cases


@cache
def prompts() -> list[Json]:
    return [row for _, row in jsonl.read(PROMPTS)]


def said(messages: list[Json]) -> str:
    return str(messages[-1]["content"])


def texts(*names: str) -> list[str]:
    return [said(case.messages) for name in names for case in load(name)]


def wanted(case: Case) -> Json:
    value: Json = case.expect["answer"]["json"]
    return value


def new(text: str) -> str:
    """What is new of a text: all of it, where it quotes nothing that is stored."""
    return text.rpartition("New: ")[2]


def stored(text: str) -> list[str]:
    """The numbered memories of an arbitrate text."""
    return regex.findall(r"^\d+\. (.+)$", text, regex.MULTILINE)


def wrong(right: Json) -> list[Json]:
    """Every other answer of the right form, and some of a wrong one."""
    if "decision" in right:
        other = {"SAVE": "SKIP", "SKIP": "SAVE"}[right["decision"]]
        return [{"decision": other}, {"decision": right["decision"].lower()}, {**right, "why": "it lasts"}, {}]
    every = [{"action": "NONE", "target": None}]
    every += [{"action": action, "target": n} for action, n in product(("UPDATE", "DELETE"), range(1, 6))]
    return [each for each in every if each != right] + [{**right, "target": "1"}, {"action": right["action"]}]


@pytest.mark.parametrize(("name", "counts"), [("memorise", MEMORISE), ("arbitrate", ARBITRATE)])
def test_each_category_has_its_number_of_cases(name: str, counts: dict[tuple[str, str], int]) -> None:
    assert Counter(case.tags[:2] for case in load(name)) == counts


@pytest.mark.parametrize("name", NAMES)
def test_the_first_tag_is_the_expected_label(name: str) -> None:
    told = {case.id: next(iter(wanted(case).values())) for case in load(name)}
    assert told == {case.id: case.tags[0] for case in load(name)}


def test_duplicates_come_in_three_kinds_twice() -> None:
    extra = {case.id: case.tags[-1] for case in load("arbitrate") if case.tags[1] == "NONE-duplicate"}
    assert Counter(extra.values()) == {"cross-language": 2, "synonym": 2, "abbreviation": 2}


def test_a_third_of_the_cases_is_chinese() -> None:
    assert Counter(case.tags[2] for case in load("memorise")) == {"en": 80, "zh": 40}
    assert Counter(case.tags[2:4] == ("en", "zh") for case in load("arbitrate")) == {False: 28, True: 2}
    assert Counter("zh" in case.tags for case in load("arbitrate")) == {False: 20, True: 10}


@pytest.mark.parametrize("name", NAMES)
def test_the_language_tag_is_that_of_the_new_text(name: str) -> None:
    tagged = {case.id: set(case.tags) & {"en", "zh"} for case in load(name) if "cross-language" not in case.tags}
    found = {id_: "zh" if CHINESE.search(new(text)) else "en" for id_, text in by_id(name).items()}
    assert tagged == {id_: {found[id_]} for id_ in tagged}


def test_a_cross_language_case_says_the_same_in_two_languages() -> None:
    both = [said(case.messages) for case in load("arbitrate") if "cross-language" in case.tags]
    sides = [(" ".join(stored(text)), new(text)) for text in both]
    assert all(bool(CHINESE.search(old)) != bool(CHINESE.search(text)) for old, text in sides)
    assert all(bool(LATIN.search(old)) or bool(LATIN.search(text)) for old, text in sides)


@pytest.mark.parametrize("name", NAMES)
def test_half_of_each_file_is_held_out(name: str) -> None:
    assert set(Counter(case.split for case in load(name)).values()) == {len(load(name)) // 2}


@pytest.mark.parametrize("name", NAMES)
def test_half_of_each_category_is_held_out_as_near_as_its_kinds_allow(name: str) -> None:
    held = Counter(case.tags[1] for case in load(name) if case.split == "held-out")
    every = Counter(case.tags[1] for case in load(name))
    assert all(abs(2 * held[each] - every[each]) <= (2 if each == "NONE-duplicate" else 1) for each in every)


@pytest.mark.parametrize("name", NAMES)
def test_no_tag_has_a_single_held_out_case(name: str) -> None:
    """Held-out cases are told of in sums: a sum over one case would tell of it."""
    held = Counter(chain.from_iterable(case.tags for case in load(name) if case.split == "held-out"))
    assert 1 not in held.values()


@pytest.mark.parametrize(("name", "form"), [("memorise", "mem-{:03}"), ("arbitrate", "arb-{:02}")])
def test_ids_are_numbers_in_an_order_that_tells_neither_label_nor_split(name: str, form: str) -> None:
    every = load(name)
    assert [case.id for case in every] == [form.format(n) for n in range(1, len(every) + 1)]
    thirds = [every[n * len(every) // 3 : (n + 1) * len(every) // 3] for n in range(3)]
    assert all({case.tags[0] for case in third} == {case.tags[0] for case in every} for third in thirds)
    assert all({case.split for case in third} == {"dev", "held-out"} for third in thirds)


def test_no_two_texts_are_the_same() -> None:
    every = [*texts(*NAMES), *(said(row["messages"]) for row in prompts())]
    assert [text for text, times in Counter(map(words, every)).items() if times > 1] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_two_cases_are_nearly_the_same(name: str) -> None:
    assert list(near(combinations(prepared(texts(name)), 2))) == []


def test_no_training_prompt_is_nearly_a_case() -> None:
    trained = prepared([said(row["messages"]) for row in prompts()])
    assert list(near(product(prepared(texts(*NAMES)), trained))) == []


def test_a_case_with_a_word_more_would_be_found_among_the_prompts() -> None:
    text = texts("memorise")[0]
    assert len(list(near(product(prepared([text]), prepared([f"{text} Please."]))))) == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_is_a_hit_however_it_is_spaced(name: str) -> None:
    for case in load(name):
        assert json.dumps(wanted(case)) == case.answer, case.id
        assert f"\n{json.dumps(wanted(case), indent=2)}\n" == case.answer, case.id


@pytest.mark.parametrize("name", NAMES)
def test_another_answer_is_a_miss(name: str) -> None:
    hits = [(case.id, each) for case in load(name) for each in wrong(wanted(case)) if json.dumps(each) == case.answer]
    assert hits == []


@pytest.mark.parametrize(
    "around",
    ["{}.", "Answer: {}", "{}\nIt is worth keeping.", "```json\n{}\n```", "`{}`", "[{}]", "{}\n{}", '"{}"'],
)
@pytest.mark.parametrize("name", NAMES)
def test_anything_around_the_object_is_a_miss(name: str, around: str) -> None:
    """The daemon parses the whole answer, so what it could not parse is no hit here either."""
    hits = [case.id for case in load(name) if around.replace("{}", json.dumps(wanted(case))) == case.answer]
    assert hits == []


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_label_is_a_miss(name: str) -> None:
    assert [case.id for case in load(name) if case.tags[0] == case.answer] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_fits_well_into_its_tokens(name: str) -> None:
    """No tokenizer needs more than a token a byte."""
    assert all(len(json.dumps(wanted(case))) < case.max_tokens == 64 for case in load(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_case_is_the_system_prompt_and_one_user_message(name: str) -> None:
    text = (ROOT / f"fixtures/systems/{name}.txt").read_text(encoding="utf-8").strip()
    assert {tuple(message["role"] for message in case.messages) for case in load(name)} == {("system", "user")}
    assert {case.messages[0]["content"] for case in load(name)} == {text}
    assert 120 <= len(text.split()) <= 220


@pytest.mark.parametrize("name", NAMES)
def test_the_system_prompt_shows_every_answer_as_json(name: str) -> None:
    text = load(name)[0].messages[0]["content"]
    shown = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {next(iter(value.values())) for value in shown} == {case.tags[0] for case in load(name)}
    assert {tuple(value) for value in shown} == {tuple(wanted(case)) for case in load(name)}


def test_a_duplicate_quotes_what_is_stored_and_so_do_texts_worth_keeping() -> None:
    """Else a model could skip whatever begins with "Stored:"."""
    quoting = Counter(case.tags[0] for case in load("memorise") if said(case.messages).startswith("Stored: "))
    assert quoting == {"SKIP": 20, "SAVE": 10}


def test_an_arbitrate_text_numbers_its_memories_and_the_target_is_one_of_them() -> None:
    for messages, value in arbitrations():
        text, memories = said(messages), stored(said(messages))
        listed = "".join(f"{n}. {memory}\n" for n, memory in enumerate(memories, 1))
        assert text == f"Stored:\n{listed}\nNew: {new(text)}"
        assert value["target"] in ([None] if value["action"] == "NONE" else range(1, len(memories) + 1)), text


def test_the_target_is_not_always_at_the_same_place() -> None:
    targets = Counter(wanted(case)["target"] for case in load("arbitrate"))
    assert all(2 <= targets[n] <= 10 for n in (1, 2, 3))


def test_a_mixed_case_has_a_memory_that_stays_and_one_that_does_not() -> None:
    mixed = [case for case in load("arbitrate") if case.tags[1] == "MIXED"]
    assert all(len(stored(said(case.messages))) >= 2 and wanted(case)["target"] for case in mixed)


def test_the_prompts_are_distributed_as_the_cases() -> None:
    assert Counter(row["category"] for row in prompts()) == TRAINED
    assert Counter(row["task"] for row in prompts()) == {"memorise": 140, "arbitrate": 60}


@pytest.mark.parametrize("name", NAMES)
def test_a_third_of_the_prompts_is_chinese(name: str) -> None:
    every = [said(row["messages"]) for row in prompts() if row["task"] == name]
    assert 0.3 <= sum(bool(CHINESE.search(text)) for text in every) / len(every) <= 0.4


@pytest.mark.parametrize("name", NAMES)
def test_the_prompts_ask_as_the_cases_do(name: str) -> None:
    system = load(name)[0].messages[0]
    assert all(row["messages"][0] == system for row in prompts() if row["task"] == name)
    assert {len(row["messages"]) for row in prompts()} == {2}
    assert {tuple(row["gold"]) for row in prompts() if row["task"] == name} == {tuple(wanted(load(name)[0]))}


def test_a_prompts_category_agrees_with_its_gold_label() -> None:
    pairs = {(row["category"].split("-")[0], next(iter(row["gold"].values()))) for row in prompts()}
    assert pairs == {(label, label) for label in ("SAVE", "SKIP", "NONE", "UPDATE", "DELETE")} | {
        ("MIXED", "UPDATE"),
        ("MIXED", "DELETE"),
    }


def test_a_teacher_that_is_right_agrees_with_the_gold_label_and_one_that_is_wrong_does_not() -> None:
    assert all(agrees(json.dumps(row["gold"]), row["gold"]) for row in prompts())
    whole = [(each, row["gold"]) for row in prompts() for each in wrong(row["gold"]) if "why" not in each]
    assert not any(agrees(json.dumps(each), gold) for each, gold in whole)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_a_suite_reads_as_a_requirement(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [test] = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert ast.get_docstring(tree)
    assert [type(node) for node in test.body] == [ast.Assert]
    assert len(test.decorator_list) == 1


def test_the_suites_demand_what_the_memory_daemon_needs() -> None:
    assert {path.name: marker(path) for path in SUITES} == {
        "test_memorise.py": (
            "memory/memorise.jsonl",
            {"floor": 0.9, "floors": {"SAVE": 0.9, "SKIP": 0.9}, "positive": "SAVE"},
        ),
        "test_arbitrate.py": ("memory/arbitrate.jsonl", {"floor": 0.8, "floors": {"NONE-duplicate": 0.8}}),
    }


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_every_tag_that_a_suite_names_is_one_of_its_cases(path: Path) -> None:
    name, demands = marker(path)
    named = {*demands["floors"], *([demands["positive"]] if "positive" in demands else [])}
    assert named <= set(chain.from_iterable(case.tags for case in load(Path(name).stem)))


def by_id(name: str) -> dict[str, str]:
    return {case.id: said(case.messages) for case in load(name)}


def arbitrations() -> Iterator[tuple[list[Json], Json]]:
    """Every arbitrate question, of the cases and of the prompts, with its right answer."""
    yield from ((case.messages, wanted(case)) for case in load("arbitrate"))
    yield from ((row["messages"], row["gold"]) for row in prompts() if row["task"] == "arbitrate")


def prepared(every: list[str]) -> list[tuple[str, set[str]]]:
    return [(text, shingles(words(text))) for text in every]


def near(pairs: Any) -> Iterator[tuple[str, str]]:
    for (one, some), (other, more) in pairs:
        if len(some & more) >= ALIKE * len(some | more):
            yield one, other


def marker(path: Path) -> tuple[str, Json]:
    """The case file and the demands of a suite's one marker."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    [found] = [node for node in calls if ast.unparse(node.func) == "pytest.mark.gate"]
    return ast.literal_eval(found.args[0]), {str(key.arg): ast.literal_eval(key.value) for key in found.keywords}
