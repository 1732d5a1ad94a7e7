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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
from msgspec import Struct, structs

from gate.cases import loader
from gate.errors import GateError
from gate.system import typed
from gate.types import Json

Values = dict[str, str]


class TemplateError(GateError):
    """A file of phrases is wrong."""


class Call(Struct, frozen=True, forbid_unknown_fields=True):
    """A call with slots in its arguments."""

    name: str
    """The tool."""
    arguments: Json


class Phrase(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to ask for, in several wordings, and what is right then."""

    category: str
    """What a row of it is counted as."""
    count: int = 100
    """Rows of it, as far as there are different ones."""
    say: tuple[str, ...] = ()
    """Wordings, with slots in braces."""
    call: Call | None = None
    """The call that is right."""
    calls: tuple[Call, ...] = ()
    """Several calls at once, in place of `call`."""
    result: str = ""
    """What the tool returns; the conversation then goes on with an answer."""
    answer: str | tuple[str, ...] = ()
    """The words that answer from the result; of a list one is taken."""
    pairs: tuple[tuple[str, str], ...] = ()
    """What is asked and answered in words, in place of say and call."""
    lead: tuple[str, ...] = ("",)
    """What a question of `pairs` may begin with."""

    def __post_init__(self) -> None:
        structs.force_setattr(self, "calls", (self.call,) if self.call else self.calls)
        if bool(self.pairs) == bool(self.say and self.calls) or bool(self.result) != bool(self.answer):
            raise ValueError("say: expected say with call or calls, or pairs; result and answer together")
        if self.result and len(self.calls) > 1:
            raise ValueError("result: answers one call")

    @property
    def answers(self) -> tuple[str, ...]:
        """The wordings of the answer."""
        return (self.answer,) if isinstance(self.answer, str) else self.answer

    @property
    def names(self) -> list[str]:
        """The tools it calls, in order of the alphabet."""
        return sorted(call.name for call in self.calls)


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of phrases as it is written."""

    tools: str
    """The tools that the rows offer: fixtures/tools/<name>.json."""
    phrase: tuple[Phrase, ...]
    """What there is to ask for."""
    system: str = ""
    """The instructions that each row begins with."""
    slots: dict[str, tuple[str, ...]] = {}
    """Values to fill in, by the name of the slot."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """A file of phrases, checked."""

    tools: list[Json]
    system: str = ""
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict)
    phrases: tuple[Phrase, ...] = ()


def read(path: Path, fixtures: Path) -> Phrases:
    """A file of phrases; each can be filled. Raises TemplateError that names the phrase, CaseError for its tools."""
    file = typed.read(path, File, error=TemplateError)
    book = Phrases(loader.tools(file.tools, fixtures), file.system, file.slots, file.phrase)
    for number, phrase in enumerate(book.phrases, start=1):
        _try(book, phrase, f"{path}: phrase {number} ({phrase.category})")
    return book


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


def _call(call: Call, values: Values, tools: Sequence[Json]) -> Json:
    functions = (tool["function"] for tool in tools)
    schema = next(each["parameters"] for each in functions if each["name"] == call.name)["properties"]
    arguments = {name: _typed(value, values, schema[name]) for name, value in call.arguments.items()}
    return {"type": "function", "function": {"name": call.name, "arguments": arguments}}


def _typed(value: Any, values: Values, schema: Json) -> Any:
    if not isinstance(value, str):
        return value
    text = value.format_map(values)
    return {"integer": int, "number": float}.get(str(schema.get("type")), str)(text)
