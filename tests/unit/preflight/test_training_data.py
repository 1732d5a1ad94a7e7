"""P18: a good set of rows has nothing found, and a row broken for one thing has just that found."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gate.cases import training_rows
from gate.checkpoints import demo, kinds
from gate.checkpoints.probes.rows import Reader
from gate.preflight.artifact import Artifact
from gate.preflight.checks import training_data
from gate.preflight.rule import RULES
from gate.types import Checkpoint

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]


def call(arguments: Any, name: str = "weather") -> dict[str, Any]:
    called = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [called]}


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


GOOD = [
    {"messages": [said("user", "Weather in Paris?"), call({"city": "Paris"})], "tools": TOOLS},
    {
        "messages": [
            said("system", "Be brief."),
            said("user", "Weather in Rome?"),
            call({"city": "Rome"}),
            said("tool", '{"sky": "clear"}'),
            said("assistant", "Clear."),
        ],
        "tools": TOOLS,
    },
    {
        "messages": [said("user", "Hi, how are you? {'city': 'Rome'}"), said("assistant", 'Fine. "{}" is JSON.')],
        "tools": None,
    },
]


@pytest.fixture(scope="session")
def model() -> Path:
    return demo.ensure(progress=False)


def written(path: Path, lines: list[Any]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def found(train: Path, model: Path | None) -> dict[str, tuple[str, ...]]:
    """What P18's checks find, by name; a check that was not made stands with its status before the reason."""
    kind = Checkpoint(kinds.MLX, "m", model) if model else Checkpoint(kinds.URL, "u", url="http://x/v1")
    artifact = Artifact(checkpoint=kind, train=train)
    checks = [rule.check(artifact) for rule in RULES if rule.look.__module__ == training_data.__name__]
    states = {"found": (), "ok": ()}
    return {c.name: (*states.get(c.status, (c.status,)), *c.found) for c in checks if c.status != "ok"}


BROKEN = {
    "rows_are_json": ['{"messages": 1, "messages": 2}', "", "[1]", '{"messages": NaN}'],
    "rows_have_one_format": [{"prompt": "a", "completion": "b"}, {"text": "a"}, {"conversations": []}],
    "turns_are_sound": [
        {"messages": []},
        {"messages": "hello"},
        {"messages": [said("human", "a"), said("assistant", "b")]},
        {"messages": [said("user", ""), said("assistant", "b")]},
        {"messages": [said("user", "a"), said("assistant", None)]},
        {"messages": [said("user", {"a": 1}), said("assistant", "b")]},
        {"messages": [said("user", "a"), said("tool", "b"), said("assistant", "b")]},
        {"messages": [said("user", "a"), call('"twice"')], "tools": TOOLS},
        {"messages": [said("user", "a"), call(["Paris"])], "tools": TOOLS},
        {"messages": [said("user", "a"), said("assistant", "b")], "tools": "[]"},
    ],
    "rows_end_in_an_answer": [
        {"messages": [said("user", "a"), said("assistant", "b"), said("user", "c")]},
        {"messages": [said("user", "a"), call({"city": "Rome"}), said("tool", "c")], "tools": TOOLS},
    ],
    "calls_are_valid": [
        {"messages": [said("user", "a"), call({"city": "Rome"})]},
        {"messages": [said("user", "a"), call({"city": "Rome"}, "weathr")], "tools": TOOLS},
        {"messages": [said("user", "a"), call({"city": 5})], "tools": TOOLS},
        {"messages": [said("user", "a"), call("{}")], "tools": TOOLS},
    ],
    "rows_stand_once": [GOOD[0] | {"source": "not trained"}],
    "rows_fit": [{"messages": [said("user", "a"), said("assistant", "word " * 2100)]}],
    "rows_render": [{"messages": [said("user", "a \ud800"), said("assistant", "b")]}],
    "answers_are_trained": [{"messages": [said("user", "word " * 2100), said("assistant", "b")]}],
}
CUT = len(GOOD) + sum(map(len, BROKEN.values()))
"""The line of the last row, which is too long besides."""


def test_good_rows_have_nothing_found(tmp_path: Path, model: Path) -> None:
    assert found(written(tmp_path / "train.jsonl", GOOD), model) == {}


def test_each_fault_is_found_by_its_own_check_alone(tmp_path: Path, model: Path) -> None:
    names = [name for name, lines in BROKEN.items() for _ in lines]
    train = written(tmp_path / "train.jsonl", [*GOOD, *(line for lines in BROKEN.values() for line in lines)])
    wanted = {(name, number) for number, name in enumerate(names, start=len(GOOD) + 1)}
    told = {(name, int(line.split(":")[1])) for name, lines in found(train, model).items() for line in lines}
    assert told == wanted | {("rows_fit", CUT)}


