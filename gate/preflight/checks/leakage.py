"""P19: no case of the suites is in the training rows, verbatim, reworded, or by the values of its answer.

System prompts are not compared: suites and training rows share them by right. Every prompt of a row counts, not only
the last one, since without --mask-prompt all turns are trained.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from gate.cases import loader, sealing, training_rows
from gate.cases.asked import case_texts, row_texts
from gate.cases.matchers.matcher import literals
from gate.cases.normalize import words
from gate.cases.similarity import Index, by_words
from gate.errors import GateError
from gate.preflight.artifact import Artifact, NotApplicable, NotPossible
from gate.preflight.rule import rule
from gate.system.text import show
from gate.types import Case

_MARKER = re.compile(r"<\|[^|<>]{1,40}\|>|</?[a-z_]{1,30}>|\[/?[A-Z_]{1,30}\]")
_SPEAKER = re.compile(r"\s*(?:user|human)\s*[:\n]\s*", re.IGNORECASE)
Files = tuple[tuple[Path, int], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One case, as it may be found again."""

    name: str
    """Its file and id."""
    texts: tuple[str, ...]
    """Its last user message and its whole prompt."""
    values: frozenset[tuple[str, str]]
    """(name of the call, distinctive value) of what it expects."""


@dataclass(slots=True)
class Rows:
    """The training rows by what they ask and call; each with the lines it stands in."""

    texts: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    values: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))


@rule("P19", "fail", remedy="take the rows out and train again, or write new cases; these prove nothing")
def no_case_is_trained(artifact: Artifact) -> Sequence[str]:
    """No training row asks what a case asks, ignoring case, punctuation and white space."""
    return training_rows.shown(_found(artifact)["same"])


@rule(
    "P19",
    "fail",
    remedy="take the rows out and train again, or write new cases; a word changed is not a new one",
)
def no_case_is_nearly_trained(artifact: Artifact) -> Sequence[str]:
    """No training row asks nearly what a case asks: 5-grams of characters that overlap by 0.7 or more."""
    return training_rows.shown(_found(artifact)["near"])


@rule("P19", "warn", remedy="use other values in the cases than in the rows, so that none can be remembered")
def no_answer_is_trained(artifact: Artifact) -> Sequence[str]:
    """No training row calls a tool with a value that a case expects of it; short ones and the schema's words aside."""
    return training_rows.shown(_found(artifact)["value"])


def _found(artifact: Artifact) -> dict[str, list[str]]:
    if artifact.train is None:
        raise NotApplicable("no --train was given")
    if artifact.fixtures is None:
        raise NotPossible("there is no folder with cases/ to compare with")
    names = loader.files(artifact.fixtures)
    suites = [sealing.resolve(artifact.fixtures / "cases" / name) for name in names]
    if not suites:
        raise NotPossible(f"{artifact.fixtures}/cases holds no case file")
    files = [
        path for path in training_rows.files(artifact.train) if path.name != "test.jsonl" or path == artifact.train
    ]
    told = _compared(_files(files), _files(suites), artifact.fixtures)
    if isinstance(told, GateError):
        raise NotPossible(f"the cases cannot be read: {told}") from told
    return told


def _files(paths: Iterable[Path]) -> Files:
    return tuple((path, path.stat().st_mtime_ns if path.is_file() else 0) for path in paths)


@lru_cache(maxsize=4)
def _compared(train: Files, suites: Files, fixtures: Path) -> dict[str, list[str]] | GateError:
    try:
        asked = [each for path, _ in suites for each in _asked(path, fixtures)]
    except GateError as error:
        return error
    trained = _trained([path for path, _ in train])
    if not trained.texts:
        raise NotPossible("no row could be read from the training files")
    return _alike(asked, trained) | {"value": list(_shared_values(asked, trained))}


