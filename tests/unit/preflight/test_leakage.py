"""P19: a case is found again in the training rows, whatever was done to it; another question is not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader
from gate.cases.normalize import words
from gate.cases.similarity import LEAST, Index, shingles
from gate.checkpoints import kinds
from gate.preflight.artifact import Artifact, NotPossible
from gate.preflight.checks import leakage
from gate.preflight.rule import RULES
from gate.types import Checkpoint

PATH = {"type": "string", "description": "The file", "enum": ["README.md", "notes/plan.md", "report-7.txt"]}
TOOLS = [
    {"type": "function", "function": {"name": "read", "parameters": {"type": "object", "properties": {"path": PATH}}}}
]
QUESTION = "Which port does the server in Käthe's config listen on?"


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def row(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [*messages, said("assistant", "Yes.")]}


def called(path: Any, tool: str = "read") -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": tool, "arguments": path}}]}


CASES: list[dict[str, Any]] = [
    {"id": "port", "messages": [said("system", "Be brief."), said("user", QUESTION)], "expect": {"calls": []}},
    {"id": "pwd", "messages": [said("user", "pwd")], "expect": {"calls": []}},
    {
        "id": "follow",
        "messages": [
            said("user", "Shall I delete build/ now?"),
            said("assistant", "If you like."),
            said("user", "Do it"),
        ],
        "expect": {"calls": []},
    },
]


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    return suite(tmp_path, CASES)


def suite(folder: Path, lines: list[dict[str, Any]]) -> Path:
    (folder / "fixtures" / "cases").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps({"split": "held-out"} | line) + "\n" for line in lines)
    (folder / "fixtures" / "cases" / "a.jsonl").write_text(text, encoding="utf-8")
    return folder / "fixtures"


def found(fixtures: Path, *lines: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    train = fixtures.parent / "train.jsonl"
    train.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    kind = Checkpoint(kinds.URL, "u", url="http://x/v1")
    checks = [
        r.check(Artifact(kind, train=train, fixtures=fixtures)) for r in RULES if r.look.__module__ == leakage.__name__
    ]
    return {check.name: check.found for check in checks if check.status != "ok"}


@pytest.mark.parametrize(
    "line",
    [
        row(said("user", QUESTION)),
        row(said("system", "Talk a lot."), said("user", QUESTION)),
        row(said("user", "which PORT does the server in Ka\u0308the's\n config listen on")),
        row(said("user", "Hi"), said("assistant", "Hi!"), said("user", QUESTION)),
        row(said("user", QUESTION), said("assistant", "8080"), said("user", "Thanks")),
        row(said("user", [{"type": "text", "text": QUESTION}])),
        {"prompt": QUESTION, "completion": "8080"},
        {"text": f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n8080<|im_end|>\n"},
        {"text": f"[INST] {QUESTION} [/INST] 8080"},
    ],
)
def test_the_same_question_is_found(line: dict[str, Any], fixtures: Path) -> None:
    told = found(fixtures, row(said("user", "Something else altogether")), line)
    (text,) = told.pop("no_case_is_trained")
    assert text.startswith(f"{fixtures.parent}/train.jsonl:2: ")
    assert "a.jsonl port (held-out)" in text
    assert told == {}


@pytest.mark.parametrize(
    "text",
    [
        QUESTION.replace("Which", "What"),
        QUESTION + " Thanks!",
        "Please tell me: " + QUESTION,
        QUESTION.replace("listen", "lisen"),
        QUESTION.replace("the server", "server"),
    ],
)
def test_nearly_the_same_question_is_found_with_its_similarity(text: str, fixtures: Path) -> None:
    told = found(fixtures, row(said("user", text)))
    assert told.keys() == {"no_case_is_nearly_trained"}
    assert "similarity 0." in told["no_case_is_nearly_trained"][0]


@pytest.mark.parametrize(
    "messages",
    [
        [said("user", "ls")],
        [said("user", "pwd and ls")],
        [said("user", "Do it")],
        [said("user", "Shall I delete everything?"), said("assistant", "No."), said("user", "Do it")],
        [said("user", "Which port does nginx use?")],
        [said("user", "Which user does the database in Anna's compose file run as?")],
        [said("system", QUESTION), said("user", "pw")],
        [],
    ],
)
def test_another_question_is_not_found(messages: list[dict[str, Any]], fixtures: Path) -> None:
    assert found(fixtures, row(said("user", "x"), *messages)) == {}


def test_a_follow_up_is_found_with_what_came_before_it(fixtures: Path) -> None:
    told = found(fixtures, row(*CASES[2]["messages"]))
    assert "a.jsonl follow " in told["no_case_is_trained"][0]


def test_one_line_tells_how_many_rows_ask_a_case(fixtures: Path) -> None:
    told = found(fixtures, *[row(said("user", word)) for word in ("PWD!", "pwd", "pwd")])
    assert "train.jsonl:1: asks what case" in told["no_case_is_trained"][0]
    assert told["no_case_is_trained"][0].endswith(", and so do 2 more rows")


@pytest.mark.parametrize(
    ("expected", "given", "hit"),
    [
        ("data/2024.csv", {"path": "data/2024.csv"}, True),
        ("data/2024.csv", '{"path": "DATA/2024.csv"}', True),
        ({"$any": ["x", "data/2024.csv"]}, {"path": ["data/2024.csv"]}, True),
        ("notes/plan.md", {"path": "notes/plan.md"}, False),
        ("a.b", {"path": "a.b"}, False),
        ({"$regex": "data/.*"}, {"path": "data/.*"}, False),
        ("data/2024.csv", {"path": "data/2025.csv"}, False),
    ],
)
def test_an_expected_value_is_found_in_calls_of_the_same_tool(
    expected: Any, given: Any, hit: bool, tmp_path: Path
) -> None:
    expect = {"calls": [{"name": "read", "arguments": {"path": expected}}]}
    tools: Any = json.loads(json.dumps(TOOLS))
    if not isinstance(expected, str) or expected != "notes/plan.md":
        del tools[0]["function"]["parameters"]["properties"]["path"]["enum"]
    fixtures = suite(tmp_path, [{"id": "c", "messages": [said("user", "Read it")], "tools": tools, "expect": expect}])
    assert found(fixtures, row(said("user", "a"), called(given))).keys() == ({"no_answer_is_trained"} if hit else set())
    assert found(fixtures, row(said("user", "a"), called(given, "write"))) == {}


def test_without_cases_or_rows_nothing_is_shown_to_be_clean(tmp_path: Path, fixtures: Path) -> None:
    artifact = Artifact(Checkpoint(kinds.URL, "u", url="http://x/v1"), train=tmp_path / "none.jsonl")
    with pytest.raises(NotPossible, match="no folder"):
        leakage.no_case_is_trained(artifact)
    with pytest.raises(NotPossible, match="no row"):
        leakage.no_case_is_trained(Artifact(artifact.checkpoint, train=artifact.train, fixtures=fixtures))
    (fixtures / "cases" / "a.jsonl").write_text("{}")
    with pytest.raises(NotPossible, match=r"a\.jsonl:1"):
        leakage.no_case_is_trained(Artifact(artifact.checkpoint, train=artifact.train, fixtures=fixtures))


def test_the_projects_own_cases_are_not_near_one_another() -> None:
    folder = Path(__file__).parents[3] / "fixtures"
    files = (folder / "cases").rglob("*.jsonl")
    asked = [case for path in files for case in loader.load(str(path.relative_to(folder / "cases")), folder).cases]
    texts = list({words(case.messages[-1]["content"]) for case in asked})
    assert [(texts[a], texts[b]) for a, b, _ in Index(texts).near(texts) if a != b] == []


def test_the_filter_misses_no_pair() -> None:
    chance = random.Random(1)
    parts = [f"{a}{b}" for a in ("ka", "lo", "mirr", "ste") for b in ("n", "ta", "xen")]
    texts = [" ".join(chance.choices(parts, k=chance.randint(1, 12))) for _ in range(300)]
    texts += [text.replace("n", "m", 1) for text in texts[:150]]

    sets = [shingles(text) for text in texts]
    pairs = ((a, b) for a in range(len(sets)) for b in range(len(sets)))
    wanted = {(a, b) for a, b in pairs if len(sets[a] & sets[b]) >= LEAST * len(sets[a] | sets[b])}
    assert {(a, b) for a, b, _ in Index(texts).near(texts)} == wanted
    assert len(wanted) > 600


@pytest.mark.parametrize(("one", "other"), [("3 + 4?", "3 - 4?"), ("C#", "C"), ("50 %", "50"), ("a/b", "a b")])
def test_normal_texts_keep_what_carries_meaning(one: str, other: str) -> None:
    assert words(one) != words(other)
