"""What a case expects of a model's tool calls and of its prose: `expect` in a case file.

    {"calls": [{"name": "terminal", "arguments": {"command": "pwd"}}], "order": "any", "answer": {…}}

`calls`: [] means that no tool may be called; absent means that nothing is asked of them. An argument, or `arguments` as
a whole, is a literal or a matcher (gate.cases.matchers). `order`: `any` (default; paired one to one as well as can be)
or `strict`. Besides, a call must be valid by its tool's JSON Schema, which refuses an argument that it does not declare
unless it sets additionalProperties. An argument that the case does not name must equal the default that the schema
declares for it; a named one may be left out where that default matches.

`answer`: each key that is there must hold, and there must be an answer at all:
    "contains": ["a", ["b", "c"]]   the text a, and b or c; ignoring case
    "not_contains": ["d"]           ignoring case
    "regex": "…"                    found anywhere in it
    "json_schema": {…}              it is JSON as a whole (no NaN, no twin keys, no code fence), valid by the schema
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from gate.cases import answer
from gate.cases.json_schema import COMPOSED, breach, parts, schema_errors, schema_problem, unfit
from gate.cases.matchers.matcher import Place, describe_call, is_optional, matcher, mismatches, problems
from gate.errors import CaseError
from gate.system.memoize import memoized
from gate.system.text import join, one_line, show
from gate.types import Json

MAX_REASONS = 20
MAX_CALLS = 100
"""Most calls that a case may expect, and that are compared; more calls never match."""


class _Expected:
    """Equal, from either side of ==, to what matches it, and to another that expects the same. Unhashable."""

    key: ClassVar[str]
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, case_id: str, expect: Json, tools: list[Json] | None = None) -> None:
        self.case_id, self.expect, self.tools = case_id, expect, tools or []

    def __eq__(self, got: object) -> bool:
        if isinstance(got, type(self)):
            return vars(self) == vars(got)
        return not self.reasons(got)

    def __repr__(self) -> str:
        value = self.expect.get(self.key, "not set")
        text = ", ".join(map(_call, value)) or "none" if isinstance(value, list) else show(value, 150)
        return one_line(f"<{self.key}: {text}>")

    def reasons(self, got: object) -> list[str]:
        """Why `got` does not match, a line each; empty when it does. Raises CaseError naming the case."""
        try:
            if self.key not in self.expect:
                raise CaseError(f"expect.{self.key} is not set; write it in the case, or do not compare with it")
            return self._compare(got)
        except CaseError as error:
            raise CaseError(f"case {self.case_id}: {error}") from error

    def _compare(self, got: Any) -> list[str]:
        raise NotImplementedError


class ExpectedCalls(_Expected):
    """`expected == reply.calls` is `compare(expect, reply.calls, tools) == []`; CaseError when `calls` is not set."""

    key = "calls"

    def _compare(self, got: Any) -> list[str]:
        return compare(self.expect, got, self.tools)


class ExpectedAnswer(_Expected):
    """`expected == reply.content` is true for a text that `answer` asks for; CaseError when `answer` is not set."""

    key = "answer"

    def _compare(self, got: Any) -> list[str]:
        _refuse(answer.problems(self.expect["answer"]))
        return _capped(answer.reasons(self.expect["answer"], got))


def compare(expect: Json, calls: Any, tools: list[Json]) -> list[str]:
    """Why the calls are not what a case expects: at most MAX_REASONS lines; empty when they are, or nothing is asked.

    `calls` is [{"name": str, "arguments": object}] from an untrusted model: whatever it is, it only gives reasons.
    `tools` are OpenAI tools. Raises CaseError when `expect` or `tools` is written wrongly or a pattern is too slow.
    """
    flaws, offered = _read(tools)
    _refuse([*_calls_problems(expect), *flaws])
    if "calls" not in expect:
        return []
    if not isinstance(calls, list):
        return [f"expected a list of calls, got {show(calls)}"]
    return _capped(_call_reasons(expect, calls, offered))


def check(expect: Any, tools: Any) -> list[str]:
    """What is wrong with an expectation before a model is asked, each a line with a path like `calls[0].arguments.x`.

    Wrong shapes, unknown keys, bad matchers, patterns and schemas, and calls that no model could make: a tool that is
    not offered, an argument that it does not declare or whose literal it refuses, a required argument left out.
    """
    flaws, offered = _read(tools)
    lines = [*_calls_problems(expect), *flaws]
    if isinstance(expect, dict) and "answer" in expect:
        lines += answer.problems(expect["answer"])
    if lines or "calls" not in expect:
        return lines
    calls = enumerate(expect["calls"])
    return [one_line(line) for i, call in calls for line in _reach_problems(call, offered, f"calls[{i}]")]


def tools_problems(tools: Any) -> list[str]:
    """What is wrong with OpenAI tools, a line each; empty when they are well."""
    return _read(tools)[0]


def _refuse(lines: list[str]) -> None:
    if lines:
        raise CaseError(f"expect or tools are written wrongly: {'; '.join(lines[:3])}; fix the case")


def _capped(lines: Iterator[str]) -> list[str]:
    every = [one_line(line) for line in lines]
    more = len(every) - MAX_REASONS + 1
    return every if more <= 1 else [*every[:-more], f"… and {more} more"]


def _call(call: Any) -> str:
    """A call in words: terminal(command="pwd")."""
    name, arguments = (call.get("name"), call.get("arguments")) if isinstance(call, dict) else (None, call)
    inside = show(arguments)
    if isinstance(arguments, dict) and all(isinstance(key, str) for key in arguments):
        some = [f"{one_line(key, 30)}={show(arguments[key], 40)}" for key in list(arguments)[:4]]
        inside = ", ".join([*some, "…"] if len(arguments) > 4 else some)
    return one_line(f"{one_line(name, 60) if isinstance(name, str) else show(name)}({inside})", 150)


def _offered(tools: list[Json]) -> dict[str, Json]:
    """Each tool's schema; one that does not set additionalProperties refuses what it does not declare."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in tools}
    return {name: schema if "additionalProperties" in schema else _closed(schema) for name, schema in schemas.items()}


