"""What a model was asked and what it did, from wherever it was kept: a report, a request with its response, a chat log.

    request and response   {"request": {"messages": […], "tools": […]}, "response": {"choices": […]}}
    OpenAI's messages      [{"role": …, "content": …}, …], or {"messages": […], "tools": […]}
    ShareGPT               {"conversations": [{"from": "human", "value": …}, …]}; also with the marks of Hermes' traces

A file holds one of these, a JSON list of them, or one a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.authoring.chat_logs import messages as traced
from gate.authoring.importers import openai_chat
from gate.authoring.reading import MAX_CHARACTERS, SAVED
from gate.cases import loader
from gate.errors import AskError, CaseError
from gate.models import reply
from gate.report import io as reports
from gate.system import jsonl
from gate.system.text import show
from gate.types import HELD_OUT, Contract, Json, Reply, Report, Result

_STAND_IN = {"role": "assistant", "content": "ok"}


@dataclass(frozen=True, slots=True)
class Captured:
    """One question, and what a model did with it."""

    where: str
    """file:line, or the report and the case."""
    question: Json
    """`messages` and `tools`, as a case file holds them; also `system`, `system_suffix`, `max_tokens`."""
    calls: list[Json]
    """The calls that the model made, also those it wrote as text."""
    content: str
    """The words that it said."""
    why: tuple[str, ...] = ()
    """Why a report counts it as a miss."""
    expect: Json = field(default_factory=dict)
    """What a case of this question expects already; empty where none does."""
    source: str = ""
    """Where it comes from, in words that may stand in a case."""


def from_report(path: Path, case_id: str, fixtures: Path) -> Captured:
    """A miss of a report, with its question from the file that the contract names. Raises CaseError, ReportError."""
    place = reports.located(path)
    result, contract = _missed(reports.read(place), case_id, place)
    if result.split == HELD_OUT:
        raise CaseError(f"{place}: case {case_id!r} is held out: nobody may learn from it; write a fresh case instead")
    case_file = fixtures / "cases" / contract.cases
    loaded = loader.load(contract.cases, fixtures)
    found = {case.id: case for case in loaded.cases}
    if case_id not in found:
        raise CaseError(
            f"{case_file}: has no case {case_id!r} any more: name the --fixtures that the report was made with"
        )
    if loader.marks(found[case_id])[0] != dict(zip(contract.ids, contract.digests, strict=False)).get(case_id):
        raise CaseError(f"{case_file}: case {case_id!r} was changed since the report was made: grade again")
    row = next(row for _, row in jsonl.read(case_file) if row["id"] == case_id)
    kept = ("messages", "tools", "system", "system_suffix", "max_tokens")
    question = {key: row[key] for key in kept if key in row}
    calls, content = _did(result.replies[-1]) if result.replies else ([], "")
    source = f"miss of {contract.cases} {case_id} in {place.parent.name}"
    return Captured(f"{place}: {case_id}", question, calls, content, result.why, row["expect"], source)


def from_pairs(text: str | Iterator[str], name: str, line: int | None) -> list[Captured | CaseError]:
    """Each request with its response, or that of one line; in place of what cannot be taken, the error."""
    return [_tried(_pair, row, where) for where, row in _rows(text, name, line)]


def from_chats(
    text: str | Iterator[str], name: str, line: int | None, *, every: bool, turn: int | None
) -> list[Captured | CaseError]:
    """The last assistant turn of each conversation; `every` one, or that number `turn`, from 1."""
    found: list[Captured | CaseError] = []
    for where, row in _rows(text, name, line):
        try:
            messages, tools = traced(_value(row))
            for number, last in _answers(messages, every=every, turn=turn):
                place = f"{where} turn {number}" if every else where
                found.append(_tried(_turn, {"messages": messages[: last + 1], "tools": tools}, place))
        except CaseError as error:
            found.append(CaseError(f"{where}: {str(error).removeprefix(f'{where}: ')}"))
    return found


def question(messages: Any, tools: Any, where: str) -> Json:
    """Messages and tools as a case file holds them; calls are numbered again. Raises CaseError."""
    if not isinstance(messages, list) or not messages:
        raise CaseError(f"{where}: there are no messages: {show(messages)}")
    row = {"messages": [*messages, _STAND_IN]} | ({"tools": tools} if tools else {})
    try:
        taken = openai_chat.case(row, where, prefix="captured")
    except CaseError as error:
        raise CaseError(f"{where}: {error}") from error
    return {"messages": _numbered(taken["messages"])} | ({"tools": taken["tools"]} if taken.get("tools") else {})


def _missed(report: Report, case_id: str, place: Path) -> tuple[Result, Contract]:
    contracts = {contract.test: contract for contract in report.contracts}
    asked = [result for result in report.results if result.case == case_id and result.test in contracts]
    missed = [result for result in asked if not result.hit]
    if not asked:
        raise CaseError(f"{place}: asked no case {case_id!r}; its misses are {_ids(report)}")
    if not missed and asked[0].split != HELD_OUT:
        raise CaseError(f"{place}: case {case_id!r} is a hit; its misses are {_ids(report)}")
    files = {contracts[result.test].cases for result in missed or asked}
    if len(files) > 1:
        raise CaseError(f"{place}: case {case_id!r} stands in {', '.join(sorted(files))}: give each its own id")
    result = (missed or asked)[0]
    return result, contracts[result.test]


def _ids(report: Report) -> str:
    ids = list(dict.fromkeys(each.case for each in report.results if not each.hit and each.split != HELD_OUT))
    return (", ".join(ids[:20]) + (f", … and {len(ids) - 20} more" if len(ids) > 20 else "")) or "none of its dev cases"


def _tried(take: Callable[[Json, str], Captured], row: Json | CaseError, where: str) -> Captured | CaseError:
    try:
        return take(_value(row), where)
    except CaseError as error:
        return CaseError(f"{where}: {str(error).removeprefix(f'{where}: ')}")


def _value(row: Json | CaseError) -> Json:
    if isinstance(row, CaseError):
        raise row
    return row


def _answers(messages: list[Json], *, every: bool, turn: int | None) -> list[tuple[int, int]]:
    """(number among the assistant turns that answer something, number of the message) of those that are asked for."""
    answers = [number for number, each in enumerate(messages) if number and each["role"] == "assistant"]
    if not answers:
        raise CaseError("no assistant turn answers anything")
    if turn is not None and not 0 < turn <= len(answers):
        raise CaseError(f"--turn {turn}: it has {len(answers)} assistant turns that answer something")
    numbers = range(1, len(answers) + 1) if every else [turn or len(answers)]
    return [(number, answers[number - 1]) for number in numbers]


def _pair(row: Json, where: str) -> Captured:
    request, response = row.get("request"), row.get("response")
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise CaseError('is not a pair of {"request": {…}, "response": {…}}' + f"; its keys are {show(list(row), 80)}")
    tools = request.get("tools") or [{"function": each} for each in request.get("functions") or []]
    asked = question(request.get("messages"), tools, where)
    status = row.get("status", 200)
    did = _read(response, asked.get("tools", []), status if isinstance(status, int) else 200)
    most = request.get("max_completion_tokens") or request.get("max_tokens")
    if type(most) is int and 0 < most <= 131072:
        asked["max_tokens"] = most
    at = f" of {row['at'][:10]}" if isinstance(row.get("at"), str) else ""
    return Captured(where, asked, *_did(did), source=f"request and response{at} in {_file(where)}")


def _turn(row: Json, where: str) -> Captured:
    *before, answer = row["messages"]
    asked = question(before, row["tools"], where)
    ended = "tool_calls" if answer.get("tool_calls") or answer.get("function_call") else "stop"
    choice = {"message": answer, "finish_reason": ended}
    return Captured(
        where, asked, *_did(_read({"choices": [choice]}, asked.get("tools", []), 200)), source=f"chat in {_file(where)}"
    )


def _read(response: Json, tools: list[Json], status: int) -> Reply:
    try:
        return reply.read(status, json.dumps(response), seconds=0.0, tools=tools)
    except AskError as error:
        raise CaseError(f"holds no answer of a model: {error}") from error


def _did(answer: Reply) -> tuple[list[Json], str]:
    """The calls, and the words; a call that is written as text stands in the calls, too."""
    return answer.calls or answer.leaks, answer.content


def _numbered(messages: list[Json]) -> list[Json]:
    """Ids of calls by their order: a server's own are long, and say nothing."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", []):
            if "id" in call:
                call["id"] = names.setdefault(call["id"], f"call_{len(names) + 1}")
        if "tool_call_id" in message:
            message["tool_call_id"] = names.get(message["tool_call_id"], message["tool_call_id"])
    return messages


