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

In place of `call`, `calls = [{…}, {…}]` makes several at once. With `result` and `answer` the conversation goes on: the
tool's result, then the words that answer from it; `answer` may be a list, of which one is taken. A phrase of words has
`pairs = [["asked", "answered"]]` in place of `say` and `call`, and `lead = ["", "Say, "]`. A brace is written twice.

A number in a slot becomes one in the call where the tool's schema wants one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np

from gate.cases import loader
from gate.errors import CaseError, GateError
from gate.types import Json

Values = dict[str, str]


class TemplateError(GateError):
    """A file of phrases is wrong."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One thing to ask for, in several wordings, and what is right then."""

    category: str
    count: int
    say: tuple[str, ...] = ()
    calls: tuple[Json, ...] = ()
    """Calls with slots in their arguments."""
    result: str = ""
    answers: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    lead: tuple[str, ...] = ("",)

    @property
    def names(self) -> list[str]:
        """The tools it calls, in order of the alphabet."""
        return sorted(call["name"] for call in self.calls)


@dataclass(frozen=True, slots=True)
class Phrases:
    """A file of phrases, checked."""

    tools: list[Json]
    system: str = ""
    slots: dict[str, list[str]] = field(default_factory=dict)
    phrases: tuple[Phrase, ...] = ()


def read(path: Path, fixtures: Path) -> Phrases:
    """A file of phrases; each can be filled. Raises TemplateError that names the phrase, CaseError for its tools."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        slots = {str(name): [str(value) for value in values] for name, values in given.get("slots", {}).items()}
        every = tuple(_phrase(each) for each in given["phrase"])
        found = Phrases(loader.tools(given["tools"], fixtures), str(given.get("system", "")), slots, every)
    except CaseError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"{path}: {type(error).__name__}: {error}") from error
    for number, phrase in enumerate(every, start=1):
        _try(found, phrase, f"{path}: phrase {number} ({phrase.category})")
    return found


def rows(path: Path, fixtures: Path, *, seed: int) -> list[Json]:
    """Chat rows with `tools`, `category` and structured calls, in the order of the file. Raises TemplateError."""
    book, random = read(path, fixtures), np.random.default_rng(seed)
    found: list[Json] = []
    head = [{"role": "system", "content": book.system}] if book.system else []
    for phrase in book.phrases:
        ways = list(_every(book, phrase))
        for number in random.permutation(len(ways))[: phrase.count]:
            said = filled(book, phrase, *ways[number])
            found.append({"messages": head + said, "tools": book.tools, "category": phrase.category})
    return found


def texts(book: Phrases) -> Iterator[str]:
    """Everything that a file of phrases says and fills in."""
    for values in book.slots.values():
        yield from values
    for phrase in book.phrases:
        yield from phrase.say
        yield from (part for pair in phrase.pairs for part in pair)


def drawn(book: Phrases, phrase: Phrase, random: np.random.Generator) -> list[Json]:
    """A conversation of a phrase, its wording and the values of its slots drawn by chance."""
    if phrase.pairs:
        pair, lead = phrase.pairs[random.integers(len(phrase.pairs))], phrase.lead[random.integers(len(phrase.lead))]
        return filled(book, phrase, lead + pair[0], {"": pair[1]})
    say = phrase.say[random.integers(len(phrase.say))]
    names = _names(say, phrase)
    values = {name: book.slots[name][random.integers(len(book.slots[name]))] for name in names}
    if len(phrase.answers) > 1:
        values[""] = phrase.answers[random.integers(len(phrase.answers))]
    return filled(book, phrase, say, values)


def filled(book: Phrases, phrase: Phrase, say: str, values: Values) -> list[Json]:
    """The messages of a wording with its slots filled; `values[""]` is the answer where there are several."""
    if phrase.pairs:
        return [{"role": "user", "content": say}, {"role": "assistant", "content": values[""]}]
    text = say.format_map(values)
    asked = text[:1].upper() + text[1:] if say[:1] == "{" else text
    made = [_call(call, values, book.tools) for call in phrase.calls]
    talk: list[Json] = [{"role": "user", "content": asked}, {"role": "assistant", "content": "", "tool_calls": made}]
    if phrase.result:
        answer = values.get("", phrase.answers[0])
        talk.append({"role": "tool", "content": phrase.result.format_map(values)})
        talk.append({"role": "assistant", "content": answer.format_map(values)})
    return talk


def _phrase(given: Json) -> Phrase:
    known = {"category", "count", "say", "call", "calls", "result", "answer", "pairs", "lead"}
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"a phrase has no key {unknown[0]!r}; it may have {', '.join(sorted(known))}")
    calls = given.get("calls", [given["call"]] if "call" in given else [])
    answers = given.get("answer", [])
    phrase = Phrase(
        str(given["category"]),
        int(given.get("count", 100)),
        tuple(given.get("say", ())),
        tuple(calls),
        str(given.get("result", "")),
        tuple([answers] if isinstance(answers, str) else answers),
        tuple((str(asked), str(answered)) for asked, answered in given.get("pairs", ())),
        tuple(given.get("lead", ("",))),
    )
    if bool(phrase.pairs) == bool(phrase.say and phrase.calls) or bool(phrase.result) != bool(phrase.answers):
        raise ValueError(f"phrase {phrase.category!r}: say with call or calls, or pairs; result and answer together")
    if phrase.result and len(phrase.calls) > 1:
        raise ValueError(f"phrase {phrase.category!r}: a result answers one call")
    return phrase


def _try(book: Phrases, phrase: Phrase, where: str) -> None:
    """Fill each wording once, so that a missing slot or tool is found before anything is built."""
    try:
        for say in phrase.say:
            values = {name: book.slots[name][0] for name in _names(say, phrase)}
            for answer in phrase.answers or ("",):
                filled(book, phrase, say, values | {"": answer})
    except (KeyError, ValueError, IndexError, StopIteration, TypeError) as error:
        raise TemplateError(
            f"{where}: {type(error).__name__}: {error}: name a slot and a tool that there are"
        ) from error


def _every(book: Phrases, phrase: Phrase) -> Iterator[tuple[str, Values]]:
    """Every wording with every way to fill its slots."""
    if phrase.pairs:
        yield from ((lead + asked, {"": answered}) for asked, answered in phrase.pairs for lead in phrase.lead)
        return
    for say in phrase.say:
        names = _names(say, phrase)
        for each in product(*[book.slots[name] for name in names]):
            yield say, dict(zip(names, each, strict=True))


def _names(say: str, phrase: Phrase) -> list[str]:
    """The slots of a wording, and of what follows it."""
    texts = (say, phrase.result, *phrase.answers)
    return sorted({name for text in texts for _, name, _, _ in Formatter().parse(text) if name})


def _call(call: Json, values: Values, tools: Sequence[Json]) -> Json:
    functions = (tool["function"] for tool in tools)
    schema = next(each["parameters"] for each in functions if each["name"] == call["name"])["properties"]
    arguments = {name: _typed(value, values, schema[name]) for name, value in call["arguments"].items()}
    return {"type": "function", "function": {"name": call["name"], "arguments": arguments}}


def _typed(value: Any, values: Values, schema: Json) -> Any:
    if not isinstance(value, str):
        return value
    text = value.format_map(values)
    return {"integer": int, "number": float}.get(str(schema.get("type")), str)(text)
