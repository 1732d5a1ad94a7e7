"""Chat rows in OpenAI's fine-tuning form as cases: the last assistant turn is what is expected.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "tool_calls": […]}], "tools": […]}

Arguments are objects or JSON texts; the older `functions`, `function_call` and role `function` are read, too. Calls are
expected as they stand. Words mean that no tool may be called. Where none is offered, words of a mere label (up to 3 on
one line) are the whole answer that is expected; longer ones no rule can judge, and they are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gate.authoring.importers.result import Refused
from gate.cases.json_schema import schema_problem, unfit
from gate.errors import CaseError
from gate.system import jsonl
from gate.system.text import show
from gate.types import Json

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of functions that the OpenAI API takes."""
MAX_LINE = 2_000_000
"""Bytes of a row; longer ones are passed over unread."""
MAX_VALUES = 20_000
LABEL = 3
"""Words of an answer that is a label: it has to be given as it stands."""
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ENDS = " \t\n.!\"'*"
"""What may stand around a label."""
_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,60}")


def read(path: Path) -> Iterator[tuple[str, Json | Refused]]:
    """Yield (category, case without split, or why there is none) of each line. Raises CaseError for no file."""
    for where, value in lines(path):
        yield convert(value, where, prefix="openai")


def lines(path: Path) -> Iterator[tuple[str, Json | Refused]]:
    """Yield (file:line, object or refusal) of a JSON Lines file; empty lines are passed over. Raises CaseError."""
    if not path.is_file():
        raise CaseError(f"{path}: is not a file: name a JSON or JSON Lines file")
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(jsonl.bounded_lines(stream, MAX_LINE), start=1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if line.strip():
                    yield (where := f"{path}:{number}"), parsed_row(line, where)
    except OSError as error:
        raise CaseError(f"{path}: cannot be read: {error.strerror}") from error


def parsed_row(line: bytes, where: str) -> Json | Refused:
    """The object that a row's bytes hold, if they are strict JSON of a size that can be compared."""
    if len(line) > MAX_LINE:
        return Refused(where, f"the row is longer than {MAX_LINE:,} bytes")
    try:
        value = jsonl.loads(line.decode(), where=where)
    except UnicodeDecodeError as error:
        return Refused(where, "not UTF-8", f"byte {error.start} of the row")
    except CaseError as error:
        return refusal(error, where)
    if not isinstance(value, dict):
        return Refused(where, "a row must be a JSON object", show(value))
    flaw = unfit(value, MAX_VALUES)
    return Refused(where, "the row is not a value that can be compared", f"it {flaw}") if flaw else value


def refusal(error: CaseError, where: str) -> Refused:
    """An error that reads "reason in general: what was found", as a refusal."""
    why, _, detail = str(error).removeprefix(f"{where}: ").partition(": ")
    return Refused(where, why, detail)


def convert(row: Json | Refused, where: str, *, prefix: str) -> tuple[str, Json | Refused]:
    """(category, case) of a chat row; the refusal where it is one already, or becomes one."""
    if isinstance(row, Refused):
        return "", row
    try:
        made = case(row, where, prefix=prefix)
    except CaseError as error:
        return "", refusal(error, where)
    return made["tags"][0], made


def case(row: Json, where: str, *, prefix: str) -> Json:
    """A chat row as a case without a split, its category as the tag. Raises CaseError: "reason: what was found"."""
    offered = [tool(each) for each in _tools(row)]
    names = [each["function"]["name"] for each in offered]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CaseError(f"two tools have the same name: {show(sorted(twice)[0])}")
    asked, answer = _parted(_turns(row))
    category = _category(answer, offered)
    return {
        "id": _id(row, [asked, offered], prefix),
        "messages": asked,
        **({"tools": offered} if offered else {}),
        "expect": _expect(answer, offered),
        "tags": [category],
        "source": Path(where).name,
    }


def tool(given: Json) -> Json:
    """An OpenAI tool with its name, description and parameters alone, checked. Raises CaseError: "reason: what"."""
    function = given.get("function") if given.get("type", "function") == "function" else None
    if not isinstance(function, dict):
        raise CaseError(f"a tool that is not a function: {show(given)}")
    name, words, parameters = function.get("name"), function.get("description"), function.get("parameters")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise CaseError(f"a tool's name that the OpenAI API refuses, which takes {NAME.pattern}: {show(name, 80)}")
    if not isinstance(words, str | None):
        raise CaseError(f"a tool's description is not a text: {show(words)}")
    parameters = {"type": "object", "properties": {}} if parameters is None else parameters
    if flaw := schema_problem(parameters):
        raise CaseError(f"a tool's parameters are no JSON Schema: {name}: {flaw}")
    if parameters.get("type", "object") != "object":
        raise CaseError(f"a tool's parameters are no object's schema: {name}: type {show(parameters['type'])}")
    return {"type": "function", "function": {"name": name, "description": words or "", "parameters": parameters}}


def listed(value: Any, what: str) -> list[Json]:
    """A list of objects, or the one that a JSON text holds. Raises CaseError: "reason: what was found"."""
    found = _unwrapped(value, what)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise CaseError(f"{what} must be a list of objects: {show(found)}")
    return found


def literal(value: Any) -> Any:
    """A value as gate.cases.matchers reads it as itself: what has keys that start with `$` is wrapped."""
    if isinstance(value, dict):
        if any(key.startswith("$") for key in value):
            return {"$literal": value}
        return {key: literal(each) for key, each in value.items()}
    return [literal(each) for each in value] if isinstance(value, list) else value


def _unwrapped(value: Any, what: str) -> Any:
    """What a JSON text holds, as deep and as large as can be compared; another value as it is."""
    if not isinstance(value, str):
        return value
    try:
        found = jsonl.loads(value, where=what)
    except CaseError as error:
        raise CaseError(f"{what} are no JSON: {str(error).removeprefix(f'{what}: not JSON: ')}") from error
    if flaw := unfit(found, MAX_VALUES):
        raise CaseError(f"{what} are no value that can be compared: they {flaw}")
    return found


def _tools(row: Json) -> list[Json]:
    if row.get("tools") is not None:
        return listed(row["tools"], "tools")
    older = row.get("functions")
    return [] if older is None else [{"function": each} for each in listed(older, "functions")]


def _turns(row: Json) -> list[Json]:
    if not isinstance(row.get("messages"), list) or not row["messages"]:
        raise CaseError(f"a row without messages: its keys are {show(list(row), 80)}")
    turns: list[Json] = []
    for message in row["messages"]:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise CaseError(f"a message of no role that there is: {show(message)}")
        turns.append(_turn(message, turns))
    return turns


def _turn(message: Json, before: list[Json]) -> Json:
    """A message with the keys of gate/schemas/case.json alone."""
    role = message["role"]
    turn: Json = {"role": "tool" if role == "function" else role, "content": _content(message)}
    for key in ("name", "tool_call_id"):
        if isinstance(message.get(key), str):
            turn[key] = message[key]
    if role == "function":
        turn["tool_call_id"] = _called(message.get("name"), before)
    if role == "assistant":
        turn |= _called_tools(message, len(before))
        turn |= {"weight": 0} if message.get("weight") == 0 else {}
    return turn


def _content(message: Json) -> str | None:
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text") or part.get("refusal") for part in content]
        content = "".join(texts) if all(isinstance(text, str) for text in texts) else content
    content = message.get("refusal") if content is None else content
    if content is not None and not isinstance(content, str):
        raise CaseError(f"a message that is more than text: {show(content)}")
    return content


def _called_tools(message: Json, number: int) -> Json:
    """The calls of an assistant's message, arguments as objects; an older `function_call` gets an id."""
    if message.get("function_call") is not None:
        given = [{"id": f"call_{number}", "function": message["function_call"]}]
    elif message.get("tool_calls") is not None:
        given = listed(message["tool_calls"], "tool_calls")
    else:
        return {}
    return {"tool_calls": [_call(each) for each in given]}


def _call(given: Json) -> Json:
    function = given.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise CaseError(f"a call that is none of a function: {show(given)}")
    written = function.get("arguments")
    arguments = {} if written in (None, "") else _unwrapped(written, "arguments")
    if not isinstance(arguments, dict):
        raise CaseError(f"a call's arguments are no object: {show(arguments)}")
    named = {"id": given["id"]} if isinstance(given.get("id"), str) else {}
    return named | {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _called(name: Any, before: list[Json]) -> str:
    """The id of the latest call of a function, which an older result does not name."""
    for turn in reversed(before):
        for call in turn.get("tool_calls", []):
            if call["function"]["name"] == name:
                return str(call.get("id", ""))
    raise CaseError(f"a result of a function that was not called: {show(name)}")


def _parted(turns: list[Json]) -> tuple[list[Json], Json]:
    """What is asked, and the last assistant turn, which answers it."""
    last = max((n for n, turn in enumerate(turns) if turn["role"] == "assistant"), default=0)
    if not last:
        raise CaseError("no assistant turn that answers something: " + show([turn["role"] for turn in turns]))
    if "weight" in turns[last]:
        raise CaseError("the last assistant turn is marked as not to be learnt: weight 0")
    asked = [{key: value for key, value in turn.items() if key != "weight"} for turn in turns[:last]]
    for turn in asked:
        if not turn.get("tool_calls", True):  # an empty list is none, and the schema of a case refuses it
            del turn["tool_calls"]
    return asked, turns[last]


def _expect(answer: Json, offered: list[Json]) -> Json:
    calls, text = answer.get("tool_calls"), (answer["content"] or "").strip()
    if calls:
        functions = [call["function"] for call in calls]
        return {"calls": [{"name": f["name"], "arguments": literal(f["arguments"])} for f in functions]}
    if not text and calls is None:  # an empty list of calls says that none fits; nothing at all is a broken row
        raise CaseError("the last assistant turn is empty: neither words nor calls")
    if offered:
        return {"calls": []}
    label = text.strip(_ENDS)
    if not label or "\n" in label or len(label.split()) > LABEL:
        raise CaseError(f"free words where no tool is offered, which no rule can judge: {show(text)}")
    ends = f"[{re.escape(_ENDS)}]*"
    return {"calls": [], "answer": {"regex": rf"(?i)\A{ends}{re.escape(label)}{ends}\Z"}}


def _category(answer: Json, offered: list[Json]) -> str:
    """BFCL's names, by how many calls there are and how many tools are offered."""
    calls = len(answer.get("tool_calls") or [])
    if calls < 2:
        return ("simple" if len(offered) < 2 else "multiple") if calls else "no_call"
    return "parallel" if len(offered) < 2 else "parallel_multiple"


def _id(row: Json, question: list[Any], prefix: str) -> str:
    """The row's own id where it is a short one, else by what is asked: never by its place in the file."""
    own = row.get("id")
    if type(own) in (int, str) and _OWN_ID.fullmatch(str(own)):
        return f"{prefix}-{own}"
    text = json.dumps(question, sort_keys=True, separators=(",", ":"))
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
