"""The Berkeley Function Calling Leaderboard as case files: the data of the package `bfcl-eval`.

Its single-turn categories in Python become cases whose `expect.calls` takes what BFCL's own checker takes. It differs
in this: a number is compared by its value, so 5.0 is taken for 5; two parallel calls are paired as well as can be,
where BFCL takes the first that fits; and a case tagged `stricter` takes less, in what its second tag says (TYPE and
BOOLEAN in gate.authoring.importers.bfcl.answers). Of irrelevant requests only the absence of calls is asked; to the
gate an empty reply is a miss all the same. The sentence on Python's syntax that BFCL adds to each description is left
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gate.authoring.importers.bfcl import files
from gate.authoring.importers.bfcl import rows as bfcl_rows
from gate.authoring.importers.result import Refused
from gate.errors import CaseError
from gate.system import jsonl
from gate.types import Json

ANSWERED = (
    *("simple_python", "multiple", "parallel", "parallel_multiple"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple"),
)
"""Categories with possible answers."""
IRRELEVANT = ("irrelevance", "live_irrelevance")
_SYSTEM = "the calls of several turns change a simulated system, which a case does not have"
REFUSED = {
    "simple_java": "its arguments are Java source in texts, which the official checker parses",
    "simple_javascript": "its arguments are JavaScript source in texts, which the official checker parses",
    "live_relevance": "any call at all is right, and a case cannot ask for a call without saying which",
    "multi_turn_base": _SYSTEM,
    "multi_turn_miss_func": _SYSTEM,
    "multi_turn_miss_param": _SYSTEM,
    "multi_turn_long_context": _SYSTEM,
    "memory": "it needs a store that lives through several conversations",
    "web_search": "it needs the network",
    "format_sensitivity": "it asks rows of other categories again, in prompts without tools",
}
"""Categories that no case can hold, and why."""


def read(source: Path | None) -> Iterator[tuple[str, Json | Refused]]:
    """Every row of BFCL as (category, case or why there is none).

    `source` is a wheel of bfcl-eval, or it unpacked; None: the package as it is installed, which is not imported.
    Raises CaseError where there is none.
    """
    texts = files.texts(source)
    for category in (*ANSWERED, *IRRELEVANT):
        yield from ((category, row) for row in _taken(category, texts))
    for category, why in REFUSED.items():
        yield from ((category, Refused(where, why)) for where in _ids(category, texts.get(category, "")))
    for name in sorted(texts.keys() - {*ANSWERED, *IRRELEVANT, *REFUSED}):
        if "/" not in name:
            yield name, Refused(files.path(name), "a category that is not known")


def _taken(category: str, texts: dict[str, str]) -> Iterator[Json | Refused]:
    wanted = [category, *([files.ANSWERS + category] if category in ANSWERED else [])]
    if missing := [files.path(name) for name in wanted if name not in texts]:
        yield Refused(files.path(category), "a file is not there", ", ".join(missing))
        return
    answers = {row.get("id"): row for _, row in _rows(texts.get(files.ANSWERS + category, "")) if isinstance(row, dict)}
    for number, row in _rows(texts[category]):
        try:
            answer = answers.get(row.get("id")) if isinstance(row, dict) else None
            yield bfcl_rows.case(category, row, answer) if category in ANSWERED else bfcl_rows.talk(category, row)
        except CaseError as error:
            yield Refused(f"{files.path(category)}:{number}", *map(str, error.args))


def _rows(content: str) -> Iterator[tuple[int, object]]:
    """Line number and row; of a line that is not JSON the error's text, which has not the shape of a row."""
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                yield number, jsonl.loads(line, where="this line")
            except CaseError as error:
                yield number, str(error)


def _ids(category: str, content: str) -> Iterator[str]:
    """The id of each row that is refused, or its place; format_sensitivity lists ids of other categories."""
    if category == "format_sensitivity" and content:
        for ids in jsonl.loads(content, where=files.path(category)).values():
            yield from (f"{category}:{each}" for each in ids)
        return
    for number, row in _rows(content):
        place = f"{files.path(category)}:{number}"
        yield str(row.get("id", place)) if isinstance(row, dict) else place
