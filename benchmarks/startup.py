"""The cost of a run without the model: importing, collecting and checking cases, and its report.

    python -m benchmarks.startup [--cases 10000] [--results 100000] [--rounds 3]

Every figure is the smallest of the rounds, each a process of its own: wall-clock seconds, seconds of processor time in
user mode, peak MiB of memory (at least that of this process, of which they start as a copy). What is in parentheses is
subtracted from a line's times: a bare interpreter from `import gate`, the making from a report written. The cases are
in one file and share a real tools file of eight tools; plain pytest collects as many parametrized tests from a list of
their ids. Each result's body has some 600 bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gate.types import HELD_OUT, Contract, Graded, Hardware, Made, Reply, Report, Result
from tests.project import SUITE, a_case, right

ROOT = Path(__file__).parent.parent
PLAIN = """
import pytest

@pytest.mark.parametrize("case", {ids!r})
def test_calls(case):
    assert case
"""
SYSTEM = "You are an agent with tools, at work in the user's project folder; paths are relative to it."
PYTHON = [sys.executable, "-c"]
QUIET = ["-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
COLLECT = [sys.executable, "-m", "pytest", "--collect-only", *QUIET]
GRADED = Graded("mlx", "m", "/m", "0" * 64, verified=True, bytes=1)
MADE = Made(
    "0", "3", "2026-01-01T00:00:00+00:00", 1.0, ("pytest",), "mlx_lm", {}, {}, Hardware("", "", "", 1, 0, ""), {}
)
"""For a report that is only written and read, or decided."""
MAKE = "from benchmarks.startup import report; made = report({results}); "
WRITE = "from pathlib import Path; from gate.report import io; io.write(Path('report.json'), made)"
READ = "from pathlib import Path; from gate.report import io; io.read(Path('report.json'))"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a process."""

    wall: float
    """Seconds."""
    user: float
    """Seconds of processor time in user mode, of all its threads."""
    peak: float
    """Peak MiB of resident memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    make = MAKE.format(results=args.results)
    gate = [sys.executable, "-m", "gate"]
    with tempfile.TemporaryDirectory() as name:
        folder = _project(Path(name), args.cases)
        print(f"{args.cases} cases, {args.results} results, smallest of {args.rounds} rounds")
        bare = _measured("bare python", [*PYTHON, ""], folder, args.rounds)
        _measured("import gate (bare python)", [*PYTHON, "import gate"], folder, args.rounds, less=bare)
        _measured("gate --help", [*gate, "--help"], folder, args.rounds)
        _measured("plain pytest --collect-only", [*COLLECT, "plain"], folder, args.rounds)
        _measured("pytest --collect-only", [*COLLECT, "--model", "scripted:answers.jsonl"], folder, args.rounds)
        _measured("gate lint-cases", [*gate, "lint-cases"], folder, args.rounds)
        made = _measured("a report made", [*PYTHON, make], folder, args.rounds)
        _measured("a report written (its making)", [*PYTHON, make + WRITE], folder, args.rounds, less=made)
        _measured("a report read", [*PYTHON, READ], folder, args.rounds)


def report(results: int, each: int = 2000) -> Report:
    """A report of `results` results, `each` per test, as a run of an agent's suites writes it."""
    contracts, rows = [], []
    for start in range(0, results, each):
        numbers = range(start, min(start + each, results))
        test, ids = f"suites/hermes/test_{start}.py::test_calls", tuple(f"case-{number}" for number in numbers)
        digests = tuple(f"{number:016x}" for number in numbers)
        contracts.append(Contract(test, f"hermes/{start}.jsonl", "0" * 64, ids, 0.9, digests=digests))
        rows += [_result(test, id_, number) for id_, number in zip(ids, numbers, strict=True)]
    return Report(GRADED, MADE, tuple(contracts), tuple(rows), (), ())


def _result(test: str, case: str, number: int) -> Result:
    """Every tenth is a miss."""
    hit, arguments = number % 10 != 0, {"command": f"git log -n {number} --oneline", "workdir": f"src/{number}"}
    call = {"name": "terminal", "arguments": arguments}
    usage = {"prompt_tokens": 1200 + number % 700, "completion_tokens": 30, "total_tokens": 1230 + number % 700}
    function = {"name": "terminal", "arguments": json.dumps(arguments)}
    called = {"id": f"call_{number:032x}", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [called]}
    body = {"id": f"chatcmpl-{number:032x}", "object": "chat.completion", "created": number, "model": "local/model"}
    body |= {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}], "usage": usage}
    raw = json.dumps(body | {"system_fingerprint": "0.32.2-0.32.0-Linux-x86_64-with-glibc2.39", "timings": {"n": 30}})
    reply = Reply("", "", [call], [], "tool_calls", "", usage, 0.25 + number / 1e6, 200, 0.5, raw)
    why = () if hit else (f'terminal.command: expected "git log -n {number + 1} --oneline", got another',)
    return Result(test, case, "dev", hit, hit, why, f"Show me the last {number} commits.", {"calls": [call]}, (reply,))


def _project(folder: Path, count: int) -> Path:
    for part in ("suites", "plain", "fixtures/cases", "fixtures/tools"):
        (folder / part).mkdir(parents=True)
    ids = [f"case-{number}" for number in range(count)]
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "fixtures/tools/hermes.json").write_bytes((ROOT / "fixtures/tools/hermes.json").read_bytes())
    (folder / "fixtures/cases/calls.jsonl").write_text("".join(_case(id_) + "\n" for id_ in ids))
    (folder / "answers.jsonl").write_text(json.dumps(right("ping")) + "\n")
    (folder / "suites/test_calls.py").write_text(SUITE.replace("{floor}", "1.0"))
    (folder / "plain/test_plain.py").write_text(PLAIN.format(ids=ids))
    return folder


def _case(id_: str) -> str:
    """A case file's line: a system prompt, a request of 14 words, a call; two in five are held out."""
    dice = random.Random(id_)
    asked = " ".join(f"w{dice.randrange(3000)}" for _ in range(14))
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]
    command = {"$any": [f"cat {id_}", {"$regex": rf"cat \./{id_}"}]} if dice.random() < 0.5 else f"cat {id_}"
    calls = [{"name": "terminal", "arguments": {"command": command}}]
    more = {"tags": ["terminal", "words"], "source": "benchmarks/startup.py", "max_tokens": 96}
    held = {"split": HELD_OUT} if dice.random() < 0.4 else {}
    return json.dumps(a_case(id_, calls=calls, messages=messages, tools="hermes", **more, **held))


def _measured(what: str, command: list[str], folder: Path, rounds: int, *, less: Cost | None = None) -> Cost:
    """Print the cost of a command, with `less` subtracted, and return it without subtraction."""
    every = [_cost(command, folder) for _ in range(rounds)]
    best = Cost(*(min(getattr(each, name) for each in every) for name in ("wall", "user", "peak")))
    wall, user = (best.wall - less.wall, best.user - less.user) if less else (best.wall, best.user)
    print(f"{what:30} {wall:8.3f} s  user {user:8.3f} s  peak {best.peak:6.0f} MiB", flush=True)
    return best


def _cost(command: list[str], folder: Path) -> Cost:
    begun = time.perf_counter()
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{(folder / 'out.txt').read_text()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return Cost(wall, used.ru_utime, used.ru_maxrss * unit / 2**20)


def _environment() -> dict[str, str]:
    """The environment in which children import this module and the gate from the current folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))}


if __name__ == "__main__":
    main()
