"""A run that tests fork is the run that a user starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import forkserver
from tests.project import Project, last_line, right


def test_a_forked_run_ends_as_one_that_is_started(
    project: Project, how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.script(right("pwd"), {"user": "ls", "content": "no"})
    seen: list[Any] = []
    for started in (False, True):
        if started:
            monkeypatch.delenv(forkserver.ADDRESS, raising=False)
        run = project.run(*how)
        newest = max(project.reports(), key=lambda path: path.stat().st_mtime_ns)
        results = json.loads(newest.read_text())["results"]
        hits = sorted((row["test"], row["case"], row["hit"], row["stage"]) for row in results)
        seen.append((run.ret, run.parseoutcomes(), last_line(run).partition("; report")[0], hits))
    assert seen[0] == seen[1]


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('text')", 1),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("import atexit; atexit.register(print, 'last')", 0),
    ],
)
def test_a_fork_ends_and_prints_as_a_process(tmp_path: Path, code: str, status: int) -> None:
    (tmp_path / "module.py").write_text(f"import sys\nprint(sys.argv[1:], sys.stdin.read(), flush=True)\n{code}\n")
    command = [sys.executable, "-m", "module", "one", "two"]
    ends = []
    for start in (forkserver.Popen, subprocess.Popen):
        with start(
            command, cwd=tmp_path, env=os.environ | {"X": "y"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            out, _ = process.communicate("asked", timeout=30)
        ends.append((process.returncode, out))
    assert ends[0] == ends[1]
    assert ends[0][0] == status
