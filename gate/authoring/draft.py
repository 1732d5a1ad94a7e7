"""From what was captured to a case that loads: what is expected, its id and source, without secrets, edited at need."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gate.authoring import reading, sources
from gate.authoring.importers.openai_chat import literal, tool
from gate.authoring.redaction.consistency import advice, misfit, replacements
from gate.authoring.redaction.redactor import Redactor, redacted
from gate.authoring.satisfiable import contradiction, unreachable
from gate.authoring.sources import Captured
from gate.cases import loader
from gate.cases.matchers.matcher import describe_call
from gate.errors import CaseError
from gate.system import jsonl
from gate.system.text import one_line, show
from gate.types import Case, Json

_CALL = re.compile(r"\s*([\w.:/-]{1,128})\s*(?:\((.*)\))?\s*", re.DOTALL)
_PREFIX = re.compile(r"[^A-Za-z0-9._-]+")
_ORDER = (
    *("id", "system", "system_suffix", "messages", "tools", "expect"),
    *("split", "tags", "source", "max_tokens", "replaces"),
)
"""Of the keys of a new case."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A case that a run would load, and what the model did with it, without secrets."""

    line: str
    """As the case file will hold it."""
    case: Case
    where: str
    calls: list[Json]
    content: str
    why: tuple[str, ...]
    redacted: tuple[str, ...]
    """What was taken out, a line a kind."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person says of the case: where it comes from, what is expected, how it is written (gate add --help)."""

    fixtures: Path
    report: Sequence[str] | None
    """A report and the id of a case in it."""
    pair: str | None
    chat: str | None
    line: int | None
    turn: int | None
    all: bool
    call: Sequence[str]
    no_call: bool
    contains: Sequence[str]
    expect: str
    edit: bool
    id: str
    split: str
    tag: Sequence[str]
    source: str
    tools: str
    system: str
    replaces: str
    anyway: str


def captured(given: Options) -> list[Captured | CaseError]:
    """What the command names, or asks for: one thing, or all of them. Raises CaseError."""
    if given.report:
        return [sources.from_report(Path(given.report[0]), given.report[1], given.fixtures)]
    if not (place := given.pair or given.chat):
        return [_interview(given)]
    text, name = reading.text(place)
    if not isinstance(text, str) and given.line is None and not given.all:
        raise CaseError(f"{name}: holds many of them: name one with --line N, or take --all")
    if given.pair:
        found = sources.from_pairs(text, name, given.line)
    else:
        found = sources.from_chats(text, name, given.line, every=given.all, turn=given.turn)
    if len(found) > 1 and not given.all:
        raise CaseError(f"{name}: holds {len(found)} of them: name one with --line N, or take --all")
    return found


def draft(each: Captured, given: Options, file: str, ids: Sequence[str]) -> Draft | None:
    """A case of it, checked; None where it was given up in the editor. Raises CaseError."""
    row = dict(each.question)
    if given.tools and "tools" not in row:
        row["tools"] = given.tools
    if given.system:
        row["system"] = given.system
        row["messages"] = [message for message in row["messages"] if message["role"] != "system"]
    row["expect"] = _expect(each, given)
    row |= {"split": given.split, "tags": list(given.tag), "source": _source(each, given), "replaces": given.replaces}
    row = _by_name(row, given.fixtures)
    row = {key: row[key] for key in _ORDER if row.get(key) not in (None, [], "") or key == "expect"}
    did = {"calls": each.calls, "content": each.content, "why": list(each.why)}
    asked, redactors = row, [Redactor(row, did)]
    row, did = redactors[0].value(row), redactors[0].value(did, "model")
    before = {"id": given.id or _id(row, file, ids), **asked}
    row = {"id": before["id"], **row}
    if given.edit:
        edited = _edited(row, _told(did), given.fixtures, ids)
        if edited is None:
            return None
        redactors.append(Redactor(edited))
        before, row = edited, redactors[1].value(edited)
    case = _still_fit(before, row, given.fixtures, ids, redactors)
    if why := misfit(asked, row, replacements(redactors)):
        raise CaseError(f"case {case.id!r}: {why}; {advice(redactors)}")
    line, told = json.dumps(row, ensure_ascii=False), [line for each in redactors for line in each.summary()]
    return Draft(line, case, redacted(each.where), did["calls"], did["content"], tuple(did["why"]), tuple(told))


