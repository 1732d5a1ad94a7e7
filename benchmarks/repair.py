"""Seconds and memory of a repair that builds many rows.

python -m benchmarks.repair [--rows 50000] [--cases 500]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.startup import GRADED, MADE
from gate.cases import loader
from gate.cli import repair
from gate.report import io as report
from gate.types import DEV, HELD_OUT, Contract, Reply, Report, Result

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a thing up.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "line": {"type": "integer"}},
            "required": ["path"],
        },
    },
}
WORDINGS = ("Show {path} from line {line}.", "open {path} at {line} pls", "line {line} of the file {path}, please")
WORDINGS += ("I need to see {path}, beginning with line {line}.", "what stands in line {line} of {path}?")
WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "jetty", "kiln", "lagoon")
WORDS += ("meadow", "nectar", "orchard", "prairie", "quarry", "ridge", "summit", "tundra", "valley", "willow")
REPLY = Reply("no", "", [], [], "stop", "", {}, 0.1, 200, None, "{}")


def project(folder: Path, number: int) -> Path:
    """Fixtures with so many cases, half of them held out, phrases for all of them, and a report that missed them."""
    drawn, fixtures = random.Random(0), folder / "fixtures"
    for name in ("cases", "tools", "slots"):
        (fixtures / name).mkdir(parents=True)
    (fixtures / "tools/lookup.json").write_text(json.dumps([TOOL]))
    rows = [_case(n, drawn) for n in range(number)]
    (fixtures / "cases/lookup.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    paths = sorted({f"{'/'.join(drawn.sample(WORDS, 3))}.txt" for _ in range(2000)})
    lines = [str(line) for line in range(100, 400)]
    phrase = f'category = "lookup"\nsay = {json.dumps(WORDINGS)}\n'
    phrase += 'call = {name = "lookup", arguments = {path = "{path}", line = "{line}"}}\n'
    slots = f'tools = "lookup"\n[slots]\npath = {json.dumps(paths)}\nline = {json.dumps(lines)}\n[[phrase]]\n{phrase}'
    (fixtures / "slots/lookup.toml").write_text(slots)
    report.write(folder / "report.json", _report(fixtures))
    return fixtures


def _case(number: int, drawn: random.Random) -> dict[str, object]:
    path = f"cases/{'-'.join(drawn.sample(WORDS, 4))}.md"
    asked = f"{' '.join(drawn.sample(WORDS, 6))}: where is {path}, and what says its line {number}?"
    call = {"name": "lookup", "arguments": {"path": path, "line": number}}
    split = HELD_OUT if number % 2 else DEV
    row = {"id": f"c{number}", "messages": [{"role": "user", "content": asked}], "tools": "lookup"}
    return row | {"expect": {"calls": [call]}, "split": split}


def _report(fixtures: Path) -> Report:
    file = loader.load("lookup.jsonl", fixtures)
    digests = tuple(loader.marks(case)[0] for case in file.cases)
    ids = tuple(case.id for case in file.cases)
    contract = Contract("t", "lookup.jsonl", file.digest, ids, 1.0, digests=digests)
    one = Result("t", "", "dev", False, False, ("wrong",), "?", {}, (REPLY,), "model")
    sealed = {"asked": "", "expect": {}, "why": (), "stage": ""}
    results = [replace(one, case=case.id, split=case.split) for case in file.cases]
    shown = tuple(result if result.split == "dev" else replace(result, **sealed) for result in results)
    return Report(GRADED, MADE, (contract,), shown, (), ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--cases", type=int, default=500)
    args = parser.parse_args()
    commands = argparse.ArgumentParser()
    repair.add_parsers(commands.add_subparsers())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fixtures = project(folder, args.cases)
        most, each = str(args.rows), str(args.rows // (args.cases // 2))
        command = ["repair", str(folder / "report.json"), "-o", str(folder / "out"), "--fixtures", str(fixtures)]
        command += ["--variants", each, "--most", most, "--registry", str(folder / "registry"), "--keep", "0"]
        asked, shown = commands.parse_args(command), io.StringIO()
        begun, worked = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(shown):
            status = asked.run(asked)
        seconds, worked = time.perf_counter() - begun, time.process_time() - worked
        rows = {path.stem: sum(1 for _ in path.open()) for path in sorted((folder / "out").glob("*.jsonl"))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1 / 1024)
    print(shown.getvalue())
    took = f"{seconds:.1f} s ({worked:.1f} s of processor time), peak memory {peak / 1e6:.0f} MB"
    print(f"status {status}: {rows} of {most} rows against {args.cases} cases in {took}")


if __name__ == "__main__":
    main()
