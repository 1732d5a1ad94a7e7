"""A voice kept or broken, without a judge: the [voice] table of a rubric, and what in an answer breaks it.

    [voice]
    filler = ["happy to help"]      # phrases this person never says: no matter the case, whole words, any apostrophe
    hedges = ["maybe"]              # the same, told apart in what is found
    most_words = 40
    lists = false                   # no lists, headings, tables, bold marks
    opens = ["show", "patch"]       # optional: the first word is one of these
    never_opens = ["enjoy"]         # optional: no sentence begins with one of these
    questions = 1                   # optional: question marks at most
    exclamations = 0                # optional: exclamation marks at most

It sees form alone, so it never shows that an answer is good; it shows cheaply, and the same each time, that one is bad.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import regex

from gate.cases.normalize import visible
from gate.errors import CaseError
from gate.system.text import one_line, show
from gate.types import Json

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Names of rubrics: they become names of files and of tests."""
LONGEST_WORD = 30
"""Characters that count as one word; more without a space count as several, so that no text hides in one."""

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:'[\p{L}\p{M}\p{N}]+)*|[.!?]+")
"""A word, or an end of a sentence: no phrase goes over one ("No. Problem found.")."""
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_THOUGHT = re.compile(r"(</?think>)")
_MARKS = {
    "a bullet list": re.compile(r"[-–*+•‣◦⁃▪●∙·○■►▶➤➜→✓✔✅☑]\s+\S"),
    "a numbered list": re.compile(r"\(?\d{1,3}[.)]\s+\S|\(?[a-z]\)\s+\S|\d\u20e3"),
    "a heading": re.compile(r"#{1,6}\s+\S|(?:={3,}|-{3,}|\*{3,}|_{3,})$"),
    "a table": re.compile(r"\|[^|]+\||(?=[^|]{0,80}\|)(?=.*--)[\s:|-]*$"),
}
"""What a line begins with, spaces and quotation marks aside."""
_BOLD = re.compile(
    r"(?<![\w*])\*{2,3}[^\s*](?:[^*\n]*[^\s*])?\*\*"
    r"|(?<!\w)__(?![a-z0-9]+__)[^\s_](?:[^_\n]*[^\s_])?__(?!\w)"  # __init__ is a name
    r"|<(?i:b|strong|[uo]l|li|h[1-6]|table|tr|td)>"
)


@dataclass(frozen=True, slots=True)
class Voice:
    """What a person's answers have in common, as far as it can be counted."""

    filler: tuple[str, ...]
    """Phrases this person never says."""
    hedges: tuple[str, ...]
    """Words by which others avoid to decide."""
    most_words: int
    lists: bool
    """May there be lists, headings, tables, bold marks?"""
    opens: tuple[str, ...] = ()
    """First words; none given: any."""
    never_opens: tuple[str, ...] = ()
    """Words that no sentence begins with."""
    questions: int | None = None
    """Question marks at most; None: any number."""
    exclamations: int | None = None
    """Exclamation marks at most; None: any number."""


def load(name: str, fixtures: Path) -> Voice:
    """The [voice] table of `fixtures/rubrics/<name>.toml`. Raises CaseError that names the file and the key."""
    if not NAME.fullmatch(name):
        raise CaseError(f"rubric {show(name)}: a name has small letters, digits and _, a letter first, 40 at most")
    path = fixtures / "rubrics" / f"{name}.toml"
    table = _table(path)
    needed = [each.name for each in fields(Voice) if each.default is MISSING]
    if missing := [key for key in needed if key not in table]:
        raise CaseError(f"{path}: voice.{missing[0]}: is missing; [voice] needs {', '.join(needed)}")
    for key, value in table.items():
        flaw = _FLAWS[key](value) if key in _FLAWS else f"unknown key; known: {', '.join(_FLAWS)}"
        if flaw:
            raise CaseError(f"{path}: voice.{one_line(key, 40)}: {flaw}")
    told: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Voice(**told)


def faults(text: str, voice: Voice) -> list[str]:
    """What in an answer breaks the voice, a line each; empty when it is kept. <think> marks hide what is in them."""
    plain = visible(_spoken(text))
    words = _words(plain)
    if not any(word != "." for word in words):
        return ["says nothing"]
    document = () if voice.lists else _layout(plain)
    return [*_phrases(words, voice), *_openings(words, voice), *_sizes(plain, voice), *document]


