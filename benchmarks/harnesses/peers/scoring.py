"""Is an answer right? What a user of a peer has to write: exact names and arguments of calls, words of an answer.

The strength of gate.cases.expected for the matchers that the benchmark's cases use ($any, $optional, $regex, $text, and
$schema with type, minimum and maximum; `contains` and `regex` of an answer), but for what the gate refuses besides:
calls written as text, and calls that their tool's schema forbids. scoring.cjs says the same for promptfoo.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from typing import Any

Json = dict[str, Any]
IGNORED = ",./-_*^'\"`"
NONE: Json = {"content": "", "calls": [], "cut": False}
"""Stands for an answer where the server gave an error: some refuse what a model wrote. A miss, as for the gate."""


def answer(message: Json, finish: str | None) -> Json:
    """An assistant message of the API as {"content", "calls", "cut"}."""
    calls = [call["function"] for call in message.get("tool_calls") or []]
    return {
        "content": message.get("content") or "",
        "calls": [{"name": call["name"], "arguments": call["arguments"]} for call in calls],
        "cut": finish == "length",
    }


def hit(row: Json, given: Json) -> bool:
    """Is the answer what the row expects? One that is empty or cut at max_tokens never is."""
    expect = row["expect"]
    if given["cut"] or not (given["calls"] or given["content"].strip()):
        return False
    if "calls" in expect and not _calls(expect["calls"], given["calls"], row["tools"]):
        return False
    return "answer" not in expect or _words(expect["answer"], given["content"])


def _calls(wanted: list[Json], calls: list[Json], tools: list[Json]) -> bool:
    if len(wanted) != len(calls):
        return False
    given = [(call["name"], _object(call["arguments"])) for call in calls]
    return any(
        all(_call(want, name, arguments, tools) for want, (name, arguments) in zip(wanted, order, strict=True))
        for order in itertools.permutations(given)
    )


def _call(want: Json, name: str, arguments: Json | None, tools: list[Json]) -> bool:
    if name != want["name"] or arguments is None:
        return False
    defaults = _defaults(name, tools)
    return all(_argument(key, want["arguments"], arguments, defaults) for key in want["arguments"] | arguments)


def _argument(key: str, wanted: Json, given: Json, defaults: Json) -> bool:
    """An argument that is not named must equal its default; a named one may be left out where its default matches."""
    if key not in wanted:
        return key in defaults and _same(defaults[key], given[key])
    if key in given:
        return _matches(wanted[key], given[key])
    optional = isinstance(wanted[key], dict) and "$optional" in wanted[key]
    return optional or (key in defaults and _matches(wanted[key], defaults[key]))


def _matches(wanted: Any, given: Any) -> bool:
    name, value = _matcher(wanted)
    if name == "$any":
        return any(_matches(each, given) for each in value)
    if name == "$optional":
        return _matches(value, given)
    if name == "$regex":
        return isinstance(given, str) and re.fullmatch(value, given) is not None
    if name == "$text":
        return isinstance(given, str) and _bare(value) == _bare(given)
    if name == "$schema":
        whole = isinstance(given, int | float) and not isinstance(given, bool) and given % 1 == 0
        return whole and value.get("minimum", given) <= given <= value.get("maximum", given)
    return _same(wanted, given)


def _bare(text: str) -> str:
    """Without what `$text` overlooks (gate/cases/matchers.py)."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return "".join(each for each in folded if each not in IGNORED and not each.isspace())


def _matcher(wanted: Any) -> tuple[str, Any]:
    """The key and the value of an object with one key; an empty key for anything else."""
    return next(iter(wanted.items())) if isinstance(wanted, dict) and len(wanted) == 1 else ("", None)


def _words(wanted: Json, content: str) -> bool:
    text = content.lower()
    groups = [[group] if isinstance(group, str) else group for group in wanted.get("contains", [])]
    said = all(any(word.lower() in text for word in group) for group in groups)
    return said and re.search(wanted.get("regex", ""), content) is not None


def _same(wanted: Any, given: Any) -> bool:
    return bool(wanted == given) and isinstance(wanted, bool) == isinstance(given, bool)


def _object(arguments: Any) -> Json | None:
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _defaults(name: str, tools: list[Json]) -> Json:
    schemas = [tool["function"]["parameters"] for tool in tools if tool["function"]["name"] == name]
    declared = [item for schema in schemas for item in schema.get("properties", {}).items()]
    return {key: schema["default"] for key, schema in declared if "default" in schema}