def expectation(expect: Json) -> str:
    """What a case expects, in words."""
    calls = [describe_call(call) for call in expect["calls"]] or ["no call"] if "calls" in expect else []
    return "; ".join([*calls, *([f"answer {show(expect['answer'], 300)}"] if "answer" in expect else [])])


def asked_for(messages: Sequence[Json]) -> str:
    """The last thing that a user said."""
    return next((each["content"] or "" for each in reversed(messages) if each["role"] == "user"), "")


def parsed_call(text: str) -> Json:
    """A call as it is written on a command line: name({"json": …}). Raises CaseError."""
    found = _CALL.fullmatch(text)
    if found is None:
        raise CaseError(f'--call {show(text)}: write name({{"argument": "value"}})')
    arguments = (found[2] or "").strip() or "{}"
    return {"name": found[1], "arguments": _object(arguments, f"the arguments of --call {found[1]}")}


def _expect(each: Captured, given: Options) -> Json:
    if given.expect:
        if given.call or given.no_call or given.contains:
            raise CaseError("--expect says all: without --call, --no-call and --contains")
        return _object(given.expect, "--expect")
    if given.call and given.no_call:
        raise CaseError("--call and --no-call contradict each other")
    expect: Json = dict(each.expect) or _proposed(each)
    if given.call or given.no_call:
        expect = {"calls": [parsed_call(text) for text in given.call]}
    if given.contains:
        expect = {"calls": expect.get("calls", []), "answer": {"contains": list(given.contains)}}
    if not expect and not given.edit:
        raise CaseError(f"{each.where}: nothing says what is right: --call, --no-call, --contains, --expect or --edit")
    return expect


def _object(text: str, where: str) -> Json:
    value = jsonl.loads(text, where=where)
    if not isinstance(value, dict):
        raise CaseError(f"{where}: must be one JSON object, found {show(value)}")
    return value


def _proposed(each: Captured) -> Json:
    """What the model did; nothing where no rule can judge it: words without tools, or calls that do not parse."""
    if any(not isinstance(call["arguments"], dict) for call in each.calls):
        return {}
    if each.calls:
        return {"calls": [{"name": call["name"], "arguments": literal(call["arguments"])} for call in each.calls]}
    return {"calls": []} if each.question.get("tools") and each.content.strip() else {}


def _source(each: Captured, given: Options) -> str:
    said = given.source or f"{each.source}, {datetime.now(UTC):%Y-%m-%d}"
    return f"{said}; added anyway: {given.anyway}" if given.anyway else said


def _id(row: Json, file: str, ids: Sequence[str]) -> str:
    """The file's name and a hash of what is asked: the same question has the same id wherever it is added."""
    asked = json.dumps([row["messages"], row.get("tools", [])], sort_keys=True).encode()
    digest = hashlib.sha256(asked).hexdigest()
    prefix = _PREFIX.sub("-", Path(file).stem).strip("-._")[:40] or "case"
    lengths = (f"{prefix}-{digest[:length]}" for length in range(8, 33))
    return next((each for each in lengths if each not in ids), f"{prefix}-{digest[:32]}")


def _by_name(row: Json, fixtures: Path) -> Json:
    """The tools by the name of the file that holds the very same ones."""
    for path in sorted((fixtures / "tools").glob("*.json")) if isinstance(row.get("tools"), list) else ():
        try:
            listed = jsonl.loads(path.read_text(encoding="utf-8"), where=str(path))
            if [tool(each) for each in listed] == row["tools"]:
                return row | {"tools": path.stem}
        except (OSError, UnicodeDecodeError, CaseError):
            continue  # a broken file is told by whoever uses it
    return row