def _spoken(text: str) -> str:
    """A text without its thoughts. A first mark that closes was opened by the prompt; one left open hides the rest."""
    parts = _THOUGHT.split(text)
    depth = int(len(parts) > 1 and parts[1] == "</think>")
    said = []
    for part in parts:
        if part == "<think>":
            depth += 1
        elif part == "</think>":
            depth = max(depth - 1, 0)
        elif not depth:
            said.append(part)
    return "".join(said)


def _words(text: str) -> list[str]:
    """Its words without case, and "." for each end of a sentence."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text.casefold()))
    return ["." if word[0] in ".!?" else word for word in found]


def _phrases(words: list[str], voice: Voice) -> Iterator[str]:
    text = f" {' '.join(words)} "
    for fault, phrases in (("filler", voice.filler), ("a hedge", voice.hedges)):
        for phrase in phrases:
            if f" {_sought(phrase)} " in text:
                yield f'says {fault}: "{phrase}"'


def _sought(phrase: str) -> str:
    return " ".join(_words(visible(phrase))).strip(". ")


def _openings(words: list[str], voice: Voice) -> Iterator[str]:
    begun = [word for before, word in zip([".", *words], words, strict=False) if before == "." != word]
    if voice.opens and begun[0] not in {_sought(word) for word in voice.opens}:
        yield f"opens with {show(begun[0], 40)}, none of its opening words"
    for word in voice.never_opens:
        if _sought(word) in begun:
            yield f'begins a sentence with "{word}"'


def _sizes(text: str, voice: Voice) -> Iterator[str]:
    count = sum(_length(chunk) for chunk in text.split())
    if count > voice.most_words:
        yield f"has {count} words, at most {voice.most_words}"
    for name, mark, most in (("question", "?", voice.questions), ("exclamation", "!", voice.exclamations)):
        if most is not None and text.count(mark) > most:
            yield f"has {text.count(mark)} {name} marks, at most {most}"


def _length(chunk: str) -> int:
    """Words in a run of characters without a space: one as a rule, none in mere marks."""
    if not any(character.isalnum() for character in chunk):
        return 0
    return max(len(_UNSPACED.findall(chunk)), -(-len(chunk) // LONGEST_WORD))


def _layout(text: str) -> Iterator[str]:
    """Marks of a document where a person writes a line; code may hold what it likes."""
    prose = _CODE.sub(" code ", text)
    lines = [line.strip().lstrip("> \t") for line in prose.splitlines()]
    for name, mark in _MARKS.items():
        if any(mark.match(line) for line in lines):
            yield f"has {name}"
    if _BOLD.search(prose):
        yield "has bold marks"


def _table(path: Path) -> Json:
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8")).get("voice")
    except (OSError, ValueError, RecursionError) as error:
        raise CaseError(f"{path}: cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise CaseError(f"{path}: voice: needs a [voice] table with {', '.join(_FLAWS)}")
    return table


def _phrases_flaw(value: Any) -> str:
    good = isinstance(value, list) and all(isinstance(each, str) and _sought(each) for each in value)
    return "" if good else f"expected a list of phrases, each with a word in it, found {show(value)}"


def _opens_flaw(value: Any) -> str:
    if _phrases_flaw(value) or not value or any(" " in _sought(each) for each in value):
        return f"expected a list of single words, and not an empty one, found {show(value)}"
    return ""


def _words_flaw(value: Any) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return "" if good else f"expected a whole number from 1, found {show(value)}"


def _count_flaw(value: Any) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return "" if good else f"expected a whole number from 0, found {show(value)}"


def _lists_flaw(value: Any) -> str:
    return "" if isinstance(value, bool) else f"expected true or false, found {show(value)}"


_FLAWS: dict[str, Callable[[Any], str]] = {
    "filler": _phrases_flaw,
    "hedges": _phrases_flaw,
    "most_words": _words_flaw,
    "lists": _lists_flaw,
    "opens": _opens_flaw,
    "never_opens": _opens_flaw,
    "questions": _count_flaw,
    "exclamations": _count_flaw,
}
