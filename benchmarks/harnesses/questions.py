"""The questions: cases, as a project for the gate and as rows for the others."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gate.cases import loader
from gate.errors import GateError
from gate.models.client import request
from gate.types import Case, Json, Server
from tests.project import SUITE, TOOL, a_case, right

SUITES = Path(__file__).resolve().parents[2] / "suites/hermes"
_CASES = re.compile(r'@pytest\.mark\.gate\("([^"]+)"')
"""The case file that a test's marker names."""
SAMPLING: Json = {"temperature": 0, "top_p": 1, "seed": 0, "logprobs": True, "top_logprobs": 2}
"""Sent with every request, as the gate sends them to a URL."""


@dataclass(frozen=True, slots=True)
class Questions:
    """The same questions in two forms."""

    project: Path
    """A folder with suites/ and fixtures/, and answers.jsonl for a scripted server."""
    rows: Path
    """A file of rows as peers/task.py reads them."""
    bodies: tuple[Json, ...]
    """The requests, sampling parameters included; the model's name is empty."""
    sampling: Json


def of_suites(suites: Path, folder: Path, count: int | None, sampling: Json) -> Questions:
    """The first `count` cases that a folder of suites asks, from its files in turns, one at least of each; None: all.

    It is a folder suites/ next to fixtures/, or is in one. Raises GateError if not.
    """
    root = next((each.parent for each in (suites, *suites.parents) if each.name == "suites"), None)
    if root is None or not (root / "fixtures/cases").is_dir():
        raise GateError(f"{suites}: is not in a folder suites/ next to fixtures/")
    fixtures, inside = root / "fixtures", suites.relative_to(root)
    names = [name for path in sorted(suites.rglob("test_*.py")) for name in _CASES.findall(path.read_text("utf-8"))]
    shutil.copytree(fixtures / "tools", folder / "fixtures/tools")
    shutil.copytree(suites, folder / inside, ignore=shutil.ignore_patterns("__*"))
    lines = [(fixtures / "cases" / name).read_text(encoding="utf-8").splitlines() for name in names]
    sizes = [len(each) for each in lines]
    for name, mine, kept in zip(names, lines, _shares(sizes, count or sum(sizes)), strict=True):
        path = folder / "fixtures/cases" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in mine[:kept]), encoding="utf-8")
    return _made(folder, names, sampling)


def generated(folder: Path, count: int, sampling: Json) -> Questions:
    """`count` small cases, each with a scripted right answer of one call."""
    for part in ("suites", "fixtures/cases", "fixtures/tools"):
        (folder / part).mkdir(parents=True)
    names = [f"case-{number}" for number in range(count)]
    (folder / "fixtures/tools/tools.json").write_text(json.dumps([TOOL]))
    (folder / "fixtures/cases/calls.jsonl").write_text("".join(json.dumps(a_case(name)) + "\n" for name in names))
    (folder / "answers.jsonl").write_text("".join(json.dumps(right(name)) + "\n" for name in names))
    (folder / "suites/test_calls.py").write_text(SUITE.replace("{floor}", "1.0"))
    return _made(folder, ["calls.jsonl"], sampling)


def _shares(sizes: Sequence[int], count: int) -> list[int]:
    """Cases per file: files take turns with one more case until there are `count`."""
    turns = [(turn, file) for turn in range(max(sizes)) for file, size in enumerate(sizes) if turn < size]
    taken = [file for _, file in itertools.islice(turns, max(count, len(sizes)))]
    return [taken.count(file) for file in range(len(sizes))]


def _made(folder: Path, names: Sequence[str], sampling: Json) -> Questions:
    (folder / "pytest.ini").write_text("[pytest]\n")
    asked = [case for name in names for case in loader.load(name, folder / "fixtures").cases]
    server = Server(url="", model="", runtime="", sampling=sampling, reported={})
    bodies = tuple(request(server, case.messages, tools=case.tools, max_tokens=case.max_tokens) for case in asked)
    rows = folder / "requests.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for case, body in zip(asked, bodies, strict=True):
            file.write(json.dumps(_row(case, body), ensure_ascii=False) + "\n")
    return Questions(folder, rows, bodies, sampling)


def _row(case: Case, body: Json) -> Json:
    row: Json = {"id": case.id, "messages": body["messages"], "tools": body.get("tools", [])}
    return row | {"max_tokens": body["max_tokens"], "expect": case.expect}