def _checked(row: Json, fixtures: Path, ids: Sequence[str]) -> Case:
    """The case as a run would load it. Raises CaseError also where nothing could meet it."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CaseError("half of a surrogate pair, which is not a text") from error
    case = loader.parse(row, fixtures)
    if case.id in ids:
        raise CaseError(f"id {case.id!r} is taken by another case: give it another --id")
    if why := unreachable(case) or contradiction(case):
        raise CaseError(f"case {case.id!r}: nothing can meet what it expects: {why}")
    return case


def _still_fit(before: Json, row: Json, fixtures: Path, ids: Sequence[str], redactors: Sequence[Redactor]) -> Case:
    """The redacted case, checked. Where only redaction made it wrong (a tool's pattern or enum), the error says so."""
    try:
        return _checked(row, fixtures, ids)
    except CaseError as error:
        if before == row or not replacements(redactors) or _is_wrong(before, fixtures, ids):
            raise
        raise CaseError(f"{error}: redaction did this; {advice(redactors)}, or loosen the tool's schema") from error


def _is_wrong(row: Json, fixtures: Path, ids: Sequence[str]) -> bool:
    try:
        _checked(row, fixtures, ids)
    except CaseError:
        return True
    return False


def _told(did: Json) -> str:
    """What the model did, as comments above the case in the editor."""
    told = [f"the model called {describe_call(call)}" for call in did["calls"]]
    told += [f"the model said {one_line(did['content'], 500)}"] if did["content"] else []
    return "".join(f"# {line}\n" for line in [*told, *did["why"]])


def _edited(row: Json, told: str, fixtures: Path, ids: Sequence[str]) -> Json | None:
    """The case as it leaves the editor: opened again with the error above it until it is valid, or empty."""
    text = json.dumps(row, ensure_ascii=False, indent=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.json"
        head = "# What is asked and what is expected. Save it to add the case; empty it to give up."
        while True:
            path.write_text(f"{told}{head}\n{text}\n", encoding="utf-8")
            _open(path)
            after = _uncommented(path)
            if not after.strip():
                return None
            try:
                value = _object(after, "the case")
                _checked(value, fixtures, ids)
                return value
            except CaseError as error:
                if after.strip() == text.strip() and head.startswith("# error"):
                    raise CaseError(f"the editor changed nothing, and this is not a valid case: {error}") from error
                head, text = f"# error: {one_line(str(error), 500)}", after


def _open(path: Path) -> None:
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    try:
        status = subprocess.run([*command, str(path)], check=False).returncode
    except OSError as error:
        raise CaseError(f"{command[0]}: cannot be started: {error.strerror}; set EDITOR") from error
    if status:
        raise CaseError(f"{command[0]} ended with {status}: nothing was added")


def _uncommented(path: Path) -> str:
    try:
        kept = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"what the editor left cannot be read: {error}") from error
    return "\n".join(line for line in kept if not line.lstrip().startswith("#")).strip()


def _interview(given: Options) -> Captured:
    """Ask a person for a case. Raises CaseError where there is none to ask."""
    if not sys.stdin.isatty():
        raise CaseError(
            "say where the case comes from: --from, --pair or --chat (or run it in a terminal, to be asked)"
        )
    print("What does the user say? End with an empty line.")
    said: list[str] = []
    while line := _answer(""):
        said.append(line)
    if not said:
        raise CaseError("nothing was asked: nothing was added")
    question: Json = {"messages": [{"role": "user", "content": "\n".join(said)}]}
    known = ", ".join(sorted(path.stem for path in (given.fixtures / "tools").glob("*.json"))) or "none"
    if name := given.tools or _answer(f"Which tools are offered (known: {known}; empty for none)? "):
        question["tools"] = name
    if given.call or given.no_call or given.contains or given.expect or given.edit:
        return Captured("the terminal", question, [], "", source="written by hand")
    calls: list[Json] = []
    while name and (call := _answer('Which call is right: name({"argument": "value"}), empty for no more? ')):
        calls.append(parsed_call(call))
    text = "" if calls else _answer("What must the answer contain (empty for anything)? ")
    expect: Json = {"calls": calls} | ({"answer": {"contains": [text]}} if text else {})
    return Captured("the terminal", question, [], "", expect=expect, source="written by hand")


def _answer(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return ""
