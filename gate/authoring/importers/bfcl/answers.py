"""BFCL's possible answers as expected calls that accept what its official checker accepts.

What that checker does, as far as it shows in the matchers below:

- Texts are equal but for case and the characters ``,./-_*^`` and blank; `'` is `"`. So they are inside a list or an
  object, but not one level deeper, where values must be equal as they stand.
- "" among the possible values lets an argument be left out, unless the tool requires it. It is a value too: an empty
  text, and an empty list.
- Where the first possible value has another type than the parameter declares, values of either type are taken that
  are equal to a possible one, texts to the letter.
- The keys of an object are checked like arguments, the types of their values are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import regex

from gate.authoring.importers.bfcl.tools import TYPES, kind, name
from gate.cases.json_schema import parts, schema_errors
from gate.errors import CaseError
from gate.system.text import show
from gate.types import Json

TYPE, BOOLEAN = "stricter-type", "stricter-boolean"
"""Where a case takes less than the official checker: a value that the tool's schema refuses for its type; true for 1
and false for 0, and the other way round, which are equal in Python."""
_IGNORED = "[ ,./*^_-]"
_NUMBERS = {"integer", "number"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One expected call, and in what it is stricter than the official checker."""

    call: Json
    stricter: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to be right."""

    matcher: Any
    samples: tuple[Any, ...]
    """Values that it takes, to see whether the tool's schema takes them."""
    loose: bool = False
    """Whether the official checker takes true for 1 in it."""


def expectation(function: Json, tool: Json, possible: Json) -> Wanted:
    """The call that BFCL's possible arguments describe.

    `function` is BFCL's, `tool` its OpenAI function. Raises CaseError (why, detail) where no call can be right.
    """
    declared, schema = function["parameters"]["properties"], tool["parameters"]
    if missing := [key for key in schema["required"] if key not in possible]:
        raise CaseError("no call can be right: the tool requires an argument that has no possible value", missing[0])
    arguments: Json = {}
    stricter: set[str] = set()
    for key, values in possible.items():
        must = key in schema["required"] or "" not in values
        choices = _choices(declared[key], values) if key in declared else []
        taken = [each for each in choices if any(_fits(schema, key, sample) for sample in each.samples)]
        if must and not taken:
            why = "has no possible value of its declared type" if key in declared else "is not declared"
            raise CaseError(f"no call can be right: an argument that must be given {why}", key)
        every = [_fits(schema, key, sample) for each in choices for sample in each.samples]
        stricter |= {TYPE} if not all(every) else set()
        stricter |= {BOOLEAN} if any(each.loose for each in taken) else set()
        if taken:
            arguments[key] = _any(taken) if must else {"$optional": _any(taken)}
    return Wanted({"name": name(function["name"]), "arguments": arguments}, frozenset(stricter))


def _fits(schema: Json, key: str, value: Any) -> bool:
    return not schema_errors(schema["properties"][key], value)


def _any(choices: list[_Choice]) -> Any:
    every = list({json.dumps(each.matcher): each.matcher for each in choices}.values())
    return every[0] if len(every) == 1 else {"$any": every}


def _choices(declared: Json, values: list[Any]) -> list[_Choice]:
    """What the official checker takes for an argument, whatever the schema says."""
    word = TYPES[declared["type"]] or "string"
    first = next((kind(value) for value in values if value != ""), word)
    if first != word and (first, word) != ("integer", "number"):
        return [each for value in values for each in _equals(value, {word, first})]
    if word == "string":
        return _texts([value for value in values if isinstance(value, str)])
    if word == "object":
        return [each for value in values if value != "" for each in _objects(value)]
    if word == "array":
        return _lists(_inner(declared), values)
    return [each for value in values for each in _equals(value, {word})]


def _equals(value: Any, words: set[str]) -> Iterator[_Choice]:
    """The values of these types that Python holds equal to this one; 1 and 1.0 are one number here."""
    word = kind(value)
    whole = word == "integer" or (word == "number" and value.is_integer())
    if word in words or (whole and words & _NUMBERS):
        yield _Choice(_literal(value), (value,))
    elif word == "boolean" and words & _NUMBERS:
        yield _Choice(int(value), (int(value),))
    elif "boolean" in words and whole and value in (0, 1):
        yield _Choice(bool(value), (bool(value),))