def _closed(schema: Json) -> Json:
    """`additionalProperties` does not see what a part that is composed in declares, and is looked at sooner."""
    composed = COMPOSED | {"unevaluatedProperties"}
    keyword = "additionalProperties" if composed.isdisjoint(schema) else "unevaluatedProperties"
    return {"type": "object", keyword: False} | schema


def _call_reasons(expect: Json, calls: list[Any], offered: dict[str, Json]) -> Iterator[str]:
    if len(calls) > MAX_CALLS:
        yield f"got {len(calls)} calls; only the first {MAX_CALLS} are compared"
    wanted = expect["calls"]
    got = [call if isinstance(call, dict) else {"arguments": call} for call in calls[:MAX_CALLS]]
    faults = [_faults(call, offered) for call in got]
    both = list(zip(got, faults, strict=True))
    table = [[_pair_reasons(want, call, fault, offered) for call, fault in both] for want in wanted]
    if expect.get("order") == "strict":
        pairs = {i: i for i in range(min(len(wanted), len(got)))}
    else:
        pairs = _paired(table, [[want["name"] == call.get("name") for call in got] for want in wanted])
    for want, call in pairs.items():
        yield from table[want][call]
    for want in (i for i in range(len(wanted)) if i not in pairs):
        yield f"missing call: {describe_call(wanted[want])}"
    extra = "unexpected call:" if wanted else "expected no call, got"
    for call in (i for i in range(len(got)) if i not in pairs.values()):
        yield from (f"{extra} {_call(got[call])}", *(faults[call] if wanted else []))


def _paired(table: list[list[list[str]]], alike: list[list[bool]]) -> dict[int, int]:
    """Expected -> given: as many without reasons as can be; the rest by name, fewest reasons first."""
    pairs = _matching([[j for j, reasons in enumerate(row) if not reasons] for row in table])
    rest = [(len(reasons), i, j) for i, row in enumerate(table) for j, reasons in enumerate(row) if alike[i][j]]
    for _, i, j in sorted(rest):
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return dict(sorted(pairs.items()))


def _matching(fits: list[list[int]]) -> dict[int, int]:
    """The largest one-to-one matching, by augmenting paths (Kuhn 1955): a greedy one can block itself."""
    owner: dict[int, int] = {}

    def placed(want: int, tried: set[int]) -> bool:
        for call in fits[want]:
            if call not in tried:
                tried.add(call)
                if call not in owner or placed(owner[call], tried):
                    owner[call] = want
                    return True
        return False

    for want in range(len(fits)):
        placed(want, set())
    return {want: call for call, want in owner.items()}


