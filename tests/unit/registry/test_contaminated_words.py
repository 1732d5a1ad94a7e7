"""A contaminated case stays so however it is written; so does what nearly asks it, or a row that was built of it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader, normalize
from gate.cases import similarity as nearness
from gate.registry import contaminated
from gate.types import Contract
from tests.unit.repair.test_build import MODEL, TOOLS, a_case, a_report, asked, call, project, repair, rows

TYPO = [json.loads(json.dumps(tool).replace('"terminal"', '"terminal", "description": "x"')) for tool in TOOLS]
TEXT = "Tell me what git thinks of this folder."
RESULT = [
    {"role": "user", "content": TEXT},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "1", "function": call("terminal")}]},
    {"role": "tool", "content": "clean", "tool_call_id": "1"},
]


def contract(folder: Path, *given: dict[str, Any]) -> Contract:
    """What counts of these cases, asked after those of the repair were contaminated."""
    (folder / "fixtures/cases/new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    file = loader.load("new.jsonl", folder / "fixtures")
    empty = Contract("t", "new.jsonl", file.digest, tuple(case.id for case in file.cases), 1.0)
    return contaminated.without(empty, file, contaminated.recorded(folder / "registry"))


@pytest.fixture
def repaired(tmp_path: Path) -> Path:
    a_report(project(tmp_path), MODEL)
    assert repair(tmp_path) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("text", "more", "counts"),
    [
        (TEXT, {}, False),
        (TEXT + " ", {}, False),
        (TEXT.replace("e", "е"), {}, False),
        (TEXT, {"tools": TYPO}, False),
        (TEXT, {"tools": TOOLS[:1]}, False),
        (TEXT.replace("folder", "folders"), {}, False),
        (f"Hello! I have a wish: {TEXT} Many thanks for it, as ever.", {}, False),
        (TEXT, {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": TEXT}]}, False),
        (TEXT, {"messages": RESULT}, True),
        ("Which branches are there, and which is mine?", {}, True),
    ],
)
def test_a_case_counts_only_if_it_asks_something_else(
    repaired: Path, text: str, more: dict[str, Any], counts: bool
) -> None:
    row = a_case("new", text, [call("terminal", command="git status")]) | more
    assert contract(repaired, row).contaminated == (() if counts else ("new",))


def test_what_nearly_asks_a_burned_case_or_a_row_of_it_replaces_nothing(repaired: Path) -> None:
    old = a_case("status", TEXT, [call("terminal", command="git status")])
    row = next(asked(row) for row in rows(repaired) if row["category"] == "terminal")
    for text, replaced in ((TEXT + "!", ()), (row, ()), ("Is there anything to commit here?", ("status",))):
        found = contract(repaired, old, a_case("new", text, [], replaces="status"))
        assert found.replaced == replaced, text
        assert ("new" in found.contaminated) is not bool(replaced)


def test_lines_without_words_are_read(tmp_path: Path) -> None:
    file = loader.load("a.jsonl", project(tmp_path) / "fixtures")
    contaminated.record(tmp_path / "registry", {loader.marks(file.cases[0])[1]: "status"}, {"repair": "r"})
    known = contaminated.recorded(tmp_path / "registry")
    assert contaminated.among(file.cases, known) == {0: "status"}


def test_new_rows_of_a_burned_case_are_recorded_too(repaired: Path) -> None:
    before = set(contaminated.recorded(repaired / "registry"))
    assert repair(repaired, "--seed", "5", out="again") == 0
    assert before < set(contaminated.recorded(repaired / "registry"))
    assert len((repaired / "registry/contaminated.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pwd", "ＰＷＤ"),
        ("pwd", "p\u00adw\u200bd\ufe0f"),
        ("pwd", "рԝԁ"),
        ("pwd", "🅿🆆🅳"),
        ("résumé", "resume"),
        ("route 42", "route ④②"),
        ("a b", "a🙂b"),
        ("вода", "ВОДА"),
    ],
)
def test_plain_texts_are_the_same_however_they_are_written(one: str, other: str) -> None:
    assert normalize.appearance(one) == normalize.appearance(other)


@pytest.mark.parametrize(("one", "other"), [("3 + 4", "3 - 4"), ("हिन्दी", "हनद"), ("か", "が"), ("🙂", "🙃")])
def test_plain_texts_that_say_something_else_differ(one: str, other: str) -> None:
    assert normalize.appearance(one) != normalize.appearance(other)


def test_every_pair_that_is_alike_is_found() -> None:
    """Against the plain definition: all pairs."""
    drawn = random.Random(0)
    words = ["amber", "basin", "cedar", "delta", "ember", "ab", ""]
    texts = ["".join(drawn.choices(words, k=drawn.randint(0, 8))) for _ in range(160)]
    sets = [{t.ljust(5, "\0")[n : n + 5] for n in range(max(1, len(t) - 4))} for t in texts]
    wanted = {
        (one, other)
        for one in range(80, 160)
        for other in range(80)
        if len(sets[one] & sets[other]) >= 0.7 * len(sets[other]) - 1e-9
    }
    found = {(one + 80, other): (j, share) for one, other, j, share in nearness.Index(texts[:80]).pairs(texts[80:])}
    assert set(found) == wanted
    for (one, other), (similarity, share) in found.items():
        both = len(sets[one] & sets[other])
        assert similarity == pytest.approx(both / len(sets[one] | sets[other]))
        assert share == pytest.approx(both / len(sets[other]))


@pytest.mark.parametrize("text", ["{}", "Please show me line {} of the file in the folder {} of the editor"])
def test_many_cases_against_many_burned_take_seconds(text: str) -> None:
    drawn = random.Random(0)
    words = [f"w{n}" for n in range(3000)]
    texts = [text.format(*(" ".join(drawn.choices(words, k=5)) for _ in "xy")) for _ in range(11_000)]
    index = [normalize.unspaced(normalize.appearance(each)) for each in texts]
    started = time.process_time()
    list(nearness.Index(index[:1000]).pairs(index[1000:]))
    assert time.process_time() - started < 6
