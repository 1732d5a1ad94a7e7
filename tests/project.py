"""A small graded project for the plugin's tests: cases, a suite and a scripted model, each a few lines."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import forkserver

SUITE = '''
"""Requests are answered by exactly the right call."""
import pytest

@pytest.mark.gate("calls.jsonl", floor={floor})
def test_calls(model, case):
    assert model.ask(case).calls == case.calls
'''
TOOL = {
    "type": "function",
    "function": {
        "name": "terminal",
        "description": "Run a command.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}


def a_case(name: str, *, calls: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A case whose user message is its id, and that wants terminal(command=<id>) unless told otherwise."""
    wanted = [{"name": "terminal", "arguments": {"command": name}}] if calls is None else calls
    row = {"id": name, "messages": [{"role": "user", "content": name}], "tools": "tools", "expect": {"calls": wanted}}
    return row | {"split": "dev"} | more


def right(name: str) -> dict[str, Any]:
    """The rule of a scripted model that answers `a_case(name)` right."""
    return {"user": name, "calls": [{"name": "terminal", "arguments": {"command": name}}]}


class Project:
    """A folder with suites/, fixtures/ and a script, and a way to run pytest in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.popen = self._popen  # type: ignore[method-assign] - pytest within a test is forked
        for folder in ("tests", "suites", "fixtures/cases", "fixtures/tools"):
            (self.path / folder).mkdir(parents=True)
        (self.path / "fixtures/tools/tools.json").write_text(json.dumps([TOOL]))
        (self.path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
        self.suite()
        self.cases(a_case("pwd"), a_case("ls"))
        self.script(right("pwd"), right("ls"))

    def _popen(self, command: Sequence[str], *, stdout: Any, stderr: Any, **_: Any) -> Any:
        path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
        streams = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr}
        return forkserver.Popen(command, env=os.environ | {"PYTHONPATH": path}, **streams)

    def suite(self, text: str = SUITE, *, name: str = "test_calls.py", floor: float = 1.0) -> None:
        (self.path / "suites" / name).write_text(text.replace("{floor}", str(floor)))

    def cases(self, *rows: Any, name: str = "calls.jsonl") -> None:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (self.path / "fixtures/cases" / name).write_text("\n".join(lines) + "\n")

    def script(self, *rules: dict[str, Any]) -> None:
        (self.path / "answers.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules))

    def run(self, *arguments: str, model: str = "scripted:answers.jsonl", fresh: bool = True) -> pytest.RunResult:
        """Grade; `fresh` asks anew what an earlier run of the test has asked."""
        quick = ("-p", "no:hypothesispytest", "-p", "no:anyio", *(("--gate-fresh",) if fresh else ()))
        return self.pytester.runpytest_subprocess(*quick, "--model", model, *arguments, timeout=300)

    def report(self) -> dict[str, Any]:
        """The one report that the runs so far have written."""
        found = sorted(self.path.glob("runs/*/report.json"))
        assert len(found) == 1, found
        value: dict[str, Any] = json.loads(found[0].read_text())
        return value

    def reports(self) -> list[Path]:
        return sorted(self.path.glob("runs/*/report.json"))


def last_line(result: pytest.RunResult) -> str:
    """The last line that a person sees."""
    return next(line for line in reversed(result.outlines) if line.strip())
