"""What a case expects of a prose answer: `expect.answer`, described in gate.cases.expected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from gate.cases.json_schema import breach, pattern_matches, pattern_problem, schema_errors, schema_problem, unfit
from gate.cases.matchers.matcher import Place, mismatches
from gate.cases.matchers.matcher import problems as matcher_problems
from gate.cases.normalize import caseless
from gate.system.text import join, one_line, show
from gate.types import Json


def reasons(answer: Json, content: Any) -> Iterator[str]:
    """Why a text is not the answer that is asked for, a line each. Raises CaseError for a pattern that is too slow."""
    content = _spoken(content) if isinstance(content, str) else content
    if not isinstance(content, str) or not content.strip():
        yield f"expected an answer in words, got {show(content)}"
        return
    text = caseless(content)
    for key, asked in (("contains", True), ("not_contains", False)):
        for each in answer.get(key, []):
            if asked != any(caseless(part) in text for part in ([each] if isinstance(each, str) else each)):
                yield f"answer: expected {key} {show(each)}, got {show(content, 100)}"
    if "regex" in answer and not pattern_matches(answer["regex"], content, full=False):
        yield f"answer: expected a match of {show(answer['regex'])}, got {show(content, 100)}"
    if "json" in answer or "json_schema" in answer:
        yield from _json_reasons(answer, content)


def problems(answer: Any) -> list[str]:
    """What is wrong with the way `answer` is written, a line each with its path."""
    if not isinstance(answer, dict) or not answer:
        return [f"answer: expected an object with {', '.join(_FLAWS)}, found {show(answer)}"]
    flaws = {key: _FLAWS[key](value) if key in _FLAWS else "unknown key" for key, value in answer.items()}
    return [one_line(f"{join('answer', key)}: {flaw}") for key, flaw in flaws.items() if flaw]


def value(content: str) -> Any:
    """The JSON value that an answer is, with nothing around it. Raises ValueError."""
    try:
        return json.loads(_spoken(content), object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _spoken(content: str) -> str:
    """A text without the reasoning that a server has left in it: what was only thought is not an answer."""
    return content.rpartition("</think>")[2].partition("<think>")[0]


def _json_reasons(answer: Json, content: str) -> Iterator[str]:
    try:
        given = value(content)
    except ValueError as error:
        yield f"answer: expected JSON and nothing else, got {show(content)} ({error})"
        return
    if flaw := unfit(given):
        yield f"answer: {flaw}"
        return
    if "json" in answer:
        yield from mismatches(answer["json"], given, Place("answer"))
    if "json_schema" in answer:
        yield from (breach(error, "answer") for error in schema_errors(answer["json_schema"], given))


def _once(pairs: list[tuple[str, Any]]) -> Json:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("an object has a key twice")
    return dict(pairs)


def _texts_problem(texts: Any) -> str:
    lists = [each if isinstance(each, list) and each else [each] for each in texts] if isinstance(texts, list) else []
    good = lists and all(isinstance(text, str) and text.strip() for each in lists for text in each)
    return "" if good else f"expected a list of texts, or of lists of them, found {show(texts)}"


def _json_problem(expected: Any) -> str:
    return "; ".join(matcher_problems(expected, "json"))


_FLAWS: dict[str, Callable[[Any], str]] = {
    "contains": _texts_problem,
    "not_contains": _texts_problem,
    "regex": pattern_problem,
    "json": _json_problem,
    "json_schema": schema_problem,
}
