"""What rows are made of: concrete calls, turns, phrases with slots, splits that share nothing, and their length."""

from __future__ import annotations

import json
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from gate.cases.matchers.matcher import UnknownError, named_value
from gate.cases.normalize import words
from gate.cases.similarity import LEAST, shingles
from gate.errors import CheckpointError
from gate.repair import balance, misses, phrases, row_length, rows, split, variants
from gate.repair.contamination import PART, VALUES, Guard
from gate.repair.rows import Row, spoken
from gate.types import Reply
from tests.unit.repair.test_build import SLOTS, TOOLS, a_case, call, project

WORDS = ["amber", "basin", "cedar", "delta", "ember", "ab"]
HERE = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ({"$any": ["a", "b"]}, "a"),
        ({"$any": [{"$regex": "x"}, "b"]}, "b"),
        ({"$text": "A b"}, "A b"),
        ({"$number": 3, "tolerance": 1}, 3),
        ({"$literal": {"$any": [1]}}, {"$any": [1]}),
        ({"a": 1, "b": {"$optional": 2}, "c": [{"$text": "x"}]}, {"a": 1, "c": ["x"]}),
    ],
)
def test_a_value_is_taken_from_a_matcher(expected: Any, value: Any) -> None:
    assert named_value(expected) == value


@pytest.mark.parametrize("expected", [{"$regex": "a+"}, {"$anything": True}, [{"$contains": "a"}], {"$schema": {}}])
def test_a_matcher_that_names_no_value_gives_none(expected: Any) -> None:
    with pytest.raises(UnknownError):
        named_value(expected)


def test_a_conversation_gives_one_row_for_each_assistant_turn() -> None:
    talk = [{"role": "user", "content": "?"}, spoken("", [call("read", path="x")])]
    talk += [{"role": "tool", "content": "y"}, spoken("It says y.")]
    one, two = rows.turns(Row(talk, TOOLS, "", "slots"))
    assert (one.category, two.category) == ("read", misses.FINAL)
    assert (one.messages, two.messages) == (talk[:2], talk)


def test_every_phrase_of_the_hermes_tools_is_a_call_that_the_tools_allow() -> None:
    import numpy as np

    book = phrases.read(HERE / "fixtures/slots/hermes.toml", HERE / "fixtures")
    names = {call.name for phrase in book.phrases for call in phrase.calls}
    assert names == {tool["function"]["name"] for tool in book.tools}
    drawn = [(phrase, phrases.drawn(book, phrase, np.random.default_rng(0))) for phrase in book.phrases for _ in "123"]
    for phrase, talk in drawn:
        assert variants._sound(talk, book.tools), talk
        assert "{" not in str(talk[0]["content"])
        assert not phrase.say or not talk[0]["content"][0].isupper() or any(say[0].isupper() for say in phrase.say)


@pytest.mark.parametrize(
    ("old", "new"),
    [("{program} in the shell", "{programme} in the shell"), ('name = "terminal"', 'name = "shell"'),
     ('category = "read"\n', 'category = "read"\nsays = 1\n'), ('answer = ["31 lines.", "It has 31."]', "")],
)  # fmt: skip
def test_a_phrase_that_cannot_be_filled_is_bad_input(tmp_path: Path, old: str, new: str) -> None:
    project(tmp_path, slots=SLOTS.replace(old, new))
    with pytest.raises(phrases.TemplateError, match=r"s\.toml"):
        phrases.read(tmp_path / "fixtures/slots/s.toml", tmp_path / "fixtures")


def a_miss(folder: Path, number: int) -> misses.Miss:
    from gate.cases import loader

    case = loader.load("a.jsonl", folder / "fixtures").cases[number]
    reply = Reply("", "", [], [], "stop", "", {}, 0.1, 200, None, "{}")
    kind = misses.category(case.expect, case.messages)
    return misses.Miss(case, "a.jsonl", loader.marks(case)[1], kind, reply)