def _file(where: str) -> str:
    return Path(where).name


def _rows(text: str | Iterator[str], name: str, line: int | None) -> Iterator[tuple[str, Json | CaseError]]:
    """(file:line, object) of one object, of a list of them, or of lines of them. Raises CaseError for none at all."""
    if isinstance(text, str):
        whole = _whole(text, name)
        rows: Iterable[tuple[int, Json | CaseError]] = whole or list(_lines(text.split("\n"), name, line))
        alone = len(whole) == 1
    else:
        rows, alone = _lines(text, name, line), False
    empty = True
    for number, row in rows:
        if line in (None, number):
            empty = False
            yield name if alone else f"{name}:{number}", row
    if empty:
        raise CaseError(f"{name}: is empty" if line is None else f"{name}: --line {line}: there is none")


def _whole(text: str, name: str) -> list[tuple[int, Json | CaseError]]:
    """The rows of a text that is one JSON value; none where it is not."""
    try:
        value = jsonl.loads(text, where=name)
    except CaseError as error:
        return [(1, _torn(text, error))] if len(text.split("\n")) == 1 and text.strip() else []
    several = value if isinstance(value, list) and not _is_chat(value) else [value]
    return [(number, _row(each)) for number, each in enumerate(several, start=1)]


def _lines(lines: Iterable[str], name: str, line: int | None) -> Iterator[tuple[int, Json | CaseError]]:
    """Each row, or that of one line."""
    for number, text in enumerate(lines, start=1):
        if not text.strip() or line not in (None, number):
            continue
        if len(text) > MAX_CHARACTERS:
            yield number, CaseError(f"{name}:{number}: is longer than {MAX_CHARACTERS:,} characters")
            continue
        try:
            yield number, _row(jsonl.loads(text, where=f"{name}:{number}"))
        except CaseError as error:
            yield number, _torn(text, error)


def _torn(text: str, error: CaseError) -> CaseError:
    """What a kill has left of a line of gate proxy is not a mistake of whoever has the file."""
    if not text.startswith(SAVED):
        return error
    place = str(error).partition(": not JSON")[0]
    return CaseError(
        f"{place}: half of a line, as a kill of gate proxy leaves it: the next one that saves there cuts it off"
    )


def _row(value: Any) -> Json | CaseError:
    if _is_chat(value):
        return {"messages": value}
    return value if isinstance(value, dict) else CaseError(f"must be a JSON object, found {show(value)}")


def _is_chat(value: Any) -> bool:
    """A list of turns, and not of rows?"""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and ("role" in each or "from" in each) for each in value)
    )
