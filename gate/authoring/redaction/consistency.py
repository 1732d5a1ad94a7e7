"""Check that the expectation of a redacted case can still be met: its values must appear in the redacted request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gate.authoring.redaction.redactor import Redactor, whose
from gate.authoring.redaction.scan import PLACEHOLDER, Secret, texts, under
from gate.cases.json_schema import pattern_matches
from gate.cases.matchers.matcher import MATCHERS
from gate.errors import CaseError
from gate.types import Json

LEAST = 3
"""Characters of a text that can be known again."""
_ESCAPED = re.compile(r"\\[A-Za-z]|\(\?[a-z-]{1,8}[:)]")
"""What is not a letter of a pattern's text: \\b, (?i)."""
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Replacement:
    """A secret, and what stands in its place."""

    secret: Secret
    placeholder: str


def misfit(before: Json, row: Json, every: list[Replacement]) -> str:
    """The first key whose expectation was about what redaction took, and why it fits no more; empty where all fit.

    `before` is the row as it was: of its questions alone that is told apart which redaction has changed.
    """
    asked, left = _asked(before), _asked(row)
    gone = [each for each in every if each.secret.value in asked]
    for where, text, pattern in _wanted(row.get("expect", {}), "expect"):
        if why := _unknown(text, left) or _part(text, gone, left) or _lost(text, pattern, gone, asked, left):
            return f"{where}: {why}"
    return ""


def replacements(redactors: Sequence[Redactor]) -> list[Replacement]:
    """Everything that was redacted, in one step or in two."""
    return [Replacement(*pair) for each in redactors for pair in each.made]


def advice(redactors: Sequence[Redactor]) -> str:
    """What was redacted, by kind and place, and what to do about it."""
    told = "; ".join(line for each in redactors for line in each.summary())
    names = ", ".join(dict.fromkeys(each.placeholder for each in replacements(redactors)))
    return (
        f"redacted: {told}. Write what is expected with the placeholder ({names}): --call, --contains, --expect, --edit"
    )


def _asked(row: Json) -> str:
    kept = {key: row[key] for key in ("messages", "system", "system_suffix", "tools") if key in row}
    return "\n".join(text for _, _, text in texts(kept))


def _wanted(value: Any, where: str, pattern: bool = False) -> Iterator[tuple[str, str, bool]]:
    """(path, text, is it a pattern?) of every text that an answer is held against."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not (key == "name" and "arguments" in value):  # a tool's name is not a text of the question
                is_pattern = key in ("regex", "pattern") or (key in MATCHERS and MATCHERS[key].is_pattern)
                yield from _wanted(part, under(where, key), is_pattern)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _wanted(part, f"{where}[{number}]", pattern)
    elif isinstance(value, str):
        yield where, value, pattern


def _unknown(text: str, left: str) -> str:
    """A placeholder that the question does not have: no model can know it."""
    missing = [each[0] for each in PLACEHOLDER.finditer(text) if each[0] not in left]
    return f"expects {missing[0]}, which stands nowhere in what is asked" if missing else ""


def _part(text: str, gone: list[Replacement], left: str) -> str:
    """A word of what was redacted, which the question does not hold elsewhere."""
    words = set(_WORD.findall(_ESCAPED.sub(" ", PLACEHOLDER.sub(" ", text)).casefold()))
    kept = left.casefold()
    for each in gone:
        for known in _words(each.secret):
            for word in words:
                begins = len(word) > LEAST and 2 * len(word) >= len(known) and known.startswith(word)
                if len(word) >= LEAST and (word == known or begins) and word not in kept:
                    return f"expects a part of what was redacted ({each.secret.kind}, now {each.placeholder})"
    return ""


def _words(secret: Secret) -> list[str]:
    """The words by which a secret is known; of an address not its last one, which many have."""
    if secret.kind in ("IP", "PHONE"):
        return []
    value = whose(secret.value) if secret.kind == "HOME" else secret.value[len(secret.prefix) :]
    words = _WORD.findall(value.replace("%40", "@").casefold())
    return words[:-1] if secret.kind == "EMAIL" else words


def _lost(text: str, pattern: bool, gone: list[Replacement], asked: str, left: str) -> str:
    """A text or a pattern that was met by what is asked before redaction, and is no more."""
    was = any(_meets(text, pattern, each.secret.value, full=True) for each in gone) or _meets(text, pattern, asked)
    still = any(_meets(text, pattern, each.placeholder, full=True) for each in gone) or _meets(text, pattern, left)
    return "expects what stood in the question until it was redacted" if gone and was and not still else ""


def _meets(text: str, pattern: bool, given: str, *, full: bool = False) -> bool:
    if pattern:
        try:
            return pattern_matches(text, given, full=full)
        except CaseError:  # it takes too long, which the case's own check tells
            return False
    if full or (len(text) < LEAST and "@" not in text):
        return False
    whole = re.escape(text.casefold())
    edges = (r"(?<!\w)" if text[0].isalnum() else "", r"(?!\w)" if text[-1].isalnum() else "")
    return re.search(whole.join(edges), given.casefold()) is not None
