"""From files of rows to token rows and batches: nothing is lost silently, trained twice, or shared between splits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.checkpoints import demo
from gate.errors import GateError
from gate.repair import phrases
from gate.repair.split import grouped, split
from trainers import recipe as recipes
from trainers.batches import ordered, padded, width
from trainers.prepare import function_calling, persona, tool_repair
from trainers.prepare.__main__ import main, prepare
from trainers.recipe import RecipeError
from trainers.split import is_distinct
from trainers.tokens import Dropped, RowsError, Turn, turns

DEMO = Path(__file__).parents[3] / "trainers" / "demo"


def a_recipe(folder: Path, text: str = "", *, kind: str = "tool_repair") -> recipes.Recipe:
    path = folder / "recipe.toml"
    path.write_text(f'kind = "{kind}"\nbase = "smollm2"\nout = "out"\n{text}')
    return recipes.read(path)


class TestRecipe:
    def test_the_demo_is_one(self) -> None:
        found = recipes.read(DEMO / "recipe.toml")
        assert (found.kind, found.train.rank, found.promote.form) == ("tool_repair", 16, "gguf-Q8_0")

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("[train]\nrnak = 8", r"train.rnak: unknown key: did you mean rank\? known are type, rank"),
            ("[train]\nrank = 0", "train.rank: expected a whole number 1 or more, found 0"),
            ("[train]\nrank = 1.5", "train.rank: expected a whole number 1 or more, found 1.5"),
            ("[train]\nrate = true", "train.rate: expected a number above 0, found true"),
            ('[train]\ntype = "qlora"', "train.type: expected one of dora, full, lora, found"),
            ("[train]\nrate = -1.0", "train.rate: expected a number above 0"),
            ("[train]\ndropout = 1.0", "train.dropout: expected a number 0 or more and below 1, found 1.0"),
            ("[train]\nrate = inf", "train.rate: expected a finite number, found inf"),
            ("[train]\nrank = 16.0", "train.rank: expected a whole number"),
            ("[train]\nlayers = 0", "train.layers: expected -1 for all"),
            ("[export]\nbits = 8", "export.bits: expected a list, found 8"),
            ("nonsense = 1", "nonsense: unknown key: known are kind"),
            ("[train", "cannot be read"),
        ],
    )
    def test_a_mistake_is_named(self, tmp_path: Path, text: str, why: str) -> None:
        with pytest.raises(RecipeError, match=why):
            a_recipe(tmp_path, text)


class TestBatches:
    @given(st.lists(st.integers(2, 500), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 3))
    def test_every_row_comes_once_an_epoch(self, lengths: list[int], size: int, epoch: int) -> None:
        found = ordered(lengths, size, seed=1, epoch=epoch)
        assert sorted(number for batch in found for number in batch) == list(range(len(lengths)))
        assert max(map(len, found)) <= size
        assert found == ordered(lengths, size, seed=1, epoch=epoch)

    def test_rows_of_a_length_go_together_and_differently_each_epoch(self) -> None:
        lengths = [20] * 16 + [200] * 16
        for epoch in range(3):
            assert all(len({lengths[n] for n in batch}) == 1 for batch in ordered(lengths, 4, seed=0, epoch=epoch))
        sets = [{frozenset(batch) for batch in ordered(lengths, 4, seed=0, epoch=epoch)} for epoch in (0, 1)]
        assert sets[0] != sets[1]

    def test_missing_rows_train_nothing(self) -> None:
        tokens, spans, offsets = padded([Turn((5, 6, 7), 1, "a")], 3)
        assert offsets.tolist() == list(range(32))
        assert (tokens.shape, spans.tolist()) == ((3, 33), [[1, 3], [0, 0], [0, 0]])
        assert [width(n) for n in (2, 33, 34)] == [32, 32, 64]


class TestSplit:
    def test_near_duplicates_stay_together_and_shares_hold(self) -> None:
        names = [
            f"{word} {number}"
            for word in ["apple", "bear", "cloud", "dragon", "engine", "forest"]
            for number in range(30)
        ]
        rows = [(f"please look at the {name} of the old house by the sea", name.split()[0]) for name in names]
        parts = split(rows, said=lambda row: [row[0]], category=lambda row: row[1], seed=3)
        assert sum(map(len, parts.values())) == len(rows)
        said = {name: [row[0] for row in part] for name, part in parts.items()}
        for name, others in (("train", ("valid", "test")), ("valid", ("test",))):
            for other in others:
                assert all(is_distinct(said[name], said[other])) or not said[other]

    def test_groups_go_through_others(self) -> None:
        texts = ["the quick brown fox jumps over it", "The quick brown fox jumps over it!", "something else entirely"]
        assert sorted(map(len, grouped([[text] for text in texts]))) == [1, 2]

    def test_small_categories_reach_every_split(self) -> None:
        rows = [f"{n} {'xyzabcdefg'[n % 10] * 9} {n * 7919}" for n in range(40)]
        parts = split(rows, said=lambda row: [str(row)], category=lambda _row: "one")
        assert {name: len(part) for name, part in parts.items()} == {"train": 32, "valid": 4, "test": 4}


class TestTemplated:
    def test_the_demos_rows_are_sound(self) -> None:
        rows = phrases.rows(DEMO / "fixtures/slots/demo.toml", DEMO / "fixtures", seed=0)
        counts = Counter(row["category"] for row in rows)
        assert counts["weather"] == 75
        light = next(row for row in rows if row["category"] == "light off")
        assert light["messages"][-1]["tool_calls"][0]["function"]["arguments"]["on"] is False
        timer = next(row for row in rows if row["category"] == "timer")
        assert isinstance(timer["messages"][-1]["tool_calls"][0]["function"]["arguments"]["minutes"], int)
        assert not [row for row in rows if "{" in row["messages"][0]["content"]]

    def test_a_slot_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "x.toml"
        path.write_text(
            'tools = "demo"\n[[phrase]]\ncategory = "a"\ncount = 1\nsay = ["{x}"]\n'
            'call = {name = "set_timer", arguments = {}}\n'
        )
        with pytest.raises(phrases.TemplateError, match="KeyError: 'x'"):
            phrases.rows(path, DEMO / "fixtures", seed=0)


class TestTurns:
    class Tokenizer:
        """Characters as tokens; roles as marks."""

        eos_token_ids = frozenset({ord("$")})
        eos_token_id = ord("$")

        def encode(self, text: str) -> list[int]:
            return [ord(c) for c in text]

        def apply_chat_template(
            self, messages: list[Any], *, tools: Any, return_dict: bool, add_generation_prompt: bool = False
        ) -> list[int]:
            assert (tools, return_dict) == (None, False)
            end = {"bad": ""}
            text = "".join(f"<{m['role'][0]}>{m['content']}{end.get(m['content'], '$')}\n" for m in messages)
            return self.encode(text + ("<a>" if add_generation_prompt else ""))

    def read(self, tmp_path: Path, *rows: Any, **more: Any) -> tuple[list[Turn], list[Dropped]]:
        path = tmp_path / "train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return turns(path, self.Tokenizer(), **{"length": 100, "every": True} | more)

    def chat(self, *said: str) -> dict[str, Any]:
        return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]}

    def test_every_assistant_turn_is_a_row_that_ends_in_its_stop_token(self, tmp_path: Path) -> None:
        kept, dropped = self.read(tmp_path, self.chat("hi", "yes", "more", "no"))
        assert not dropped
        assert ["".join(map(chr, turn.tokens[turn.start :])) for turn in kept] == ["yes$", "no$"]
        assert "".join(map(chr, kept[1].tokens[: kept[1].start])) == "<u>hi$\n<a>yes$\n<u>more$\n<a>"

    def test_the_last_alone(self, tmp_path: Path) -> None:
        kept, _ = self.read(tmp_path, self.chat("hi", "yes", "more", "no"), every=False)
        assert ["".join(map(chr, turn.tokens[turn.start :])) for turn in kept] == ["no$"]

    def test_what_cannot_be_trained_whole_is_dropped_with_its_reason(self, tmp_path: Path) -> None:
        kept, dropped = self.read(
            tmp_path, self.chat("hi", "x" * 200), self.chat("hi", "bad"), self.chat("hi"), self.chat("a", "b")
        )
        assert len(kept) == 1
        assert [each.where.rpartition(":")[2] for each in dropped] == ["1", "2", "3"]
        for each, why in zip(
            dropped, ("100 are allowed", "does not end in a stop token", "no assistant turn"), strict=True
        ):
            assert why in each.why

    def test_nothing_left_and_a_broken_line_stop_it(self, tmp_path: Path) -> None:
        with pytest.raises(RowsError, match="nothing to train on"):
            self.read(tmp_path, self.chat("hi", "bad"))
        (tmp_path / "train.jsonl").write_text("{\n")
        with pytest.raises(RowsError, match=r"train\.jsonl:1"):
            turns(tmp_path / "train.jsonl", self.Tokenizer(), length=10, every=True)


class TestPrepare:
    def test_rows_like_a_case_are_left_out_and_listed(self, tmp_path: Path) -> None:
        fixtures = tmp_path / "fixtures"
        for name in ("cases", "tools"):
            (fixtures / name).mkdir(parents=True)
        asked = "What is the weather in the old town of Bergen today?"
        case = {
            "id": "a",
            "messages": [{"role": "user", "content": asked}],
            "expect": {"calls": []},
            "split": "dev",
        }
        (fixtures / "cases/c.jsonl").write_text(json.dumps(case) + "\n")
        said = [
            f"{word} or {number * 7919}?"
            for number, word in enumerate(["red", "green", "blue", "black", "white", "grey", "pink", "gold"] * 5)
        ]
        rows = [{"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]}
                for text in [*said, asked.lower() + "!"]]  # fmt: skip
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        prepare(a_recipe(tmp_path, '[data]\nrows = ["rows.jsonl"]'))
        manifest = json.loads((tmp_path / "out/data/manifest.json").read_text())
        assert manifest["like a case"] == [asked.lower() + "!"]
        assert sum(sum(counts.values()) for counts in manifest["rows"].values()) == 40

    def test_xlam_rows_become_chat_rows_and_an_unseen_suite(self, tmp_path: Path) -> None:
        more = {"type": "List[float], optional", "description": "more", "default": ""}
        parameters = {"a": {"type": "int", "description": "one"}, "b": more}
        tools = [{"name": "add", "description": "Add", "parameters": parameters}]
        lines = [
            {"query": f"What is {n} and {n * 31 % 97} together, {w}?", "tools": json.dumps(tools),
             "answers": json.dumps([{"name": "add", "arguments": {"a": n}}])}
            for n, w in enumerate(["sir", "madam", "boss", "friend", "captain", "doctor"] * 10)
        ]  # fmt: skip
        (tmp_path / "xlam.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        recipe = a_recipe(tmp_path, '[data]\nrows = ["xlam.jsonl"]\nmost = 50', kind="function_calling")
        prepare(recipe)
        row = json.loads((tmp_path / "out/data/train.jsonl").read_text().splitlines()[0])
        schema = row["tools"][0]["function"]["parameters"]
        assert schema["properties"]["b"] == {"type": "array", "items": {"type": "number"}, "description": "more"}
        assert schema["required"] == ["a"]
        assert (tmp_path / "out/project/suites/test_unseen.py").is_file()
        assert len((tmp_path / "out/project/fixtures/cases/unseen.jsonl").read_text().splitlines()) >= 1

    @pytest.mark.parametrize("answers", ["[", "[]", "{}", None])
    def test_a_row_that_is_none_is_named(self, answers: Any) -> None:
        with pytest.raises(RecipeError, match="x:1: is not a row"):
            function_calling.row({"query": "a", "tools": [], "answers": answers}, "x:1")

    def test_sharegpt_becomes_chat(self, tmp_path: Path) -> None:
        said = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]
        (tmp_path / "v.jsonl").write_text(json.dumps({"conversations": said}) + "\n")
        found = persona.rows(a_recipe(tmp_path, '[data]\nrows = "v.jsonl"\nsystem = "be brief"', kind="persona"))
        assert [message["role"] for message in found[0]["messages"]] == ["system", "user", "assistant"]

    def test_no_category_has_more_than_most(self) -> None:
        rows = [{"messages": [], "category": name} for name in "aaaaab"]
        assert Counter(row["category"] for row in tool_repair.balanced(rows, 2, seed=0)) == {"a": 2, "b": 1}

    def test_an_unknown_kind_and_a_missing_file_are_bad_input(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        a_recipe(tmp_path, kind="magic")
        assert main([str(tmp_path / "recipe.toml")]) == 4
        assert "expected one of tool_repair" in capsys.readouterr().err
        a_recipe(tmp_path, '[data]\nrows = "no.jsonl"')
        assert main([str(tmp_path / "recipe.toml")]) == 4


@pytest.mark.real
def test_the_demos_rows_are_trained_as_they_are_served(tmp_path: Path) -> None:
    """Every turn's prompt is what the server renders, and its answer ends in the stop token."""
    from mlx_lm.utils import load_tokenizer

    recipe = recipes.read(DEMO / "recipe.toml")
    rows = tool_repair.rows(recipe)
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded: Any = load_tokenizer
    tokenizer = loaded(demo.ensure(progress=False))
    kept, dropped = turns(tmp_path / "train.jsonl", tokenizer, length=512, every=True)
    assert not dropped
    assert all(turn.tokens[-1] in tokenizer.eos_token_ids for turn in kept)
    assert all(tokenizer.decode(list(turn.tokens[: turn.start])).endswith("<|im_start|>assistant\n") for turn in kept)


def test_errors_are_the_gates(tmp_path: Path) -> None:
    with pytest.raises(GateError):
        recipes.read(tmp_path / "none.toml")
