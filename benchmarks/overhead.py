"""What the plugin costs per case: 2,000 cases on an instant scripted server, with the gate and without it.

    python -m benchmarks.overhead [--cases 2000] [--rounds 3]

Both sides run pytest over the same number of parametrized tests, and each test sends the same request with the same
openai client to the same server, so that what differs is the plugin: markers, cases, scoring, reports, verdict. With an
instant server several requests at once gain nothing, and their threads wait for each other; so the gate is also timed
one at a time (--gate-concurrency 1). Runs are interleaved; the smallest of the rounds counts; set-up (serving, imports,
collection of nothing) is subtracted by running each side with two cases as well. Prints milliseconds per case and the
ratio of the two sides.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.project import SUITE, TOOL, a_case, right

PLAIN = """
import json, os, openai, pytest
from pathlib import Path

ROWS = [json.loads(line) for line in Path("fixtures/cases/calls.jsonl").read_text().splitlines()]
TOOLS = json.loads(Path("fixtures/tools/tools.json").read_text())
CLIENT = openai.OpenAI(base_url=os.environ["PLAIN_URL"], api_key="none", max_retries=0)

@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_calls(row):
    reply = CLIENT.chat.completions.create(
        model="scripted", messages=row["messages"], tools=TOOLS, temperature=0, top_p=1, seed=0, max_tokens=512,
        logprobs=True, top_logprobs=2,
    )
    call = reply.choices[0].message.tool_calls[0].function
    assert {"name": call.name, "arguments": json.loads(call.arguments)} == row["expect"]["calls"][0]
"""
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
WAYS = (
    ("alone", (), ()),
    ("alone, one at a time", (), ("--gate-concurrency", "1")),
    ("with -n 2", ("-n", "2"), ()),
)
"""A label, options of both sides, options of the gate."""
Way = tuple[tuple[str, ...], tuple[str, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        small, large = _project(Path(name) / "small", 2), _project(Path(name) / "large", args.cases)
        print(f"{args.cases} cases, smallest of {args.rounds} interleaved rounds")
        for label, workers, concurrency in WAYS:
            gate, plain = _per_case(small, large, args.cases - 2, args.rounds, (workers, concurrency))
            times = f"gate {gate:6.2f} ms  plain {plain:6.2f} ms  plugin {gate - plain:6.2f} ms per case"
            print(f"{label:22} {times}  ratio {gate / plain:.2f}", flush=True)


def _project(folder: Path, count: int) -> Path:
    for part in ("suites", "plain", "fixtures/cases", "fixtures/tools"):
        (folder / part).mkdir(parents=True)
    names = [f"case-{number}" for number in range(count)]
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "fixtures/tools/tools.json").write_text(json.dumps([TOOL]))
    (folder / "fixtures/cases/calls.jsonl").write_text("".join(json.dumps(a_case(name)) + "\n" for name in names))
    (folder / "answers.jsonl").write_text("".join(json.dumps(right(name)) + "\n" for name in names))
    (folder / "suites/test_calls.py").write_text(SUITE.replace("{floor}", "1.0"))
    (folder / "plain/test_plain.py").write_text(PLAIN)
    return folder


def _per_case(small: Path, large: Path, cases: int, rounds: int, way: Way) -> tuple[float, float]:
    """Milliseconds per case of the gate and of plain pytest."""
    sides = (_gate, _plain)
    best = {(side, folder): float("inf") for side in sides for folder in (small, large)}
    for _ in range(rounds):
        for side, folder in best:
            best[side, folder] = min(best[side, folder], side(folder, way))
    gate, plain = (1000 * (best[side, large] - best[side, small]) / cases for side in sides)
    return gate, plain


def _gate(folder: Path, way: Way) -> float:
    workers, concurrency = way
    command = [*PYTEST, "--model", "scripted:answers.jsonl", "--gate-fresh", *workers, *concurrency]
    return _timed(command, folder, dict(os.environ))


def _plain(folder: Path, way: Way) -> float:
    """Seconds of plain pytest against its own server, with the server's start and stop, as in the gate's time."""
    port = 18000 + os.getpid() % 2000
    command = [sys.executable, "-m", "gate.models.serving.scripted_rules", "answers.jsonl", "--port", str(port)]
    begun = time.perf_counter()
    with subprocess.Popen(command, cwd=folder) as server:
        time.sleep(0.5)
        _timed([*PYTEST, *way[0], "plain"], folder, os.environ | {"PLAIN_URL": f"http://127.0.0.1:{port}/v1"})
        server.terminate()
    return time.perf_counter() - begun


def _timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