def _literal(value: Any) -> Any:
    return {"$literal": value} if isinstance(value, dict | list) else value


def _texts(values: list[str]) -> list[_Choice]:
    """The texts themselves, for who reads the case, then a pattern for all that count as equal to them."""
    bare = list(dict.fromkeys(map(_bare, values)))
    choices = [_Choice(value, (value,)) for value in values if value]
    if filled := [text for text in bare if text]:
        either = "|".join(map(_escaped, filled))
        choices.append(_Choice({"$regex": f"(?i)(?:{either}){{i:{_IGNORED}}}"}, (values[0],)))
    return [*choices, _Choice({"$regex": f"{_IGNORED}*"}, ("",))] if "" in bare else choices


def _bare(text: str) -> str:
    return "".join(c for c in text if c not in _IGNORED[1:-1]).lower().replace("'", '"')


def _escaped(text: str) -> str:
    return str(regex.escape(text, special_only=True)).replace('"', "[\"']")


def _inner(declared: Json) -> str:
    if "type" not in declared.get("items", {}):
        raise CaseError("a list does not declare the type of its items", show(declared))
    return TYPES[declared["items"]["type"]] or "string"


def _lists(inner: str, values: list[Any]) -> list[_Choice]:
    if odd := [value for value in values if not isinstance(value, list | str)]:
        raise CaseError("a possible list is none that the official checker can read", show(odd[0]))
    if inner == "object":
        return [each for value in values for each in _rows(value)]
    loose = any(isinstance(value, str) for value in values)
    return [_list(value, loose) for value in values if loose or any(_typed(value, like, inner) for like in values)]


def _typed(value: list[Any], like: list[Any], inner: str) -> bool:
    """Whether the items of a list have the declared type, or that of the first item of a possible list."""
    words = {inner, next((kind(item) for item in like if item != ""), inner)}
    return all(kind(item) in words or (kind(item) in _NUMBERS and words & _NUMBERS) for item in value)


def _list(value: Any, loose: bool) -> _Choice:
    items = [_any(_texts([item])) if isinstance(item, str) else _literal(item) for item in value]
    return _Choice(items, (list(value),), any(_blurred(item, unchecked=loose) for item in value))


def _blurred(value: Any, *, unchecked: bool) -> bool:
    """Whether true would count as 1 in it: always in what is not checked for its type."""
    numbers = [part for _, part in parts(value) if kind(part) in {"boolean", *_NUMBERS}]
    return (unchecked or isinstance(value, list | dict)) and any(part in (0, 1) for part in numbers)


def _rows(value: Any) -> list[_Choice]:
    """One possible list of objects, checked place by place."""
    places = [_objects(item) if item != "" else [] for item in value]
    if not all(places):
        return []
    firsts = [each[0] for each in places]
    samples = [
        [sample if i == j else each.samples[0] for j, each in enumerate(firsts)]
        for i, one in enumerate(firsts)
        for sample in one.samples
    ]
    return [_Choice([each.matcher for each in firsts], tuple(samples or [[]]), any(each.loose for each in firsts))]


def _objects(value: Any) -> list[_Choice]:
    """One possible object, its keys checked like arguments; none where a key can neither be given nor left out."""
    if not isinstance(value, dict) or not all(isinstance(values, list | str) for values in value.values()):
        raise CaseError("a possible object is none that the official checker can read", show(value))
    if any(key.startswith("$") for key in value):
        raise CaseError("a possible object has a key that begins with $", show(value))
    keys = {key: _key_choices(values) for key, values in value.items()}
    if any(not choices and "" not in value[key] for key, choices in keys.items()):
        return []
    keys = {key: choices for key, choices in keys.items() if choices}
    matcher = {key: {"$optional": _any(each)} if "" in value[key] else _any(each) for key, each in keys.items()}
    base = {key: choices[0].samples[0] for key, choices in keys.items()}
    samples = [base | {key: each.samples[0]} for key, choices in keys.items() for each in choices]
    return [_Choice(matcher, tuple(samples or [{}]), any(each.loose for one in keys.values() for each in one))]


def _key_choices(values: list[Any] | str) -> list[_Choice]:
    texts = _texts([value for value in values if isinstance(value, str)])
    others = [value for value in values if not isinstance(value, str)]
    return [*(_Choice(_literal(each), (each,), _blurred(each, unchecked=True)) for each in others), *texts]