def _alike(asked: Sequence[Asked], trained: Rows) -> dict[str, list[str]]:
    """One line for each case and kind, with the nearest row and the number of them all."""
    owners = by_words((text, case) for case in asked for text in case.texts)
    rows = by_words((text, text) for text in trained.texts)
    known, given = list(owners), list(rows)
    hits: defaultdict[tuple[str, str], list[tuple[float, str, str]]] = defaultdict(list)
    for row, one, similarity in Index(known).near(given):
        for case in owners[known[one]]:
            for text in rows[given[row]]:
                kind, how = _kind(text, case, similarity)
                hits[kind, case.name] += [(similarity, where, how) for where in trained.texts[text]]
    return {kind: list(_lines(hits, kind)) for kind in ("same", "near")}


def _kind(text: str, case: Asked, similarity: float) -> tuple[str, str]:
    if text in case.texts:
        return "same", "the same text"
    return ("same", "the same words") if similarity == 1 else ("near", f"similarity {similarity:.2f}")


def _lines(hits: dict[tuple[str, str], list[tuple[float, str, str]]], kind: str) -> Iterator[str]:
    for (found, name), places in hits.items():
        told = {where for _, where, _ in hits.get(("same", name), [])} if kind == "near" else set()
        left = [place for place in places if place[1] not in told]
        if found == kind and left:
            _, where, how = max(left, key=lambda place: place[0])
            more = len({place[1] for place in left}) - 1
            yield f"{where}: asks what case {name} asks ({how})" + (f", and so do {more} more rows" if more else "")


def _shared_values(asked: Sequence[Asked], trained: Rows) -> Iterator[str]:
    for case in asked:
        for tool, value in sorted(case.values):
            places = trained.values.get((tool, value), [])
            more = f", and so do {len(places) - 1} more rows" if places[1:] else ""
            if places:
                yield f"{places[0]}: calls {tool} with {show(value)}, which case {case.name} expects{more}"


def _asked(path: Path, fixtures: Path) -> Iterator[Asked]:
    sealed = path.name.endswith(sealing.SUFFIX)
    for case in loader.load(str(path.relative_to(fixtures / "cases")), fixtures).cases:
        values = frozenset() if sealed else case_values(case)  # the report names them
        yield Asked(f"{path} {case.id} ({case.split})", tuple(case_texts(case.messages)), values)


def _trained(paths: Iterable[Path]) -> Rows:
    trained = Rows()
    for path in paths:
        for row in training_rows.read(path):
            format_ = training_rows.form(row.value)
            messages = (
                [each for each in training_rows.messages(row.value, format_) if isinstance(each, dict)]
                if format_
                else []
            )
            texts = _segments(row.value["text"]) if format_ == "text" else row_texts(messages)
            for text in {text for text in texts if text}:
                trained.texts[text].append(row.where)
            called = {
                (str(name), value)
                for each in messages
                for name, given in training_rows.calls(each)
                for value in leaves(given)
            }
            for pair in called:
                trained.values[pair].append(row.where)
    return trained


def _segments(text: Any) -> Iterator[str]:
    """What stands between the markers of a rendered text: one of them is what the user said."""
    for part in _MARKER.split(text) if isinstance(text, str) else ():
        yield _SPEAKER.sub("", part, count=1).strip() if _SPEAKER.match(part) else part.strip()


def leaves(value: Any) -> Iterator[str]:
    """Every text and number in some arguments, made plain."""
    value = training_rows.parsed(value)
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield words(str(value))


def case_values(case: Case) -> frozenset[tuple[str, str]]:
    schemas = {tool["function"]["name"]: f" {words(json.dumps(tool, ensure_ascii=False))} " for tool in case.tools}
    found = set()
    for call in case.expect.get("calls", []):
        values = {words(str(value)) for value in literals(call["arguments"])}
        known = schemas.get(call["name"], "")
        found |= {(call["name"], value) for value in values if distinctive(value) and f" {value} " not in known}
    return frozenset(found)


def distinctive(value: str) -> bool:
    """Six characters, or three with a digit: shorter ones meet by chance."""
    return len(value) >= 6 or (len(value) >= 3 and any(character.isdigit() for character in value))
