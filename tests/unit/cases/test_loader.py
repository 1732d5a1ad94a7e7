"""Case files: strict, with file:line in every error, and a digest over what is asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader
from gate.errors import CaseError
from gate.system import jsonl
from tests.project import TOOL, a_case

HALF = a_case("half", tools=[], calls=[], messages=[{"role": "user", "content": "größe \ud83d"}])


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    (tmp_path / "cases").mkdir()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/tools.json").write_text(json.dumps([TOOL]))
    return tmp_path


def load(fixtures: Path, *rows: Any) -> loader.CaseFile:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (fixtures / "cases/x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return loader.load("x.jsonl", fixtures)


def test_a_line_becomes_a_case_with_its_tools_resolved(fixtures: Path) -> None:
    (case,) = load(fixtures, a_case("pwd", tags=["terminal"], source="mine", max_tokens=64)).cases
    assert (case.id, case.split, case.tags, case.source, case.max_tokens) == ("pwd", "dev", ("terminal",), "mine", 64)
    assert case.tools == [TOOL]
    assert case.calls == [{"name": "terminal", "arguments": {"command": "pwd"}}]


def test_tools_may_stand_in_the_case_or_be_absent(fixtures: Path) -> None:
    with_none = a_case("a", calls=[])
    del with_none["tools"]
    first, second = load(fixtures, a_case("b", tools=[TOOL]), with_none).cases
    assert first.tools == [TOOL]
    assert second.tools == []


def test_a_byte_order_mark_empty_lines_and_windows_line_ends_are_no_problem(fixtures: Path) -> None:
    row = json.dumps(a_case("pwd"))
    (fixtures / "cases/x.jsonl").write_bytes(b"\xef\xbb\xbf" + row.encode() + b"\r\n\r\n")
    assert len(loader.load("x.jsonl", fixtures).cases) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "x.jsonl:2: not JSON"),
        ('{"id": NaN}', "NaN"),
        ('{"id": "a", "id": "b"}', "key 'id' stands twice"),
        ("[" * 100_000, "not JSON"),
        ("[]", "case: "),
        (a_case("pwd"), "id 'pwd' stands twice"),
        (a_case("a b"), "case.id"),
        (a_case("a", messages=[]), "case.messages"),
        (a_case("a", messages=[{"role": "robot", "content": "x"}]), "role"),
        (a_case("a", messages=[{"role": "user", "content": "x", "mood": "good"}]), "mood"),
        (a_case("a", split="test"), "case.split"),
        (a_case("a", max_tokens=0), "case.max_tokens"),
        (a_case("a", expect={}), "case.expect"),
        (a_case("a", expect={"calls": [], "order": "fast"}), "order"),
        (a_case("a", tools="../tools"), "tools"),
        (a_case("a", tools="gone"), "known: tools"),
        (a_case("a", tools=[{"name": "flat"}]), r"tools\[0\]: expected .*, found"),
        (a_case("a", tools=[TOOL, TOOL]), r"tools\[1\]: expected .* each name once"),
        (
            a_case("a", tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": 7}}}]),
            r"tools\[0\]\.function\.parameters: invalid schema at \$\.type",
        ),
        (a_case("a", calls=[{"name": "terminal", "arguments": {"cmd": "x"}}]), "cmd"),
        (a_case("a", calls=[{"name": "nothing", "arguments": {}}]), "nothing"),
    ],
)
def test_a_bad_line_is_named(fixtures: Path, row: Any, message: str) -> None:
    with pytest.raises(CaseError, match=message) as raised:
        load(fixtures, a_case("pwd"), row)
    assert "x.jsonl:2" in str(raised.value)


def test_one_row_is_parsed_without_a_file_and_its_errors_name_none(fixtures: Path) -> None:
    (case,) = load(fixtures, a_case("pwd")).cases
    (fixtures / "cases/x.jsonl").unlink()
    parsed = loader.parse(a_case("pwd"), fixtures)
    assert (parsed.id, parsed.messages, parsed.tools, parsed.calls) == (case.id, case.messages, case.tools, case.calls)
    assert loader.marks(parsed) == loader.marks(case)
    for row, why in (([], "case: "), (a_case("a b"), "case.id: "), (a_case("a", tools="gone"), "tools 'gone': ")):
        with pytest.raises(CaseError) as raised:
            loader.parse(row, fixtures)
        assert str(raised.value).startswith(why)


def test_a_file_without_a_case_is_refused(fixtures: Path) -> None:
    with pytest.raises(CaseError, match="holds no case"):
        load(fixtures, "")


def test_a_missing_file_and_one_outside_are_refused(fixtures: Path) -> None:
    with pytest.raises(CaseError, match="there is no"):
        loader.load("gone.jsonl", fixtures)
    with pytest.raises(CaseError, match="must lie under"):
        loader.load("../tools/tools.json", fixtures)


def test_bytes_that_are_no_text_are_refused(fixtures: Path) -> None:
    (fixtures / "cases/x.jsonl").write_bytes(b'{"id": "\xff"}')
    with pytest.raises(CaseError, match="not UTF-8"):
        loader.load("x.jsonl", fixtures)


def test_the_digest_is_over_what_is_asked_and_expected(fixtures: Path) -> None:
    plain = load(fixtures, a_case("pwd")).digest
    assert load(fixtures, a_case("pwd", source="elsewhere", tags=["x"])).digest == plain
    different = [
        a_case("ls"),
        a_case("pwd", max_tokens=7),
        a_case("pwd", split="held-out"),
        a_case("pwd", tools=[TOOL | {"function": TOOL["function"] | {"description": "Other."}}]),
        a_case("pwd", expect={"calls": []}),
    ]
    assert len({plain, *[load(fixtures, row).digest for row in different]}) == 6


def test_digests_and_marks_are_those_of_canonical_json(fixtures: Path) -> None:
    """Ledgers and reports hold them: another way to reckon them must give the same."""
    file = load(fixtures, a_case("pwd", tools=[TOOL]), a_case("ls", max_tokens=7), HALF)
    found = file.cases

    def sha256(value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    asked = [[c.id, c.messages, c.tools, c.expect, c.split, c.max_tokens] for c in found]
    assert file.digest == sha256(asked)
    marks = [(sha256([row])[:16], sha256([c.messages, c.tools])[:16]) for row, c in zip(asked, found, strict=True)]
    assert list(file.marks) == loader.all_marks(found) == [loader.marks(case) for case in found] == marks


def test_a_tools_file_that_changes_is_read_again(fixtures: Path) -> None:
    before = load(fixtures, a_case("pwd")).digest
    other = TOOL | {"function": TOOL["function"] | {"description": "Other words of another length."}}
    (fixtures / "tools/tools.json").write_text(json.dumps([other]))
    assert load(fixtures, a_case("pwd")).digest != before


def test_writing_whole_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    jsonl.write_whole(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jsonl.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        jsonl.write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_named_system_prompt_stands_in_front_and_its_suffix_behind(fixtures: Path) -> None:
    (fixtures / "systems").mkdir()
    (fixtures / "systems/router.txt").write_text("Answer in JSON.\n", encoding="utf-8")
    row = a_case("pwd") | {"system": "router", "system_suffix": "Mood: calm."}
    case = load(fixtures, row).cases[0]
    assert case.messages[0] == {"role": "system", "content": "Answer in JSON.\n\nMood: calm."}
    assert case.messages[1:] == a_case("pwd")["messages"]
    before = load(fixtures, row).digest
    (fixtures / "systems/router.txt").write_text("Answer in XML.\n", encoding="utf-8")
    assert load(fixtures, row).digest != before


def test_a_suffix_follows_the_systems_own_message_or_stands_alone(fixtures: Path) -> None:
    own = [{"role": "system", "content": "Be brief."}, *a_case("pwd")["messages"]]
    case = load(fixtures, a_case("pwd") | {"messages": own, "system_suffix": "Mood: calm."}).cases[0]
    assert case.messages[0]["content"] == "Be brief.\n\nMood: calm."
    assert len(case.messages) == len(own)
    alone = load(fixtures, a_case("pwd") | {"system_suffix": "Mood: calm."}).cases[0]
    assert alone.messages[0] == {"role": "system", "content": "Mood: calm."}


def test_two_system_prompts_or_one_that_is_not_there_are_refused(fixtures: Path) -> None:
    own = [{"role": "system", "content": "Be brief."}, *a_case("pwd")["messages"]]
    with pytest.raises(CaseError, match=r"system 'none': .*cannot be read"):
        load(fixtures, a_case("pwd") | {"system": "none"})
    (fixtures / "systems").mkdir()
    (fixtures / "systems/router.txt").write_text("x", encoding="utf-8")
    with pytest.raises(CaseError, match="keep one"):
        load(fixtures, a_case("pwd") | {"messages": own, "system": "router"})
