"""One expected value against one given value: the `$` matchers, schemas, and the reasons in words.

An expected value is plain JSON. A literal is equal to the given value: 1 == 1.0, but "1" != 1 and true != 1; integers
of any size compare exactly, -0.0 is 0, texts compare code point by code point (a composed "é" is not a decomposed one),
an explicit null is not an absent key. A matcher is an object with one `$` key:

    {"$any": [M, …]}                      one of these literals or matchers
    {"$optional": M}                      M, or absent; only as the direct value of an object's key
    {"$regex": "…"}                       a text that the pattern (library `regex`) matches in full, within a second
    {"$contains": V}                      a text with the text V in it, or a list with an element that matches V
    {"$text": "…"}                        equal ignoring case, white space, ,./-_*^'"` and Unicode composition (NFC)
    {"$number": 3.1, "tolerance": 0.01}   that number give or take, ends included, reckoned in decimals as written
    {"$schema": {…}}                      valid by a JSON Schema (draft 2020-12, no remote $ref, `format` not asserted)
    {"$anything": true}                   any value that is there
    {"$literal": V}                       exactly V, nothing in it read as a matcher: for keys that start with `$`

To `$text` "-5" is "5" and "1.5" is "15": use it for names, not for amounts. Whatever a model gives is data and never
raises; a bad or too slow pattern, or a schema that cannot be followed, is the case's fault: CaseError.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gate.cases.json_schema import MAX_DEPTH, found, pattern_problem, schema_errors, schema_problem, unfit
from gate.system.text import folded, join, one_line, show, wanted
from gate.types import Json

_NUMBERS = (int, float)
_IGNORED = frozenset(",./-_*^'\"`")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, and what the tool's schema declares there."""

    path: str
    schema: Any = None
    root: Any = None
    """The whole schema, for `$ref`."""

    def key(self, name: str) -> Place:
        properties = self.declared().get("properties")
        return Place(join(self.path, name), properties.get(name) if properties else None, self.root)

    def item(self, index: int) -> Place:
        declared = self.declared()
        return Place(f"{self.path}[{index}]", None if "prefixItems" in declared else declared.get("items"), self.root)

    def default(self) -> list[Any]:
        """The declared default as a list of one; empty when there is none."""
        schemas = (self.schema, self.declared())
        return [schema["default"] for schema in schemas if isinstance(schema, dict) and "default" in schema][:1]

    def declared(self) -> Json:
        """The schema behind a local `$ref`, {} where there is none; what stands under anyOf or allOf is not seen."""
        schema = self.schema
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                break
            base, *steps = schema["$ref"].split("/")
            schema = self.root if base == "#" else None
            for step in steps:
                schema = schema.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(schema, dict) else None
        return schema if isinstance(schema, dict) else {}


def mismatches(expected: Any, got: Any, place: Place) -> list[str]:
    """Why `got` is not what is expected, each a line with its path; empty when it is.

    `expected` has no `problems`, and `got` is not `unfit`. A given key that is not expected is a mismatch unless the
    schema declares it with a default equal to the given value. An expected key that is absent counts as given with its
    declared default: both mean the same call. Raises CaseError for a pattern that runs out of time.
    """
    name = matcher(expected)
    if name == "$optional":
        return mismatches(expected[name], got, place)
    if not name and isinstance(expected, dict) and isinstance(got, dict):
        return _object_mismatches(expected, got, place)
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return [line for i, (want, value) in pairs for line in mismatches(want, value, place.item(i))]
    if name == "$any":
        equal = any(not mismatches(each, got, place) for each in expected[name])
    else:
        equal = _MATCHES[name](expected, got) if name else _key(expected) == _key(got)
    return [] if equal else [one_line(f"{place.path}: expected {wanted(expected)}, got {show(got)}")]


def problems(expected: Any, path: str) -> list[str]:
    """What is wrong with the way an expected value is written, each a line with its path; empty when all is well."""
    if flaw := unfit(expected):
        return [one_line(f"{path}: {flaw}")]
    return _fit_problems(expected, path)


def matcher(expected: Any) -> str:
    """The `$` key of a matcher; empty for a literal."""
    return next((key for key in expected if key.startswith("$")), "") if isinstance(expected, dict) else ""