def test_a_miss_is_met_with_phrases_of_its_own_arguments(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be quick."}
    asked = [system, {"role": "user", "content": "Serve the docs, and go on."}]
    wanted = call("terminal", command={"$regex": "x.*"}, background=True, timeout={"$optional": 5})
    case = a_case(
        "serve", "", [wanted], messages=asked, tools=json.loads((HERE / "fixtures/tools/hermes.json").read_text())
    )
    miss = a_miss(project(tmp_path, [case]), 0)
    books = [phrases.read(HERE / "fixtures/slots/hermes.toml", HERE / "fixtures")]
    found = variants.of_miss(miss, books, 6, seed=0, seen=set())
    assert len(found.rows) == 6
    for row in found.rows:
        assert row.messages[0] == system
        assert row.messages[-1]["tool_calls"][0]["function"]["arguments"].keys() == {"command", "background"}


def test_a_phrase_of_a_tool_that_is_not_offered_is_not_used(tmp_path: Path) -> None:
    case = a_case("x", "Run it", [call("terminal", command="x")], tools=TOOLS[:1])
    miss = a_miss(project(tmp_path, [case]), 0)
    books = variants.read([tmp_path / "fixtures/slots/s.toml"], tmp_path / "fixtures")
    found = variants.of_miss(miss, books, 4, seed=0, seen=set())
    assert {row.category for row in found.rows} == {"terminal"}
    words = variants.of_passed(a_miss(project(tmp_path, [case | {"expect": {"calls": []}}]), 0).case, books, 4,
                               seed=0, seen=set())  # fmt: skip
    assert words.rows == []  # answers in words depend on what could have been called
    assert words.short == 4


def test_the_values_of_a_held_out_case_are_refused_only_together(tmp_path: Path) -> None:
    case = a_case("h", "Ask 4471 Wrightwood Lane about parcel KX-99120", [call("read", path={"$regex": ".*"})])
    guard = Guard(project(tmp_path, [case | {"split": "held-out"}]) / "fixtures")
    told = {
        "4471 Wrightwood Lane": VALUES,
        "parcel KX-99120": PART,
        "4471 Rosewood Lane": "",
        "path": "",  # a word of the tool's own schema
    }
    for value, why in told.items():
        row = Row(
            [{"role": "user", "content": f"Fetch {value} now"}, spoken("", [call("read", path=value)])], TOOLS, "", ""
        )
        assert guard.refusals([row]) == [why], value
    both = [call("read", path="4471 Wrightwood Lane"), call("read", path="another/place.txt")]
    assert guard.refusals([Row([{"role": "user", "content": "Both"}, spoken("", both)], TOOLS, "", "")]) == [""]


def test_groups_are_those_that_every_pair_gives() -> None:
    """Against the plain definition: all pairs, transitively."""
    drawn = random.Random(0)
    for _ in range(30):
        texts = [" ".join(drawn.choices(WORDS, k=drawn.randint(0, 6))) for _ in "x" * 60]
        root = list(range(len(texts)))
        sets = [shingles(words(text) or text) for text in texts]
        for one, other in combinations(range(len(texts)), 2):
            if len(sets[one] & sets[other]) >= LEAST * len(sets[one] | sets[other]) - 1e-9:
                root = [root[one] if each == root[other] else each for each in root]
        wanted = sorted(sorted(n for n, each in enumerate(root) if each == top) for top in set(root))
        assert sorted(map(sorted, split.grouped([[text] for text in texts]))) == wanted


def test_a_conversations_texts_stay_together() -> None:
    groups = split.grouped([["open the door", "and the window"], ["and the window"], ["something else entirely"]])
    assert sorted(map(sorted, groups)) == [[0, 1], [2]]


def test_a_cap_takes_from_each_miss_in_turn() -> None:
    found = [Row([], [], "read", "slots", case) for case in "a" * 50 + "b" * 2]
    kept = balance.capped(found, 5, seed=0)
    assert sorted(row.case for row in kept) == ["a", "a", "a", "b", "b"]


def test_the_kept_share_is_one_of_all_rows() -> None:
    assert balance.shares(70, 0.3, ["b", "a"]) == {"a": 15, "b": 15}
    assert balance.shares(70, 0.3, []) == {}


OBJECT = (
    "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}{% endfor %}"
)
TEXT = OBJECT.replace("c.function | tojson", "'{\"arguments\": ' + c.function.arguments + '}'")
PYTHON = OBJECT.replace("c.function | tojson", "c.function.arguments")
NONE = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(("source", "text"), [(OBJECT, False), (TEXT, True), (PYTHON, True), (NONE, None)])
def test_the_form_of_arguments_is_the_one_that_the_template_writes_as_json(
    tmp_path: Path, source: str, text: bool | None
) -> None:
    (tmp_path / "chat_template.jinja").write_text(source)
    if text is None:
        with pytest.raises(CheckpointError, match="in neither form"):
            row_length._takes_text(tmp_path)
    else:
        assert row_length._takes_text(tmp_path) == text


def test_rows_are_measured_by_the_models_own_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["<unk>", "</s>", "a"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(kind))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }} {% endfor %}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 1}))
    found = [Row([{"role": "user", "content": "a " * number}, spoken("a a")], [], "", "") for number in (3, 8, 9, 40)]
    assert row_length.Ruler(tmp_path).refusals(found, 10) == ["", "", row_length.LONG, row_length.LONG]
