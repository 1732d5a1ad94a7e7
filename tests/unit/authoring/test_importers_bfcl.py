"""BFCL's rows become cases that take what BFCL's own checker takes.

Against the real data and the real checker only where the package is: install bfcl-eval, or name its wheel in GATE_BFCL.
GATE_BFCL_ROWS is how many rows of each category are compared (default 5; 0 for all).
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gate.authoring.importers.bfcl import files as bfcl_files
from gate.authoring.importers.bfcl import run
from gate.authoring.importers.result import Refused
from gate.cases import expected, loader
from gate.cli import import_
from gate.errors import CaseError
from gate.types import Json
from tests import bfcl_suite

FIXTURES = Path(__file__).parents[3] / "fixtures"
SUITE = FIXTURES / "cases" / "functions" / "bfcl.jsonl"

BOOK = {
    "name": "table.book",
    "description": "Books a table.",
    "parameters": {
        "type": "dict",
        "properties": {
            "place": {"type": "string", "description": "Where.", "enum": ["Café d'Or", "The Mill"]},
            "guests": {"type": "integer", "description": "How many."},
            "budget": {"type": "float", "description": "Each.", "default": 20.0, "maximum": 90},
            "outside": {"type": "boolean", "description": "In the open?", "default": None},
            "dishes": {"type": "array", "items": {"type": "string"}, "description": "What."},
            "spot": {"type": "tuple", "items": {"type": "float"}},
            "host": {
                "type": "dict",
                "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "town": {"type": "string"}},
            },
            "note": {"type": "any"},
        },
        "required": ["place", "guests", "note"],
    },
}
POSSIBLE = {
    "place": ["The Mill", "Mill St. 4"],
    "guests": [4],
    "budget": ["", 25, 27.5],
    "outside": ["", True],
    "dishes": ["", ["Soup", "Ice-cream"]],
    "spot": [[1.5, 2.0], ""],
    "host": ["", {"name": ["Jo Ann"], "age": [40, 41], "town": ["Rome", ""]}],
    "note": ["birthday", ""],
}
RIGHT = {"place": "The Mill", "guests": 4, "note": "birthday"}


def row(name: str, *functions: Json) -> Json:
    return {"id": name, "question": [[{"role": "user", "content": "Please."}]], "function": list(functions)}


def taken(*functions: Json, calls: list[Json], category: str = "simple_python") -> Json | Refused:
    """The one case of a row, or why there is none."""
    texts = {category: json.dumps(row("a_0", *functions))}
    texts[f"possible_answer/{category}"] = json.dumps({"id": "a_0", "ground_truth": calls})
    (found,) = run._taken(category, texts)
    return found


def case_of(possible: Json = POSSIBLE, function: Json = BOOK) -> Json:
    case = taken(function, calls=[{function["name"]: possible}])
    assert isinstance(case, dict), case
    return case


def hit(case: Json, *calls: Json) -> bool:
    return not expected.compare(case["expect"], list(calls), case["tools"])


def booked(**changes: Any) -> Json:
    arguments = {key: value for key, value in (RIGHT | changes).items() if value != "absent"}
    return {"name": "table_book", "arguments": arguments}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"place": "the mill"},
        {"place": " THE-MILL. "},
        {"place": "mill st 4"},
        {"note": ""},
        {"note": "--"},
        {"budget": 25},
        {"budget": 25.0},
        {"budget": 27.5},
        {"outside": True},
        {"dishes": ["soup", "ice cream"]},
        {"dishes": []},
        {"spot": [1.5, 2]},
        {"host": {"name": "joann", "age": 41, "town": "ROME"}},
        {"host": {"name": "Jo Ann", "age": 40}},
    ],
    ids=str,
)
def test_what_bfcl_takes_is_taken(changes: Json) -> None:
    assert hit(case_of(), booked(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"place": "The Mills"},
        {"place": "The\tMill"},
        {"place": '"The Mill"'},
        {"place": ""},
        {"guests": "4"},
        {"guests": 5},
        {"guests": "absent"},
        {"note": "absent"},
        {"budget": 20.0},
        {"budget": "25"},
        {"budget": None},
        {"outside": False},
        {"outside": 1},
        {"outside": None},
        {"dishes": ["Ice-cream", "Soup"]},
        {"dishes": ["Soup"]},
        {"dishes": "Soup"},
        {"spot": [1.5]},
        {"host": {"age": 40}},
        {"host": {"name": "Jo Ann", "age": 42}},
        {"host": {"name": "Jo Ann", "age": 40, "size": 3}},
        {"tip": 3},
    ],
    ids=str,
)
def test_what_bfcl_refuses_is_refused(changes: Json) -> None:
    assert not hit(case_of(), booked(**changes))


def test_one_call_too_few_or_too_many_is_a_miss() -> None:
    assert not hit(case_of())
    assert not hit(case_of(), booked(), booked())


def test_a_declared_default_does_not_stand_in_for_an_argument_that_must_be_given() -> None:
    assert not hit(case_of(POSSIBLE | {"budget": [20.0]}), booked())
    assert hit(case_of(POSSIBLE | {"budget": [20.0]}), booked(budget=20))


def test_parallel_calls_may_come_in_any_order() -> None:
    sing = {"name": "sing", "parameters": {"type": "dict", "properties": {"song": {"type": "string"}}, "required": []}}
    found = taken(BOOK, sing, calls=[{"table.book": POSSIBLE}, {"sing": {"song": ["Yes"]}}], category="parallel")
    assert isinstance(found, dict)
    assert hit(found, {"name": "sing", "arguments": {"song": "yes"}}, booked())
    assert not hit(found, booked(), booked())


def test_a_list_of_objects_is_checked_place_by_place() -> None:
    rows = {"type": "array", "items": {"type": "dict", "properties": {"x": {"type": "string"}}}}
    function = {"name": "f", "parameters": {"type": "dict", "properties": {"rows": rows}, "required": ["rows"]}}
    case = case_of({"rows": [[{"x": ["A.B", "C"]}, {"x": ["D", ""]}]]}, function)
    assert hit(case, {"name": "f", "arguments": {"rows": [{"x": "ab"}, {}]}})
    assert not hit(case, {"name": "f", "arguments": {"rows": [{}, {"x": "ab"}]}})


def test_a_value_of_another_type_than_declared_is_taken_where_bfcl_and_the_schema_do() -> None:
    numbers = {"n": {"type": "integer", "default": "dontcare"}}
    function = {"name": "f", "parameters": {"type": "dict", "properties": numbers, "required": []}}
    case = case_of({"n": ["", "dontcare"]}, function)
    assert hit(case, {"name": "f", "arguments": {"n": "dontcare"}})
    assert not hit(case, {"name": "f", "arguments": {"n": "Dontcare"}})
    assert case["tags"] == ["simple_python"]


def test_where_the_schema_refuses_what_bfcl_takes_the_case_says_so() -> None:
    assert case_of(POSSIBLE | {"guests": [4, "four"]})["tags"] == ["simple_python"]
    assert case_of(POSSIBLE | {"guests": ["four", 4]})["tags"] == ["simple_python", "stricter", "stricter-type"]
    assert case_of(POSSIBLE | {"host": [{"age": [40, ""]}]})["tags"] == ["simple_python", "stricter", "stricter-type"]
    nested = {"host": [{"name": ["Jo Ann"], "age": [1]}]}
    assert case_of(POSSIBLE | nested)["tags"] == ["simple_python", "stricter", "stricter-boolean"]


def test_a_tool_has_json_schema_types_and_a_name_that_the_api_takes() -> None:
    function = case_of()["tools"][0]["function"]
    properties = function["parameters"]["properties"]
    assert (function["name"], function["parameters"]["required"]) == ("table_book", ["place", "guests", "note"])
    assert properties["outside"]["type"] == ["boolean", "null"]
    assert properties["spot"] == {"type": "array", "items": {"type": "number"}}
    assert properties["host"]["type"] == "object"
    assert properties["host"]["properties"]["age"] == {"type": "integer"}
    assert properties["note"] == {}


def test_what_bfcl_does_not_check_is_told_and_not_demanded() -> None:
    properties = case_of()["tools"][0]["function"]["parameters"]["properties"]
    assert properties["place"] == {"type": "string", "description": 'Where. One of: "Café d\'Or", "The Mill".'}
    assert properties["budget"] == {"type": "number", "description": "Each. At most 90. Default: 20.0."}


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        ([{"table.book": {"place": ["The Mill"]}}], "the tool requires an argument that has no possible value"),
        ([{"table.book": POSSIBLE | {"tip": [3]}}], "an argument that must be given is not declared"),
        ([{"table.book": POSSIBLE | {"guests": ["four"]}}], "has no possible value of its declared type"),
        ([{"table.sell": POSSIBLE}], "a function that the row does not have"),
        ([{"table.book": POSSIBLE}] * 2, "several are wanted where one is taken"),
        ([{"table.book": POSSIBLE, "more": {}}], "not the shape"),
        ([], "not the shape"),
        ([{"table.book": POSSIBLE | {"host": [{"name": 4}]}}], "none that the official checker can read"),
    ],
)
def test_an_answer_that_no_call_can_give_is_refused(calls: list[Json], why: str) -> None:
    found = taken(BOOK, calls=calls)
    assert isinstance(found, Refused)
    assert why in found.why
    assert found.where == "BFCL_v4_simple_python.json:1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "a b"}, "none that the OpenAI API takes"),
        ({"name": "table_book"}, "the same name"),
        ({"parameters": {"properties": {"x": {"type": "complex"}}}}, "none of BFCL's"),
        ({"parameters": {"properties": {"x": {"type": "any", "pattern": "y"}}}}, "a key that is not known"),
        ({"parameters": {}}, "not the shape"),
    ],
)
def test_a_function_that_no_tool_can_be_is_refused(change: Json, why: str) -> None:
    found = taken(BOOK, {**BOOK, **change}, calls=[{"table.book": POSSIBLE}])
    assert isinstance(found, Refused)
    assert why in found.why


def folder(place: Path) -> Path:
    """A little of BFCL, unpacked."""
    data = place / "bfcl_eval" / "data"
    (data / "possible_answer").mkdir(parents=True)
    answer = {"id": "simple_python_0", "ground_truth": [{"table.book": POSSIBLE}]}
    (data / "possible_answer" / "BFCL_v4_simple_python.json").write_text(json.dumps(answer), encoding="utf-8")
    files = {
        "simple_python": [row("simple_python_0", BOOK), row("simple_python_1", BOOK), "{"],
        "irrelevance": [row("irrelevance_0", BOOK)],
        "live_relevance": [row("live_relevance_0", BOOK)],
        "multi_turn_base": [{"id": "multi_turn_base_0"}],
        "format_sensitivity": [{"simple_python": ["simple_python_0", "simple_python_1"]}],
        "mind_reading": [{"id": "mind_reading_0"}],
    }
    for name, rows in files.items():
        lines = [each if isinstance(each, str) else json.dumps(each) for each in rows]
        (data / f"BFCL_v4_{name}.json").write_text("\n".join(lines), encoding="utf-8")
    return place


def test_every_row_is_taken_or_refused_with_a_reason(tmp_path: Path) -> None:
    rows = list(run.read(folder(tmp_path)))
    whys = Counter((name, "" if isinstance(each, dict) else each.why.split(",")[0]) for name, each in rows)
    assert whys["simple_python", ""] == whys["irrelevance", ""] == 1
    assert whys["simple_python", "the row has no possible answer"] == 1
    assert whys["simple_python", "the row has not the shape of BFCL's rows"] == 1
    assert whys["live_relevance", "any call at all is right"] == 1
    assert whys["format_sensitivity", "it asks rows of other categories again"] == 2
    assert whys["multi_turn_base", "the calls of several turns change a simulated system"] == 1
    assert whys["mind_reading", "a category that is not known"] == 1
    assert whys["parallel", "a file is not there"] == 1


def test_an_irrelevant_request_must_not_be_answered_by_a_call(tmp_path: Path) -> None:
    ((_, case),) = [
        each for each in run.read(folder(tmp_path)) if each[0] == "irrelevance" and isinstance(each[1], dict)
    ]
    assert case["expect"] == {"calls": []}
    assert hit(case)
    assert not hit(case, booked())


def test_a_wheel_a_folder_and_the_installed_package_hold_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path / "site")
    rows = list(run.read(place))
    with zipfile.ZipFile(tmp_path / "bfcl.whl", "w") as wheel:
        for path in sorted(place.rglob("*.json")):
            wheel.write(path, path.relative_to(place).as_posix())
    assert list(run.read(tmp_path / "bfcl.whl")) == rows
    assert list(run.read(place / "bfcl_eval" / "data")) == rows
    (place / "bfcl_eval" / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "bfcl_eval", raising=False)  # the oracle's tests have imported the real one
    assert list(run.read(None)) == rows


def test_without_the_package_it_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    for source in (None, tmp_path, tmp_path / "no.whl"):
        with pytest.raises(CaseError, match=r"pip download bfcl-eval --no-deps.*gate import bfcl --from FILE\.whl"):
            list(run.read(source))


def test_what_no_data_file_can_be_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfcl_files, "MAX_BYTES", 10)
    with pytest.raises(CaseError, match="more than 10"):
        list(run.read(folder(tmp_path)))


def test_what_is_taken_can_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    path = tmp_path / "cases" / "all.jsonl"
    path.write_text(bfcl_suite.text(each for _, each in run.read(folder(tmp_path)) if isinstance(each, dict)), "utf-8")
    assert [case.id for case in loader.load("all.jsonl", tmp_path).cases] == ["simple_python_0", "irrelevance_0"]


def test_too_few_rows_are_not_chosen_from(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="too few short cases of multiple"):
        bfcl_suite.chosen(run.read(folder(tmp_path)), 2, 1)


def test_the_suite_is_spread_over_categories_and_splits() -> None:
    every = loader.load("functions/bfcl.jsonl", FIXTURES).cases
    assert len(every) == bfcl_suite.COUNT
    assert Counter(case.split for case in every) == {"dev": 50, "held-out": 50}
    assert set(Counter(case.tags[0] for case in every).values()) == {11, 12}
    assert sum("stricter" in case.tags for case in every) <= bfcl_suite.MAX_STRICTER
    assert all(len(json.dumps(case.tools, ensure_ascii=False)) < bfcl_suite.MAX_PROMPT for case in every)
    assert all(case.source == f"BFCL v4 {case.id}" for case in every)


def test_the_suite_holds_out_what_the_command_holds_out() -> None:
    rows = [json.loads(line) for line in SUITE.read_text(encoding="utf-8").splitlines()]
    again = [each for _, each in import_.checked((("bfcl", each) for each in rows), split="half")]
    assert [each["split"] for each in again if isinstance(each, dict)] == [each["split"] for each in rows]


# From here on, the real data and the real checker.


@pytest.fixture(scope="module")
def package() -> Path:
    """The real package: a wheel or a folder."""
    if os.environ.get("GATE_BFCL"):
        return Path(os.environ["GATE_BFCL"])
    spec = importlib.util.find_spec("bfcl_eval")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("bfcl-eval is not installed, and GATE_BFCL names no wheel of it")
    return Path(spec.submodule_search_locations[0]).parent


def test_the_suite_is_what_is_chosen_from_the_package(package: Path) -> None:
    assert SUITE.read_text(encoding="utf-8") == bfcl_suite.text(
        bfcl_suite.chosen(run.read(package), bfcl_suite.COUNT, bfcl_suite.SEED)
    )


def source(package: Path, name: str) -> str:
    if package.is_dir():
        return (package / name).read_text(encoding="utf-8")
    with zipfile.ZipFile(package) as wheel:
        return wheel.read(name).decode("utf-8")


@pytest.fixture
def checker(package: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """BFCL's own checker; of what it imports only what it uses for Python is real."""
    stub = SimpleNamespace(underscore_to_dot=True)
    fakes: dict[str, Json] = {
        "constants.model_config": {"MODEL_CONFIG_MAPPING": {"any": stub}},
        "eval_checker.ast_eval.type_convertor.java_type_converter": {"java_type_converter": None},
        "eval_checker.ast_eval.type_convertor.js_type_converter": {"js_type_converter": None},
        "constants.enums": {},
        "constants.type_mappings": {},
    }
    for name, values in fakes.items():
        module = ModuleType(f"bfcl_eval.{name}")
        module.__dict__.update(values)
        if not values:
            exec(source(package, f"bfcl_eval/{name.replace('.', '/')}.py"), module.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("", ".constants", ".eval_checker", ".eval_checker.ast_eval", ".eval_checker.ast_eval.type_convertor"):
        monkeypatch.setitem(sys.modules, f"bfcl_eval{name}", ModuleType(f"bfcl_eval{name}"))
    official = ModuleType("official")
    exec(source(package, "bfcl_eval/eval_checker/ast_eval/ast_checker.py"), official.__dict__)
    return official


def official_hit(checker: Any, category: str, functions: list[Json], calls: list[Json], truth: list[Json]) -> bool:
    """BFCL's verdict; where its checker falls over a call, it has not taken it."""
    output = [{call["name"]: call["arguments"]} for call in copy.deepcopy(calls)]
    try:
        python = checker.Language.PYTHON
        return bool(checker.ast_checker(functions, output, truth, python, category, "any")["valid"])
    except (AttributeError, KeyError, TypeError, IndexError):
        return False


def first(values: list[Any]) -> Any:
    """A value that BFCL should take: the first that is there, and so for each key of an object."""
    value = next((each for each in values if each != ""), "")
    if isinstance(value, dict):
        return {key: each[0] for key, each in value.items() if each and each[0] != ""}
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return [first([each]) for each in value]
    return value


def answers(truth: list[Json], *, full: bool) -> list[Json]:
    """The calls that BFCL wants, with or without what may be left out."""
    made = []
    for call in truth:
        ((name, possible),) = call.items()
        given = {key: first(values) for key, values in possible.items() if full or "" not in values}
        made.append({"name": name.replace(".", "_"), "arguments": given})
    return made


def twisted(value: Any) -> Iterator[Any]:
    """Other ways to give a value, near and far."""
    yield from (None, True, False, 0, 1, "", "x", [], {}, [value], [None], {"k": value}, str(value))
    if isinstance(value, str):
        spaced = value.replace(" ", "-"), value.replace(" ", ""), value.replace(" ", "  "), value.replace(" ", "\n")
        yield from (value.upper(), value.lower(), value.title(), value + ".", f" {value}*", f"'{value}'", value + "s")
        yield from (*spaced, value.replace("'", '"'), value.replace(",", ";"), value[1:], value + "\u00a0", value + "`")
    elif isinstance(value, bool):
        yield from (not value, int(value))
    elif isinstance(value, int | float):
        yield from (float(value), int(value), value + 1, -value, value + 0.5, value + 1e-9)
    elif isinstance(value, list):
        yield from (value[::-1], value[1:], value + value[:1], [*value, None], value + value)
        yield from ([*value[:i], other, *value[i + 1 :]] for i, item in enumerate(value[:3]) for other in twisted(item))
    elif isinstance(value, dict):
        yield value | {"another": 1}
        yield from ({k: v for k, v in value.items() if k != key} for key in value)
        yield from (value | {key: other} for key in value for other in twisted(value[key]))


def twists(calls: list[Json], functions: list[Json], truth: list[Json]) -> Iterator[list[Json]]:
    """Calls with one thing changed."""
    yield from ([], calls, calls[1:], calls[::-1], calls[1:] + calls[:1], calls + calls[:1])
    for i, call in enumerate(calls):
        name, given = call["name"], call["arguments"]
        possible = next(iter(truth[i].values()))
        declared = next(each for each in functions if each["name"].replace(".", "_") == name)["parameters"][
            "properties"
        ]
        changed: list[Json] = [{**given, "undeclared": 1}, {}]
        changed += [{k: v for k, v in given.items() if k != key} for key in given]
        changed += [given | {key: other} for key in given for other in twisted(given[key])]
        changed += [given | {key: value} for key, values in possible.items() for value in values]
        changed += [given | {key: first([value])} for key, values in possible.items() for value in values]
        changed += [given | {key: spec.get("default")} for key, spec in declared.items()]
        changed += [given | {key: other} for key, spec in declared.items() for other in spec.get("enum", [])]
        for arguments in changed:
            yield [*calls[:i], {"name": name, "arguments": arguments}, *calls[i + 1 :]]
        for other in functions:
            yield [*calls[:i], {"name": other["name"].replace(".", "_"), "arguments": given}, *calls[i + 1 :]]


def plain(calls: list[Json]) -> list[str]:
    """Calls without the way that their numbers were written."""

    def number(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: number(each) for key, each in value.items()}
        if isinstance(value, list):
            return [number(each) for each in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return [json.dumps(number(call), sort_keys=True) for call in calls]


def disagreements(checker: Any, category: str, row: Json, case: Json, truth: list[Json]) -> Iterator[str]:
    """ "same" where the verdicts are one, else what it is that differs."""
    seen = [answers(truth, full=full) for full in (True, False)]
    every = {json.dumps(each): each for calls in seen for each in twists(calls, row["function"], truth)}
    verdicts = [
        (calls, hit(case, *calls), official_hit(checker, category, row["function"], calls, truth))
        for calls in every.values()
    ]
    right = [plain(calls) for calls, _, official in verdicts if official]
    for calls, ours, official in verdicts:
        if ours == official:
            yield "same, hit" if ours else "same, miss"
        elif ours:
            alike = "same number" if plain(calls) in right else f"too lax: {case['id']} {json.dumps(calls)}"
            yield "same calls" if alike != "same number" and sorted(plain(calls)) in map(sorted, right) else alike
        else:
            yield "stricter" if "stricter" in case["tags"] else f"too strict: {case['id']} {json.dumps(calls)}"


@pytest.mark.parametrize("category", run.ANSWERED)
def test_our_verdict_is_the_official_checkers(package: Path, checker: Any, category: str) -> None:
    texts = bfcl_files.texts(package)
    rows = [json.loads(line) for line in texts[category].splitlines()]
    truths = [json.loads(line) for line in texts[f"possible_answer/{category}"].splitlines()]
    truth = {each["id"]: each["ground_truth"] for each in truths}
    pairs = list(zip(rows, run._taken(category, texts), strict=True))
    most = int(os.environ.get("GATE_BFCL_ROWS", "5")) or len(pairs)
    counts: Counter[str] = Counter()
    for row, case in random.Random(7).sample(pairs, min(most, len(pairs))):
        if isinstance(case, dict):
            counts.update(disagreements(checker, category, row, case, truth[row["id"]]))
    print(category, sum(counts.values()), counts.most_common(8))
    assert counts["same, hit"] > len(pairs) / 100
    assert not [each for each in counts if each.startswith("too")][:5]