def _faults(call: Json, offered: dict[str, Json]) -> list[str]:
    """Why a call matches nothing, whatever is expected."""
    name, arguments = call.get("name"), call.get("arguments")
    if not isinstance(name, str) or name not in offered:
        return [f"unknown tool {show(name)}; offered: {', '.join(offered) or 'none'}"]
    if not isinstance(arguments, dict):
        return [f"{name}: arguments are not a JSON object: {show(arguments)}"]
    if flaw := unfit(arguments):
        return [f"{name}: the arguments cannot be compared: one {flaw}"]
    return [breach(error, name) for error in schema_errors(offered[name], arguments)]


def _pair_reasons(want: Json, call: Json, faults: list[str], offered: dict[str, Json]) -> list[str]:
    if want["name"] != call.get("name"):
        return [f"expected {describe_call(want)}, got {_call(call)}", *faults]
    if want["name"] not in offered or not isinstance(call.get("arguments"), dict) or unfit(call["arguments"]):
        return faults
    schema = offered[want["name"]]
    return [*mismatches(want["arguments"], call["arguments"], Place(want["name"], schema, schema)), *faults]


@memoized(16_384)  # looked at when a case is read, and when it is compared: patterns take long to compile
def _calls_problems(expect: Any) -> list[str]:
    if not isinstance(expect, dict):
        return [f"expect: expected an object, found {show(expect)}"]
    lines = [f"{join('expect', key)}: unknown key" for key in expect if key not in ("calls", "order", "answer")]
    if expect.get("order", "any") not in ("any", "strict") or ("order" in expect and "calls" not in expect):
        lines.append(f"order: expected any or strict, beside calls; found {show(expect['order'])}")
    calls = expect.get("calls", [])
    if not isinstance(calls, list) or len(calls) > MAX_CALLS:
        return [*lines, f"calls: expected a list of at most {MAX_CALLS} calls, found {show(calls)}"]
    for i, call in enumerate(calls):
        shaped = isinstance(call, dict) and call.keys() == {"name", "arguments"} and isinstance(call["name"], str)
        if shaped and isinstance(call["arguments"], dict):
            lines += problems(call["arguments"], f"calls[{i}].arguments")
        else:
            lines.append(f'calls[{i}]: expected {{"name": "…", "arguments": {{…}}}}, found {show(call)}')
    return lines


@memoized(64)
def _read(tools: Any) -> tuple[list[str], dict[str, Json]]:
    """What is wrong with tools; where nothing is, each one's schema."""
    lines = list(_tools_problems(tools))
    return lines, {} if lines else _offered(tools)


def _tools_problems(tools: Any) -> Iterator[str]:
    if not isinstance(tools, list):
        yield f"tools: expected a list, found {show(tools)}"
        return
    names: list[str] = []
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or function["name"] in names:
            shape = '{"type": "function", "function": {"name": "…"}}, each name once'
            yield one_line(f"tools[{i}]: expected {shape}, found {show(tool, 100)}")
            continue
        names.append(function["name"])
        if flaw := schema_problem(function.get("parameters", {})):
            yield one_line(f"tools[{i}].function.parameters: {flaw}")


def _reach_problems(call: Json, offered: dict[str, Json], path: str) -> Iterator[str]:
    """Why no model could make this call: it would be a miss whatever the model does."""
    if call["name"] not in offered:
        yield f"{path}.name: {show(call['name'])} is not offered; the tools are {', '.join(offered) or 'none'}"
        return
    arguments, schema = call["arguments"], offered[call["name"]]
    if matcher(arguments):
        return
    for key in schema.get("required", []):
        if is_optional(arguments.get(key)):
            yield f"{join(f'{path}.arguments', key)}.$optional: the tool requires it; expect what is in it"
        if key not in arguments and not Place("", schema, schema).key(key).default():
            yield f'{join(f"{path}.arguments", key)}: the tool requires it; name it, if only as {{"$anything": true}}'
    loose = {key for key, value in arguments.items() if any(matcher(part) for _, part in parts(value))}
    declared = {key: True if key in loose else part for key, part in schema.get("properties", {}).items()}
    given = {key: None if key in loose else value for key, value in arguments.items()}
    for error in schema_errors(schema | {"properties": declared}, given):
        top = next(iter(error.absolute_path), None)
        blurred = error.validator == "required" or (loose and COMPOSED & schema.keys())
        if top not in loose and not (top is None and blurred):
            yield breach(error, f"{path}.arguments")
