"""What a model was asked and what it did, read from reports, pairs and chat logs of every form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.authoring import sources as capture
from gate.authoring.sources import Captured
from gate.cases import loader
from gate.errors import CaseError
from gate.report.io import write
from gate.types import Json
from tests.project import TOOL, a_case
from tests.reports import WHOLE

ASKED = [{"role": "user", "content": "List the files, please."}]


def called(arguments: Any = '{"command": "ls"}', name: str = "terminal", **more: Any) -> Json:
    call = {"id": "srv-123456", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call], **more}


def a_pair(message: Json | None = None, **more: Any) -> Json:
    choice = {"message": message or called(), "finish_reason": "tool_calls"}
    return {"request": {"model": "m", "messages": ASKED, "tools": [TOOL]}, "response": {"choices": [choice]}, **more}


def pairs(*rows: Any, line: int | None = None) -> list[Captured | CaseError]:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    return capture.from_pairs(text, "traffic.jsonl", line)


def chats(*rows: Any, line: int | None = None, every: bool = False, turn: int | None = None) -> list[Captured]:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    return [whole(each) for each in capture.from_chats(text, "chat.json", line, every=every, turn=turn)]


def whole(found: Captured | CaseError) -> Captured:
    if isinstance(found, CaseError):
        raise found
    return found


def fixtures(folder: Path, *rows: Json) -> Path:
    (folder / "cases").mkdir()
    (folder / "tools").mkdir()
    (folder / "tools/tools.json").write_text(json.dumps([TOOL]))
    (folder / "cases/c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def a_report(folder: Path, split: str = "dev", hit: bool = False) -> Path:
    """A report of the case `pwd` in fixtures/cases/c.jsonl, where the model called `ls`."""
    asked = loader.load("c.jsonl", folder).cases
    digests = tuple(loader.marks(case)[0] for case in asked)
    contract = replace(WHOLE.contracts[0], ids=tuple(case.id for case in asked), digests=digests)
    wrong = replace(
        WHOLE.results[0].replies[0], content="", calls=[{"name": "terminal", "arguments": {"command": "ls"}}]
    )
    result = replace(WHOLE.results[0], case="pwd", split=split, hit=hit, replies=(wrong,))
    (folder / "run").mkdir()
    write(folder / "run/report.json", replace(WHOLE, contracts=(contract,), results=(result,)))
    return folder / "run"


def test_a_miss_has_its_question_what_the_model_did_and_what_is_right(tmp_path: Path) -> None:
    fixtures(tmp_path, a_case("pwd", max_tokens=7))
    found = capture.from_report(a_report(tmp_path), "pwd", tmp_path)
    assert found.question == {"messages": [{"role": "user", "content": "pwd"}], "tools": "tools", "max_tokens": 7}
    assert found.calls == [{"name": "terminal", "arguments": {"command": "ls"}}]
    assert found.expect == {"calls": [{"name": "terminal", "arguments": {"command": "pwd"}}]}
    assert found.why == ("wrong",)
    assert found.source == "miss of c.jsonl pwd in run"


@pytest.mark.parametrize("hit", [True, False])
def test_a_held_out_case_is_refused_without_its_text(tmp_path: Path, hit: bool) -> None:
    fixtures(tmp_path, a_case("pwd", split="held-out"))
    with pytest.raises(CaseError, match="is held out") as error:
        capture.from_report(a_report(tmp_path, split="held-out", hit=hit), "pwd", tmp_path)
    assert "terminal" not in str(error.value)


def test_a_case_that_became_held_out_since_is_refused(tmp_path: Path) -> None:
    fixtures(tmp_path, a_case("pwd"))
    report = a_report(tmp_path)
    (tmp_path / "cases/c.jsonl").write_text(json.dumps(a_case("pwd", split="held-out")) + "\n")
    with pytest.raises(CaseError, match="was changed since"):
        capture.from_report(report, "pwd", tmp_path)


def test_a_hit_and_an_unknown_case_are_refused_with_the_misses(tmp_path: Path) -> None:
    fixtures(tmp_path, a_case("pwd"))
    report = a_report(tmp_path, hit=True)
    with pytest.raises(CaseError, match="is a hit; its misses are none"):
        capture.from_report(report, "pwd", tmp_path)
    with pytest.raises(CaseError, match="asked no case 'other'"):
        capture.from_report(report, "other", tmp_path)


def test_a_pair_gives_the_question_and_the_calls() -> None:
    found = whole(pairs(a_pair(at="2026-11-20T10:00:00Z", seconds=1.5, status=200, streamed=True))[0])
    assert found.question["messages"] == ASKED
    assert found.question["tools"][0]["function"]["name"] == "terminal"
    assert found.calls == [{"name": "terminal", "arguments": {"command": "ls"}}]
    assert found.source == "request and response of 2026-11-20 in traffic.jsonl"


def test_a_call_written_as_text_is_what_the_model_did() -> None:
    leak = {
        "role": "assistant",
        "content": '<tool_call>{"name": "terminal", "arguments": {"command": "ls"}}</tool_call>',
    }
    assert whole(pairs(a_pair(leak))[0]).calls == [{"name": "terminal", "arguments": {"command": "ls"}}]


def test_ids_of_calls_become_short_ones_and_results_keep_theirs() -> None:
    row = a_pair()
    row["request"]["messages"] = [*ASKED, called(), {"role": "tool", "tool_call_id": "srv-123456", "content": "a"}]
    messages = whole(pairs(row)[0]).question["messages"]
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"] == "call_1"
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == {"command": "ls"}


def test_the_limit_of_the_request_is_kept() -> None:
    row = a_pair()
    row["request"]["max_tokens"] = 99
    assert whole(pairs(row)[0]).question["max_tokens"] == 99


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"request": {}}, "is not a pair"),
        (a_pair(status=503), "HTTP 503"),
        (a_pair() | {"response": {"error": {"message": "overloaded"}}}, "overloaded"),
        (a_pair() | {"response": {"raw": "data: {"}}, "no answer of a model"),
        (a_pair() | {"request": {"messages": []}}, "no messages"),
        (
            a_pair() | {"request": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}},
            "more than text",
        ),
        ("[1]", "must be a JSON object"),
        ("{bro", "not JSON"),
    ],
)
def test_a_pair_that_cannot_be_taken_says_why_and_where(row: Any, why: str) -> None:
    good, bad = pairs(a_pair(), row)
    assert isinstance(good, Captured)
    assert isinstance(bad, CaseError)
    assert str(bad).startswith("traffic.jsonl:2: ")
    assert why in str(bad)


def test_one_line_of_a_file_is_found_by_its_number() -> None:
    rows = [a_pair(at="2026-11-01"), "", a_pair(at="2026-11-03")]
    assert "2026-11-03" in whole(pairs(*rows, line=3)[0]).source
    with pytest.raises(CaseError, match="--line 2: there is none"):
        pairs(*rows, line=2)
    with pytest.raises(CaseError, match="is empty"):
        pairs("\n")


ANSWERED = [*ASKED, called(), {"role": "tool", "tool_call_id": "srv-123456", "content": "a.txt"}]
LAST = {"role": "assistant", "content": "There is a.txt."}


@pytest.mark.parametrize(
    "row",
    [
        [*ANSWERED, LAST],
        {"messages": [*ANSWERED, LAST], "tools": [TOOL]},
        {"request": {"messages": [*ANSWERED, LAST]}},
        json.dumps([{"messages": [*ANSWERED, LAST]}], indent=1),
        json.dumps([*ANSWERED, LAST], indent=1),
    ],
)
def test_the_last_turn_of_a_chat_is_what_the_model_did(row: Any) -> None:
    (found,) = chats(row)
    assert [message["role"] for message in found.question["messages"]] == ["user", "assistant", "tool"]
    assert found.content == "There is a.txt."


def test_a_turn_can_be_chosen_and_all_of_them() -> None:
    (first,) = chats([*ANSWERED, LAST], turn=1)
    assert first.question["messages"] == ASKED
    assert first.calls == [{"name": "terminal", "arguments": {"command": "ls"}}]
    assert [each.where for each in chats([*ANSWERED, LAST], every=True)] == ["chat.json turn 1", "chat.json turn 2"]
    with pytest.raises(CaseError, match="--turn 3: it has 2 assistant turns"):
        chats([*ANSWERED, LAST], turn=3)


def test_sharegpt_says_who_speaks_in_its_own_words() -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}, {"from": "user", "value": "Bye"}]
    (found,) = chats({"conversations": [*turns, {"from": "gpt", "value": "Ciao"}], "system": "Be kind."})
    assert [message["role"] for message in found.question["messages"]] == ["system", "user", "assistant", "user"]
    assert found.content == "Ciao"


def hermes(tools: str, *turns: tuple[str, str]) -> Json:
    prompt = "You are kind.\n\nYou may call functions within <tools></tools> tags:\n<tools> "
    prompt += tools + ' </tools>\nAnswer with <tool_call>{"name": …}</tool_call>\n\nBe brief.'
    said = [{"from": name, "value": value} for name, value in (("system", prompt), *turns)]
    return {"conversations": said}


CALL = '<think>hm</think>Let me see.\n<tool_call>\n{"name": "terminal", "arguments": {"command": "ls"}}\n</tool_call>'
BARE = json.dumps(TOOL["function"])


@pytest.mark.parametrize(
    "tools", [json.dumps([TOOL]), repr([TOOL]), json.dumps(TOOL), f"{BARE}\n", f"[{BARE}]"], ids=range(5)
)
def test_a_hermes_trace_becomes_calls_results_and_tools(tools: str) -> None:
    result = '<tool_response>\n{"name": "terminal", "content": {"files": ["a"]}}\n</tool_response>'
    (found,) = chats(hermes(tools, ("human", "List them."), ("gpt", CALL), ("tool", result), ("gpt", "One.")))
    system, user, call, answer = found.question["messages"]
    assert system["content"] == "You are kind.\n\nBe brief."
    assert user["content"] == "List them."
    assert call["content"] == "Let me see."
    assert call["tool_calls"][0]["function"] == {"name": "terminal", "arguments": {"command": "ls"}}
    assert answer == {"role": "tool", "tool_call_id": "call_1", "content": '{"files": ["a"]}'}
    assert found.question["tools"][0]["function"]["parameters"] == TOOL["function"]["parameters"]
    assert found.content == "One."


def test_two_calls_and_two_results_in_one_turn_find_each_other() -> None:
    two = CALL + '<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>'
    results = '<tool_response>{"name": "read", "content": "1"}</tool_response><tool_response>plain</tool_response>'
    read = {"name": "read", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}
    row = hermes(json.dumps([TOOL, read]), ("human", "Go."), ("gpt", two), ("tool", results), ("gpt", "Done."))
    answers = [each for each in chats(row)[0].question["messages"] if each["role"] == "tool"]
    assert [(each["tool_call_id"], each["content"]) for each in answers] == [("call_2", "1"), ("call_1", "plain")]


def test_roles_for_calls_and_observations_are_read() -> None:
    call = ("function_call", '{"name": "terminal", "arguments": {"command": "ls"}}')
    row = hermes(json.dumps([TOOL]), ("human", "Go."), call, ("observation", "a.txt"), ("gpt", "One."))
    assert chats(row)[0].question["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "a.txt"}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"conversations": [{"from": "alien", "value": "x"}]}, "a turn of"),
        ({"conversations": [{"from": "human", "value": 1}]}, "a turn of"),
        ({"conversations": [{"value": "x"}]}, "neither role nor from"),
        ({"text": "x"}, "is not a conversation"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no assistant turn"),
        (hermes("[]", ("human", "x"), ("gpt", "<tool_call>oops</tool_call>")), "a <tool_call> cannot be read"),
        (hermes("[]", ("human", "x"), ("tool", "<tool_response>1</tool_response>"), ("gpt", "y")), "no call asked for"),
    ],
)
def test_a_chat_that_cannot_be_taken_says_why(row: Json, why: str) -> None:
    with pytest.raises(CaseError, match=why):
        chats(row)
