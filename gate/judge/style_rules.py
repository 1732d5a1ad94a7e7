"""Style rules: the table [style] of a rubric, and what in an answer breaks it, counted without a judge.

    [style]
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
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import regex
from msgspec import Meta, Struct

from gate.cases.normalize import visible
from gate.errors import CaseError
from gate.system import typed
from gate.system.text import show

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


class StyleRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person's answers have in common, as far as it can be counted."""

    filler: tuple[str, ...]
    """Phrases this person never says."""
    hedges: tuple[str, ...]
    """Words by which others avoid to decide."""
    most_words: Annotated[int, Meta(ge=1)]
    """Words of an answer at most."""
    lists: bool
    """May there be lists, headings, tables, bold marks?"""
    opens: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    """First words of an answer; without it any."""
    never_opens: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    """Words that no sentence begins with."""
    questions: Annotated[int, Meta(ge=0)] | None = None
    """Question marks at most; without it any number."""
    exclamations: Annotated[int, Meta(ge=0)] | None = None
    """Exclamation marks at most; without it any number."""

    def __post_init__(self) -> None:
        for key in ("filler", "hedges", "opens", "never_opens"):
            sought = [_sought(each) for each in getattr(self, key) or ()]
            if not all(sought):
                raise ValueError(f"{key}: expected a list of phrases, each with a word in it")
            if key.endswith("opens") and any(" " in each for each in sought):
                raise ValueError(f"{key}: expected a list of single words")


class _File(Struct, frozen=True):
    """A rubric's file, of which only the rules are read here."""

    style: StyleRules


def load(name: str, fixtures: Path) -> StyleRules:
    """The table [style] of `fixtures/rubrics/<name>.toml`. Raises CaseError that names the file and the key."""
    if not NAME.fullmatch(name):
        raise CaseError(f"rubric {show(name)}: a name has small letters, digits and _, a letter first, 40 at most")
    return typed.read(fixtures / "rubrics" / f"{name}.toml", _File, error=CaseError).style


def faults(text: str, rules: StyleRules) -> list[str]:
    """What in an answer breaks the rules, a line each; empty when they are kept. <think> marks hide what is in them."""
    plain = visible(_spoken(text))
    words = _words(plain)
    if not any(word != "." for word in words):
        return ["says nothing"]
    document = () if rules.lists else _layout(plain)
    return [*_phrases(words, rules), *_openings(words, rules), *_sizes(plain, rules), *document]


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


def _phrases(words: list[str], rules: StyleRules) -> Iterator[str]:
    text = f" {' '.join(words)} "
    for fault, phrases in (("filler", rules.filler), ("a hedge", rules.hedges)):
        for phrase in phrases:
            if f" {_sought(phrase)} " in text:
                yield f'says {fault}: "{phrase}"'


def _sought(phrase: str) -> str:
    return " ".join(_words(visible(phrase))).strip(". ")


def _openings(words: list[str], rules: StyleRules) -> Iterator[str]:
    begun = [word for before, word in zip([".", *words], words, strict=False) if before == "." != word]
    if rules.opens and begun[0] not in {_sought(word) for word in rules.opens}:
        yield f"opens with {show(begun[0], 40)}, none of its opening words"
    for word in rules.never_opens or ():
        if _sought(word) in begun:
            yield f'begins a sentence with "{word}"'


def _sizes(text: str, rules: StyleRules) -> Iterator[str]:
    count = sum(_length(chunk) for chunk in text.split())
    if count > rules.most_words:
        yield f"has {count} words, at most {rules.most_words}"
    for name, mark, most in (("question", "?", rules.questions), ("exclamation", "!", rules.exclamations)):
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
