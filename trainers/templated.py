"""Rows from phrases with slots: `fixtures/slots/<name>.toml`.

    tools = "demo"                                  # fixtures/tools/demo.json
    system = "…"                                    # optional
    [slots]
    city = ["Paris", "Rome"]
    [[phrase]]
    category = "weather"
    count = 75                                      # rows of it, as far as there are different ones
    say = ["What is the weather in {city}?"]
    call = {name = "get_weather", arguments = {city = "{city}"}}

A phrase of words has `pairs = [["asked", "answered"]]` in place of `say` and `call`, and `lead = ["", "Say, "]`.

A number in a slot becomes one in the call where the tool's schema wants one.
"""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np

from gate import cases
from gate.errors import GateError
from gate.types import Json


class TemplateError(GateError):
    """A file of phrases is wrong."""


def rows(path: Path, fixtures: Path, *, seed: int) -> list[Json]:
    """Chat rows with `tools`, `category` and structured calls, in the order of the file. Raises TemplateError."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        tools = cases.tools(given["tools"], fixtures)
        slots, phrases, system = given.get("slots", {}), given["phrase"], given.get("system", "")
        random = np.random.default_rng(seed)
        found = [row for phrase in phrases for row in _phrase(phrase, slots, tools, random)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TemplateError(f"{path}: {type(error).__name__}: {error}") from error
    head = [{"role": "system", "content": system}] if system else []
    return [{"messages": head + row["messages"], "tools": tools, "category": row["category"]} for row in found]


def _phrase(phrase: Json, slots: Json, tools: list[Json], random: np.random.Generator) -> list[Json]:
    if "pairs" in phrase:
        leads = phrase.get("lead", [""])
        found = [(lead + asked, {"content": answered}) for asked, answered in phrase["pairs"] for lead in leads]
    else:
        ways = [(say, values) for say in phrase["say"] for values in _values(say, slots)]
        found = [_filled(phrase["call"], say, values, tools) for say, values in ways]
    picked = [found[number] for number in random.permutation(len(found))[: phrase["count"]]]
    return [
        {
            "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "", **answer}],
            "category": phrase["category"],
        }
        for asked, answer in picked
    ]


def _values(say: str, slots: Json) -> list[dict[str, str]]:
    """Every way to fill the slots of a phrase."""
    names = sorted({name for _, name, _, _ in Formatter().parse(say) if name})
    return [dict(zip(names, each, strict=True)) for each in product(*[slots[name] for name in names])]


def _filled(call: Json, say: str, values: dict[str, str], tools: list[Json]) -> tuple[str, Json]:
    schema = next(t["function"]["parameters"] for t in tools if t["function"]["name"] == call["name"])["properties"]
    arguments = {name: _typed(value, values, schema[name]) for name, value in call["arguments"].items()}
    made = {"type": "function", "function": {"name": call["name"], "arguments": arguments}}
    text = say.format_map(values)
    return text[:1].upper() + text[1:] if say[:1] == "{" else text, {"tool_calls": [made]}


def _typed(value: Any, values: dict[str, str], schema: Json) -> Any:
    if not isinstance(value, str):
        return value
    text = value.format_map(values)
    return {"integer": int, "number": float}.get(str(schema.get("type")), str)(text)
