"""xLAM's rows and OpenAI's chat rows become cases, and whatever a file holds, nothing crashes."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate.authoring.importers import openai_chat, xlam
from gate.authoring.importers.result import Refused
from gate.cases import expected, loader
from gate.cli import import_
from gate.errors import CaseError, GateError
from gate.types import Json

ADD = {
    "name": "add",
    "description": "Add",
    "parameters": {"a": {"type": "int"}, "b": {"type": "int, optional", "default": 1}},
}
SEEK = {"name": "seek", "description": "Seek", "parameters": {"what": {"type": "str"}}}

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {}}}}}
CHOICES = {"a": {"enum": [1, 2]}, "b": {"type": "string", "default": "x"}}
CHOOSE = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": CHOICES, "required": ["a"]}},
}


def an_xlam(query: str = "Add 1.", **changed: Any) -> Json:
    return {"query": query, "tools": [ADD], "answers": [{"name": "add", "arguments": {"a": 1}}], **changed}


def a_chat(*last: Json, tools: list[Json] | None = None, asked: str = "Hi?") -> Json:
    row: Json = {"messages": [{"role": "user", "content": asked}, *last]}
    return row | ({"tools": tools} if tools is not None else {})


def words(text: str, **more: Any) -> Json:
    return {"role": "assistant", "content": text, **more}


def called(arguments: Any, name: str = "add") -> Json:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def written(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def gate_import(*arguments: object) -> int:
    """Run `gate import …` as the command `gate` does."""
    parser = argparse.ArgumentParser()
    import_.add_parsers(parser.add_subparsers())
    asked = parser.parse_args(["import", *map(str, arguments)])
    try:
        return int(asked.run(asked))
    except GateError as error:
        print(error)
        return error.status


def imported(folder: Path, form: str, *rows: Any, more: tuple[str, ...] = ()) -> list[Json]:
    """Every case that was written, whichever file it is in."""
    gate_import(form, written(folder, *rows), "--fixtures", folder / "fixtures", *more)
    files = sorted((folder / "fixtures/cases" / form).glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def one(form: str, row: Any, tmp_path: Path) -> Json | Refused:
    module = {"xlam": xlam, "openai": openai_chat}[form]
    found = [each for _, each in import_.checked(module.read(written(tmp_path, row)), split="dev")]
    assert len(found) == 1
    return found[0]


def refused(form: str, row: Any, tmp_path: Path) -> str:
    found = one(form, row, tmp_path)
    assert isinstance(found, Refused)
    assert found.where.startswith((f"{tmp_path}/rows.jsonl:1", "rows.jsonl:1"))
    return f"{found.why}: {found.detail}"


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "schema"),
        [
            ("str", {"type": "string"}),
            ("str, optional", {"type": "string"}),
            ("float", {"type": "number"}),
            ("bool", {"type": "boolean"}),
            ("dict", {"type": "object"}),
            ("Dict", {"type": "object"}),
            ("Dict[str, Any]", {"type": "object"}),
            ("Dict[str, int], optional", {"type": "object", "additionalProperties": {"type": "integer"}}),
            ("List[int]", {"type": "array", "items": {"type": "integer"}}),
            ("list", {"type": "array"}),
            ("set", {"type": "array"}),
            ("Set[str]", {"type": "array", "items": {"type": "string"}}),
            (
                "List[List[float]]",
                {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
            ),
            (
                "List[Dict[str, int]]",
                {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "integer"}}},
            ),
            ("List[Tuple[int, int]]", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
            ("Tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
            ("Tuple[int, str]", {"type": "array", "items": {"type": ["integer", "string"]}}),
            ("Optional[str]", {"type": "string"}),
            ("Optional[List[str]], optional", {"type": "array", "items": {"type": "string"}}),
            ("Union[int, float]", {"type": ["integer", "number"]}),
            (
                "Union[int, List[int]]",
                {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
            ),
            ("int | None", {"type": "integer"}),
            ("typing.List[str]", {"type": "array", "items": {"type": "string"}}),
            ("Callable[[float], float]", {"type": "string"}),
            ("Callable", {"type": "string"}),
            ("Any", {}),
            ("List[Any]", {"type": "array"}),
            ("", {}),
            ("Frobnicator", {}),
            ("List[int", {}),
            ("]]][[[", {}),
            ("List[" * 500 + "]" * 500, {}),
        ],
    )
    def test_python_names_become_json_schema(self, name: str, schema: Json) -> None:
        assert xlam.schema_of(name) == schema

    @given(st.text(alphabet="Listnt[](),|. Dcr", max_size=60))
    def test_whatever_the_name_there_is_a_schema(self, name: str) -> None:
        tool = xlam.tool({"name": "f", "parameters": {"x": {"type": name}}})
        assert openai_chat.tool(tool)["function"]["parameters"]["properties"].keys() == {"x"}

    @pytest.mark.parametrize(
        ("kind", "default", "kept"),
        [
            ("int", 3, 3),
            ("int", "3", 3),
            ("bool", "True", True),
            ("str", "3", "3"),
            ("List[int]", "[1, 2]", [1, 2]),
            ("int", "many", None),
            ("int", "", None),
            ("int", None, None),
        ],
    )
    def test_a_default_has_its_parameters_type_or_is_left_out(self, kind: str, default: Any, kept: Any) -> None:
        made = xlam.tool({"name": "f", "parameters": {"x": {"type": kind, "default": default}}})
        assert made["function"]["parameters"]["properties"]["x"].get("default") == kept

    def test_a_parameter_is_required_unless_its_row_says_otherwise(self) -> None:
        parameters = {"a": {"type": "int"}, "b": {"type": "int, optional"}, "c": {"type": "Optional[int]"},
                      "d": {"type": "int", "default": ""}}  # fmt: skip
        assert xlam.tool({"name": "f", "parameters": parameters})["function"]["parameters"]["required"] == ["a"]

    def test_a_json_schema_stays(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": []}
        assert xlam.tool({"name": "f", "parameters": schema})["function"]["parameters"] is schema


class TestXlam:
    def test_lists_and_json_texts_are_the_same(self, tmp_path: Path) -> None:
        row = an_xlam()
        texts = row | {key: json.dumps(row[key]) for key in ("tools", "answers")}
        assert one("xlam", row, tmp_path) == one("xlam", texts, tmp_path)

    def test_the_case_asks_the_query_and_expects_the_answers(self, tmp_path: Path) -> None:
        found = one("xlam", an_xlam(id=7), tmp_path)
        assert isinstance(found, dict)
        assert found["id"] == "xlam-7"
        assert found["messages"] == [{"role": "user", "content": "Add 1."}]
        assert found["expect"] == {"calls": [{"name": "add", "arguments": {"a": 1}}]}
        assert found["source"] == "rows.jsonl:1"

    @pytest.mark.parametrize(
        ("tools", "answers", "category"),
        [
            ([ADD], 1, "simple"),
            ([ADD, SEEK], 1, "multiple"),
            ([ADD], 2, "parallel"),
            ([ADD, SEEK], 2, "parallel_multiple"),
            ([ADD], 0, "no_call"),
        ],
    )
    def test_the_category_is_bfcls(self, tools: list[Json], answers: int, category: str, tmp_path: Path) -> None:
        calls = [{"name": "add", "arguments": {"a": n}} for n in range(answers)]
        found = one("xlam", an_xlam(tools=tools, answers=calls), tmp_path)
        assert isinstance(found, dict)
        assert found["tags"] == [category]
        assert found["expect"] == {"calls": calls}

    def test_an_argument_with_dollar_keys_is_expected_literally(self, tmp_path: Path) -> None:
        parameters = {"q": {"type": "dict"}}
        query = {"price": {"$gt": 5}}
        row = an_xlam(
            tools=[{"name": "find", "parameters": parameters}],
            answers=[{"name": "find", "arguments": {"q": query}}],
        )
        found = one("xlam", row, tmp_path)
        assert isinstance(found, dict)
        assert not expected.compare(found["expect"], [{"name": "find", "arguments": {"q": query}}], found["tools"])
        other = [{"name": "find", "arguments": {"q": {"price": {"$gt": 6}}}}]
        assert expected.compare(found["expect"], other, found["tools"])

    @pytest.mark.parametrize("indent", [None, 1])
    def test_an_array_is_read_row_by_row(self, indent: int | None, tmp_path: Path) -> None:
        rows = [an_xlam(f'Add {n}, [or "{{,]\\ not.', id=n) for n in range(3)]
        path = tmp_path / "rows.json"
        path.write_text(" " + json.dumps(rows, indent=indent) + "\n")
        found = list(xlam.read(path))
        assert [row["id"] for _, row in found if isinstance(row, dict)] == ["xlam-0", "xlam-1", "xlam-2"]
        lines = path.read_text().split("\n")
        begun = [1 + n for n, line in enumerate(lines) if line.startswith(" {")] if indent else [1, 1, 1]
        places = [f"rows.json:{line} row {n}" for n, line in enumerate(begun, start=1)]
        assert [row["source"] for _, row in found if isinstance(row, dict)] == places

    def test_a_bad_row_of_an_array_is_refused_with_its_line_and_the_others_are_taken(self, tmp_path: Path) -> None:
        rows = [json.dumps(an_xlam("One?")), '{"query": NaN}', "[" * 3000 + "]" * 3000, json.dumps(an_xlam("Two?"))]
        path = tmp_path / "rows.json"
        path.write_text("[\n" + ",\n".join(rows) + "\n]")
        found = [row for _, row in xlam.read(path)]
        assert [isinstance(row, Refused) for row in found] == [False, True, True, False]
        assert isinstance(found[1], Refused)
        assert found[1].where == f"{path}:3 row 2"
        assert found[1].why == "not JSON"

    @pytest.mark.parametrize("text", ["[", "[1", '["', '["' + '\\"' * 200_000, "[1] [2]", "[}", "[]\n{}", "[,]"])
    def test_a_broken_array_gives_no_case(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "rows.json"
        path.write_text(text)
        found = [row for _, row in xlam.read(path)]
        assert found
        assert all(isinstance(row, Refused) for row in found)

    def test_an_empty_array_holds_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.json"
        path.write_text("[ ]")
        assert list(xlam.read(path)) == []


class TestChat:
    @pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}])
    def test_arguments_are_texts_or_objects(self, arguments: Any, tmp_path: Path) -> None:
        found = one("openai", a_chat(called(arguments), tools=[TOOL]), tmp_path)
        assert isinstance(found, dict)
        assert found["expect"] == {"calls": [{"name": "add", "arguments": {"a": 1}}]}

    def test_what_stands_before_the_last_turn_is_asked(self, tmp_path: Path) -> None:
        result = {"role": "tool", "tool_call_id": "c1", "content": "2"}
        row = a_chat(called('{"a": 1}'), result, words("It is 2, as you can see.", weight=1), tools=[TOOL])
        found = one("openai", row, tmp_path)
        assert isinstance(found, dict)
        assert [turn["role"] for turn in found["messages"]] == ["user", "assistant", "tool"]
        assert found["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
        assert found["messages"][2]["tool_call_id"] == "c1"
        assert found["expect"] == {"calls": []}

    def test_functions_and_function_call_are_read_as_tools(self, tmp_path: Path) -> None:
        row = a_chat(
            {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 1}'}},
            {"role": "function", "name": "add", "content": "2"},
            {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 2}'}},
        )
        found = one("openai", row | {"functions": [TOOL["function"]]}, tmp_path)
        assert isinstance(found, dict)
        assert found["messages"][2]["role"] == "tool"
        assert found["messages"][2]["tool_call_id"] == found["messages"][1]["tool_calls"][0]["id"]
        assert found["expect"] == {"calls": [{"name": "add", "arguments": {"a": 2}}]}

    @pytest.mark.parametrize(
        ("answer", "hit"),
        [("positive", True), ("Positive.", True), (' "positive"\n', True), ("not positive", False), ("", False)],
    )
    def test_a_label_is_the_whole_answer_where_no_tool_is_offered(self, answer: str, hit: bool, tmp_path: Path) -> None:
        found = one("openai", a_chat(words("Positive")), tmp_path)
        assert isinstance(found, dict)
        assert (expected.ExpectedAnswer("x", found["expect"]) == answer) is hit
        assert found["expect"]["calls"] == []

    def test_words_are_not_judged_where_tools_are_offered(self, tmp_path: Path) -> None:
        found = one("openai", a_chat(words("Yes."), tools=[TOOL]), tmp_path)
        assert isinstance(found, dict)
        assert found["expect"] == {"calls": []}

    def test_parts_of_text_are_joined(self, tmp_path: Path) -> None:
        parts = [{"type": "text", "text": "Is it "}, {"type": "text", "text": "so?"}]
        found = one("openai", {"messages": [{"role": "user", "content": parts}, words("Yes")]}, tmp_path)
        assert isinstance(found, dict)
        assert found["messages"] == [{"role": "user", "content": "Is it so?"}]

    @pytest.mark.parametrize(
        ("row", "why"),
        [
            (a_chat(words("It all depends on what you mean.")), "free words where no tool is offered"),
            (a_chat(words("", tool_calls=None)), "the last assistant turn is empty"),
            (a_chat(words("...")), "free words"),
            (a_chat(words("Yes", weight=0)), "not to be learnt"),
            (a_chat(), "no assistant turn"),
            ({"messages": [words("Hello")]}, "no assistant turn"),
            ({"messages": []}, "a row without messages"),
            ({"input": {}, "preferred_output": []}, "a row without messages"),
            (a_chat({"role": "robot", "content": "x"}), "a message of no role"),
            (a_chat("x"), "a message of no role"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, words("x")]}, "more than text"),
            ({"messages": [{"role": "user", "content": 5}, words("x")]}, "more than text"),
            (a_chat({"role": "function", "name": "f", "content": "1"}, words("x")), "that was not called"),
            (a_chat(called("{")), "arguments are no JSON"),
            (a_chat(called("[1]")), "arguments are no object"),
            (a_chat(called('{"a":' * 60 + "1" + "}" * 60), words("x")), "arguments are no value that can be compared"),
            (a_chat(called('{"a": NaN}')), "arguments are no JSON"),
            (a_chat(called([])), "arguments are no object"),
            (a_chat(called("{}")), "its tools do not allow the expected call"),
            (a_chat(called("{}"), tools=[{"type": "custom", "custom": {}}]), "a tool that is not a function"),
            (a_chat(words("x"), tools=[{"type": "function", "function": {"name": "a b"}}]), "the OpenAI API refuses"),
            (a_chat(words("x"), tools=[{"type": "function", "function": {"name": "a\x1b"}}]), "the OpenAI API refuses"),
            (a_chat(words("x"), tools=[{"type": "function", "function": {"name": "a\n"}}]), "the OpenAI API refuses"),
            (a_chat(words("x"), tools=[TOOL, TOOL]), "two tools have the same name"),
            (a_chat(words("x"), tools=["x"]), "tools must be a list of objects"),
            (a_chat(words("x", tool_calls={"a": 1})), "tool_calls must be a list of objects"),
        ],
    )
    def test_a_row_that_cannot_be_a_case_is_refused_with_its_reason(self, row: Any, why: str, tmp_path: Path) -> None:
        assert why in refused("openai", row, tmp_path)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


ODD = [
    "not json",
    "{",
    "NaN",
    "null",
    "[5]",
    "5",
    '"text"',
    "{}",
    '{"a": 1, "a": 2}',
    "[" * 100_000,
    '{"a":' * 3000 + "1" + "}" * 3000,
    "9" * 5000,
    '{"query": 1e999}',
    "\x00\x1b[31m",
    "x" * 10_000_000,
    json.dumps({"query": "x" * 10_000_000}),
    an_xlam(query=5),
    an_xlam(query=""),
    an_xlam("half \ud800 a pair"),
    an_xlam(tools="["),
    an_xlam(tools=5),
    an_xlam(tools=[5]),
    an_xlam(tools=[{}]),
    an_xlam(tools=[{"name": "add", "parameters": 5}]),
    an_xlam(tools=[{"name": "add", "parameters": {"a": {"type": "int"}}, "description": 5}]),
    an_xlam(tools=[{"name": "a\x1b[31mb", "parameters": {}}]),
    an_xlam(tools=[{"name": "x" * 65, "parameters": {}}]),
    an_xlam(tools=[{"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "strin"}}}}]),
    an_xlam(tools=[]),
    an_xlam(answers=None),
    an_xlam(answers='[{"name": "add"'),
    an_xlam(answers=[{"name": 5}]),
    an_xlam(answers=[{"name": "add", "arguments": "{}"}]),
    an_xlam(answers=[{"name": "add", "arguments": {"a": "one"}}]),
    an_xlam(answers=[{"name": "add", "arguments": {}}]),
    an_xlam(answers=[{"name": "add", "arguments": {"a": 1, "zz": 1}}]),
    an_xlam(answers=[{"name": "sub", "arguments": {"a": 1}}]),
    an_xlam(answers=[{"name": "add", "arguments": {"a": nested(60)}}]),
    an_xlam(answers=json.dumps([{"name": "add", "arguments": nested(60)}])),
    an_xlam(answers=[{"name": "add", "arguments": {"a": 1}}] * 101),
]


@pytest.mark.parametrize("form", ["xlam", "openai"])
@pytest.mark.parametrize("row", ODD, ids=range(len(ODD)))
def test_an_odd_row_is_refused_with_its_line(form: str, row: Any, tmp_path: Path) -> None:
    assert refused(form, row, tmp_path)


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xff\xfe\n" + json.dumps(an_xlam()).encode())
    found = [row for _, row in xlam.read(path)]
    assert isinstance(found[0], Refused)
    assert found[0].why == "not UTF-8"
    assert isinstance(found[1], dict)
    path.write_bytes(b'["\xff", ' + json.dumps(an_xlam()).encode() + b"]")
    found = [row for _, row in xlam.read(path)]
    assert isinstance(found[0], Refused)
    assert found[0].why == "not UTF-8"
    assert isinstance(found[1], dict)


@pytest.mark.parametrize("row", [json.dumps(an_xlam()), json.dumps([an_xlam()])])
def test_a_byte_order_mark_is_passed_over(row: str, tmp_path: Path) -> None:
    assert isinstance(one("xlam", "\ufeff" + row, tmp_path), dict)


def test_a_row_that_is_too_long_is_not_even_parsed(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(an_xlam()) + " " * 10_000_000, an_xlam("Two?"))
    found = [row for _, row in xlam.read(path)]
    assert isinstance(found[0], Refused)
    assert "longer than" in found[0].why
    assert isinstance(found[1], dict)
    assert found[1]["source"] == "rows.jsonl:2"


def test_paths_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "\x1b[31m##[error]"
    folder.mkdir()
    gate_import("xlam", written(folder, "nonsense", an_xlam()), "--fixtures", folder)
    out = capsys.readouterr().out
    assert "wrote" in out
    assert "\x1b" not in out
    assert "##[" not in out


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def rows_of(shape: Json) -> st.SearchStrategy[Any]:
    """A good row in which some keys hold anything."""
    return st.fixed_dictionaries({key: st.just(value) | JSON for key, value in shape.items()})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows_of(an_xlam())
    | st.fixed_dictionaries({"query": st.just("a"), "tools": st.lists(rows_of(ADD)), "answers": st.lists(rows_of(
        {"name": "add", "arguments": {"a": 1}}))})
    | st.fixed_dictionaries({"messages": st.lists(rows_of({"role": "user", "content": "a"}) | rows_of(called("{}"))),
                             "tools": JSON})
)  # fmt: skip
def test_whatever_a_row_holds_it_is_a_case_that_loads_or_refused(tmp_path: Path, row: Any) -> None:
    for form in ("xlam", "openai"):
        found = one(form, row, tmp_path)
        if isinstance(found, dict):
            fixtures = tmp_path / "loaded"
            (fixtures / "cases").mkdir(parents=True, exist_ok=True)
            (fixtures / "cases/x.jsonl").write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
            assert loader.load("x.jsonl", fixtures).cases


class TestCommand:
    def test_what_is_written_is_loaded_as_it_was_taken(self, tmp_path: Path) -> None:
        path = written(tmp_path, *[an_xlam(f"Add {n}.") for n in range(8)])
        assert gate_import("xlam", path, "--fixtures", tmp_path) == 0
        loaded = loader.load("xlam/simple.jsonl", tmp_path).cases
        assert [case.messages[0]["content"] for case in loaded] == [f"Add {n}." for n in range(8)]

    def test_it_tells_categories_and_reasons_with_the_first_example(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = written(tmp_path, an_xlam(), "nonsense", "\x1b[31m{", an_xlam("Two?", answers=[]))
        assert gate_import("xlam", path, "--fixtures", tmp_path, "--split", "held-out") == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert [line.split() for line in out.splitlines()[2:6]] == [
            ["simple", "1", "1", "0"],
            ["no_call", "1", "1", "0"],
            ["(unread)", "0", "0", "2"],
            ["all", "2", "2", "2"],
        ]
        assert re.search(r"2 +not JSON", out)
        assert f"{path}:2" in out
        assert f"{path}:3" not in out
        assert f"wrote {tmp_path}/cases/xlam/simple.jsonl" in out

    def test_a_question_that_stands_twice_is_refused(self, tmp_path: Path) -> None:
        found = imported(tmp_path, "xlam", an_xlam(id=1), an_xlam(id=2), an_xlam(id=3, tools=[ADD, SEEK]))
        assert sorted(case["id"] for case in found) == ["xlam-1", "xlam-3"]

    def test_an_id_that_stands_twice_is_refused(self, tmp_path: Path) -> None:
        assert len(imported(tmp_path, "xlam", an_xlam("One?", id=1), an_xlam("Two?", id=1))) == 1

    def test_a_case_keeps_its_id_and_its_side_wherever_it_stands(self, tmp_path: Path) -> None:
        rows = [an_xlam(f"Add {n}.") for n in range(40)]
        first, other = tmp_path / "first", tmp_path / "other"
        first.mkdir()
        other.mkdir()
        before = {
            case["messages"][0]["content"]: (case["id"], case["split"]) for case in imported(first, "xlam", *rows)
        }
        after = {
            case["messages"][0]["content"]: (case["id"], case["split"])
            for case in imported(other, "xlam", an_xlam("A new one?"), *reversed(rows))
        }
        assert {key: after[key] for key in before} == before
        assert 8 <= sum(split == "held-out" for _, split in before.values()) <= 32

    def test_the_same_words_are_on_one_side_with_any_tools(self, tmp_path: Path) -> None:
        rows = [an_xlam(f"Add {n}.", tools=tools) for n in range(10) for tools in ([ADD], [ADD, SEEK])]
        sides: dict[str, set[str]] = {}
        for case in imported(tmp_path, "xlam", *rows):
            sides.setdefault(case["messages"][0]["content"], set()).add(case["split"])
        assert all(len(each) == 1 for each in sides.values())
        assert len(sides) == 10

    @pytest.mark.parametrize("split", ["dev", "held-out"])
    def test_a_split_can_be_named(self, split: str, tmp_path: Path) -> None:
        found = imported(tmp_path, "xlam", *[an_xlam(f"{n}?") for n in range(6)], more=("--split", split))
        assert {case["split"] for case in found} == {split}

    def test_a_file_that_is_there_stays_unless_forced(self, tmp_path: Path) -> None:
        target = tmp_path / "cases/xlam/simple.jsonl"
        target.parent.mkdir(parents=True)
        target.write_text("mine")
        rows = written(tmp_path, an_xlam(), an_xlam(answers=[]))
        assert gate_import("xlam", rows, "--fixtures", tmp_path) == 4
        assert target.read_text() == "mine"
        assert list(target.parent.iterdir()) == [target]
        assert gate_import("xlam", rows, "--fixtures", tmp_path, "--force") == 0
        assert target.read_text() != "mine"

    def test_nothing_taken_writes_nothing_and_ends_with_1(self, tmp_path: Path) -> None:
        assert gate_import("xlam", written(tmp_path, "nonsense"), "--fixtures", tmp_path / "f") == 1
        assert not (tmp_path / "f").exists()

    @pytest.mark.parametrize("form", ["xlam", "openai"])
    def test_no_file_is_bad_input(self, form: str, tmp_path: Path) -> None:
        assert gate_import(form, tmp_path / "absent", "--fixtures", tmp_path) == 4
        assert gate_import(form, tmp_path, "--fixtures", tmp_path) == 4

    @pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "a\x1b"])
    def test_a_name_that_leads_elsewhere_is_bad_input(self, name: str, tmp_path: Path) -> None:
        rows = written(tmp_path, an_xlam())
        assert gate_import("xlam", rows, "--fixtures", tmp_path / "f", "-o", name) == 4
        assert not (tmp_path / "f").exists()

    def test_the_folder_can_be_named(self, tmp_path: Path) -> None:
        assert gate_import("xlam", written(tmp_path, an_xlam()), "--fixtures", tmp_path, "-o", "mine") == 0
        assert (tmp_path / "cases/mine/simple.jsonl").is_file()

    def test_a_folder_that_cannot_be_written_is_bad_input(self, tmp_path: Path) -> None:
        (tmp_path / "cases").write_text("a file")
        assert gate_import("xlam", written(tmp_path, an_xlam()), "--fixtures", tmp_path) == 4


class TestChecked:
    """What every format goes through: cases with matchers, as BFCL's, are tried with what they ask for."""

    def outcome(self, arguments: Any, **changed: Any) -> Json | Refused:
        made = {"messages": [{"role": "user", "content": "?"}], "tools": [CHOOSE]}
        case = {"id": "c-1", **made, "expect": {"calls": [{"name": "f", "arguments": arguments}]}, "source": "here"}
        return next(iter(import_.checked([("x", case | changed)], split="dev")))[1]

    @pytest.mark.parametrize(
        "arguments",
        [
            {"a": 1},
            {"a": {"$any": [7, 1]}},
            {"a": {"$number": 1}, "b": {"$optional": {"$any": ["y", "z"]}}},
            {"a": {"$anything": True}},
            {"a": {"$literal": 2}, "b": {"$text": "Y"}},
            {"$any": [{"a": 9}, {"a": 1}]},
            {"a": 1, "b": {"$regex": "[a-z]+"}},
        ],
    )
    def test_an_expectation_that_some_call_meets_is_taken(self, arguments: Any) -> None:
        assert isinstance(self.outcome(arguments), dict)

    @pytest.mark.parametrize("arguments", [{"a": {"$any": [7, 8]}}, {"a": {"$number": 7}}, {"a": {"$literal": 7}}])
    def test_an_expectation_that_its_own_call_misses_is_refused(self, arguments: Any) -> None:
        found = self.outcome(arguments)
        assert isinstance(found, Refused)
        assert found.why == "its own expected call would be a miss"
        assert found.where == "here"

    @pytest.mark.parametrize("changed", [{"id": "no id!"}, {"messages": []}, {"unknown": 1}, {"expect": {"calls": 5}}])
    def test_what_gate_would_not_load_is_refused(self, changed: Json) -> None:
        assert isinstance(self.outcome({"a": 1}, **changed), Refused)

    def test_a_refusal_passes_through(self) -> None:
        refusal = Refused("a:1", "why")
        assert list(import_.checked([("x", refusal)], split="dev")) == [("x", refusal)]


def test_an_unreadable_path_names_itself(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"absent\.jsonl: is not a file"):
        list(openai_chat.read(tmp_path / "absent.jsonl"))