def test_completions_and_texts_are_rows_too(tmp_path: Path) -> None:
    completions = written(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": ""}])
    texts = written(tmp_path / "b.jsonl", [{"text": "a"}, {"text": "  "}])
    assert [len(found(path, None)["turns_are_sound"]) for path in (completions, texts)] == [1, 1]


def test_max_seq_length_is_that_of_the_adapters_training(tmp_path: Path, model: Path) -> None:
    written(tmp_path / "adapter" / "adapter_config.json", [{"max_seq_length": 10}])
    adapter = Checkpoint(kinds.ADAPTER, "a", tmp_path / "adapter", base=model)
    artifact = Artifact(checkpoint=adapter, base=model, train=written(tmp_path / "train.jsonl", GOOD))
    assert len(training_data.rows_fit(artifact)) == len(GOOD)


def test_splits_share_no_row(tmp_path: Path) -> None:
    written(tmp_path / "train.jsonl", GOOD)
    written(tmp_path / "valid.jsonl", GOOD[:1])
    (line,) = found(tmp_path, None)["splits_are_apart"]
    assert line == f"{tmp_path}/valid.jsonl:1: the same row as {tmp_path}/train.jsonl:1"


def test_each_file_of_a_folder_has_a_format_of_its_own(tmp_path: Path, model: Path) -> None:
    written(tmp_path / "train.jsonl", GOOD)
    written(tmp_path / "valid.jsonl", [{"prompt": "a", "completion": "b"}])
    written(tmp_path / "other.jsonl", ["not read by mlx-lm"])
    assert found(tmp_path, model) == {}


def test_findings_are_counted_exactly_and_cut(tmp_path: Path) -> None:
    ending = [{"messages": [said("user", str(n))]} for n in range(33)]
    lines = found(written(tmp_path / "train.jsonl", ending), None)["rows_end_in_an_answer"]
    assert (len(lines), lines[-1]) == (training_rows.SHOWN + 1, "… and 13 more")


@pytest.mark.parametrize("lines", [[], None])
def test_no_rows_are_never_good_rows(lines: list[Any] | None, tmp_path: Path, model: Path) -> None:
    train = tmp_path / "train.jsonl"
    if lines is not None:
        written(train, lines)
    told = found(train, model)
    assert told.pop("rows_are_json")
    assert len(told) == len([r for r in RULES if r.look.__module__ == training_data.__name__]) - 1
    assert found(tmp_path / "nowhere", model).keys() == told.keys() | {"rows_are_json"}


def test_without_a_tokenizer_the_rest_is_looked_at(tmp_path: Path) -> None:
    told = found(written(tmp_path / "train.jsonl", [*GOOD, {"messages": []}]), None)
    assert len(told["turns_are_sound"]) == 1
    assert told["rows_render"][0] == "not possible"


def retold(model: Path, folder: Path, old: str, new: str) -> Path:
    """The model's tokenizer with another chat template."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "chat_template.jinja"):
        shutil.copy(model / name, folder)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert old in template
    (folder / "chat_template.jinja").write_text(template.replace(old, new), encoding="utf-8")
    return folder


TEXT = copy.deepcopy(GOOD)
TEXT[0]["messages"][-1] = call('{"city": "Paris"}')  # type: ignore[index]
WRITTEN = "tool_call.arguments is string"


@pytest.mark.parametrize(
    ("name", "train", "old", "new", "mend"),
    [
        ("arguments_are_encoded_once", TEXT, WRITTEN, "false", "an object"),
        ("arguments_are_encoded_once", GOOD, WRITTEN, "true", ""),
        ("rows_render", TEXT, "tool_call.arguments is string", "not tool_call.arguments.items()", "an object"),
        ("rows_end_in_a_stop_token", GOOD, "{%- endfor %}\n        {{- '<|im_end|>\\n' }}", "{%- endfor %}", ""),
        ("prompts_are_prefixes", GOOD, "'<|im_start|>assistant\\n' }}", "'<|im_start|>assistant\\n<think>' }}", ""),
    ],
)
def test_a_template_that_spoils_rows_is_found(
    name: str, train: list[Any], old: str, new: str, mend: str, tmp_path: Path, model: Path
) -> None:
    folder = retold(model, tmp_path / "model", old, new)
    lines = found(written(tmp_path / "train.jsonl", train), folder)
    assert lines.keys() == {name}
    assert f"written as {mend}, they come out well" in lines[name][0] or not mend


def test_a_text_that_begins_twice_is_found(tmp_path: Path, model: Path) -> None:
    reader = Reader(model)
    reader.tokenizer.encode = lambda _text: [1, 1, 5]
    (fact,) = reader.facts(written(tmp_path / "t.jsonl", [{"text": "<|im_start|>a"}]))
    assert (fact[1], fact[6]) == (4, "begun twice")


@pytest.mark.parametrize(
    "lines", [GOOD, [{"prompt": "a", "completion": "b"}], [{"text": "a b c<|im_end|>"}, {"text": "d"}]]
)
def test_the_facts_are_those_of_mlx_lms_own_data_sets(lines: list[Any], tmp_path: Path, model: Path) -> None:
    from types import SimpleNamespace

    from mlx_lm.tuner.datasets import create_dataset

    reader = Reader(model)
    facts = list(reader.facts(written(tmp_path / "t.jsonl", lines)))
    theirs = create_dataset(lines, reader.tokenizer, SimpleNamespace(mask_prompt="text" not in lines[0]))
    assert [(fact[1], fact[2] or 0) for fact in facts] == [(len(t), cut) for t, cut in map(theirs.process, lines)]
    assert all(fact[3] or fact[2] is None for fact in facts)