def _fit_problems(expected: Any, path: str) -> list[str]:
    """`problems` of what is fit, and so is every part of it."""
    if name := matcher(expected):
        return _matcher_problems(name, expected, join(path, name))
    if isinstance(expected, dict):
        return [line for key, value in expected.items() for line in _fit_problems(_held(value), join(path, key))]
    items = enumerate(expected) if isinstance(expected, list) else ()
    return [line for index, item in items for line in _fit_problems(item, f"{path}[{index}]")]


def _object_mismatches(expected: Json, got: Json, place: Place) -> list[str]:
    lines = []
    for key in expected | got:
        spot = place.key(key)
        default, optional = spot.default(), matcher(expected.get(key)) == "$optional"
        if key not in expected and (not default or _key(default[0]) != _key(got[key])):
            lines.append(one_line(f"{spot.path}: expected nothing, got {show(got[key])}"))
        elif key in expected and (key in got or (default and not optional)):
            lines += mismatches(expected[key], got[key] if key in got else default[0], spot)
        elif key in expected and not optional:
            lines.append(one_line(f"{spot.path}: expected {wanted(expected[key])}, got nothing"))
    return lines


def _held(value: Any) -> Any:
    """What stands in an object: an `$optional` is allowed just here."""
    return value["$optional"] if isinstance(value, dict) and value.keys() == {"$optional"} else value


def _matcher_problems(name: str, expected: Json, path: str) -> list[str]:
    value, others = expected[name], expected.keys() - {name}
    if name not in _FLAWS:
        flaw = f'is no matcher; they are {", ".join(_FLAWS)}; an object with such a key is {{"$literal": …}}'
    elif others - ({"tolerance"} if name == "$number" else set()):
        flaw = f"a matcher stands alone, found also {show(sorted(others))}"
    elif type(tolerance := expected.get("tolerance", 0)) not in _NUMBERS or tolerance < 0:
        flaw = f"expected a tolerance of 0 or more, found {show(tolerance)}"
    else:
        flaw = _FLAWS[name](value)
    if flaw:
        return [one_line(f"{path}: {flaw}")]
    return _fit_problems(value, path) if name in ("$any", "$contains") else []


def _key(value: Any) -> Hashable:
    """Equal for equal JSON values, and only for these."""
    if isinstance(value, dict):
        return ("object", frozenset((name, _key(part)) for name, part in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_key, value)))
    return (type(value).__name__ if isinstance(value, bool) else "", value)


def _exact(number: float) -> Fraction:
    return Fraction(str(number))


def _plain(text: str) -> str:
    return "".join(c for c in folded(text) if c not in _IGNORED and not c.isspace())


_MATCHES: dict[str, Callable[[Json, Any], bool]] = {
    "$regex": lambda expected, got: isinstance(got, str) and found(expected["$regex"], got, full=True),
    "$contains": lambda expected, got: (
        (isinstance(got, list) and any(not mismatches(expected["$contains"], item, Place("")) for item in got))
        or (isinstance(got, str) and isinstance(expected["$contains"], str) and expected["$contains"] in got)
    ),
    "$text": lambda expected, got: isinstance(got, str) and _plain(expected["$text"]) == _plain(got),
    "$number": lambda expected, got: (
        type(got) in _NUMBERS
        and got - got == 0  # inf and NaN are near no number
        and abs(_exact(got) - _exact(expected["$number"])) <= _exact(expected.get("tolerance", 0))
    ),
    "$schema": lambda expected, got: not schema_errors(expected["$schema"], got),
    "$anything": lambda _expected, _got: True,
    "$literal": lambda expected, got: _key(expected["$literal"]) == _key(got),
}
_FLAWS: dict[str, Callable[[Any], str]] = {
    "$any": lambda value: "" if isinstance(value, list) and value else f"expected a list of some, found {show(value)}",
    "$optional": lambda _value: "stands only as the direct value of an object's key",
    "$regex": pattern_problem,
    "$contains": lambda value: "every text contains the empty one" if value == "" else "",
    "$text": lambda value: "" if isinstance(value, str) and _plain(value) else f"nothing to compare in {show(value)}",
    "$number": lambda value: "" if type(value) in _NUMBERS else f"expected a number, found {show(value)}",
    "$schema": schema_problem,
    "$anything": lambda value: "" if value is True else f"expected true, found {show(value)}",
    "$literal": lambda _value: "",
}
