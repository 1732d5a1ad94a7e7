"""Compares the gate with other harnesses on the same questions and server: seconds, requests and tokens of each.

    python -m benchmarks.harnesses --server scripted --cases 10000             what each costs without the model
    python -m benchmarks.harnesses --server llama --model model.gguf --slots 4
    python -m benchmarks.harnesses --server mlx --model DIR [--adapter DIR] [--without-seed]
    python -m benchmarks.harnesses --server scripted --only gate,openai --gate="" --gate="-n 2"

A round runs each harness once, one after the other (A B C, A B C, …), each against a server started for it alone, so
that nobody finds a cache that another has filled. The time of a run is that of its process, from start to end: its
imports, its questions, its scoring, its report; not the server's start. All ask through a relay on loopback
(relay.py), which shows afterwards how many requests there were, how many tokens they had and how many of these had to
be computed, and whether each asked exactly the cases' messages, tools and max_tokens.

Every harness is used as its own documentation advises, with its default concurrency: peers/ holds what a user of it
would write, and says where that is documented. Retries and caches of replies are off. The first call installs the
others into --peers (some 3.5 GB, most of it promptfoo's).

A real server is asked the cases of suites/hermes, or of other --suites (trainers/demo/suites has 48); next to it stands
the least time that it can need (limit.py). A scripted one answers generated cases at once. mlx_lm.server takes a
request with a seed by itself and those without in batches: the gate leaves the seed out where it may, and
--without-seed lets the others do so, too.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.harnesses import limit, questions, table
from benchmarks.harnesses.harnesses import NAMES, Harness, gate, others
from benchmarks.harnesses.installing import FOLDER
from benchmarks.harnesses.runs import Run, run
from gate.checkpoints import checkpoint as checkpoints
from gate.errors import GateError
from gate.types import Checkpoint

SERVERS = ("scripted", "llama", "mlx")
GENERATED = 1000
"""Cases for a scripted server without --cases."""


def main() -> None:
    args = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("harnesses: ended"))  # children are stopped on the way out
    with tempfile.TemporaryDirectory(prefix="harnesses-") as name:
        try:
            print(_compared(args, Path(name) / "project"))
        except GateError as error:
            sys.exit(f"harnesses: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.harnesses",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", choices=SERVERS, required=True)
    parser.add_argument("--model", metavar="PATH", help="a .gguf file for llama, an MLX folder for mlx")
    parser.add_argument("--adapter", metavar="DIR", help="an adapter on that MLX folder")
    parser.add_argument("--slots", metavar="N", type=int, default=4, help="llama-server's --parallel (default: 4)")
    parser.add_argument("--cases", metavar="N", type=int, help="default: all of the suites; 1000 for a scripted server")
    parser.add_argument("--suites", metavar="DIR", type=Path, default=questions.SUITES, help="default: suites/hermes")
    parser.add_argument("--rounds", metavar="N", type=int, default=3, help="default: 3")
    parser.add_argument("--only", metavar="NAMES", default=",".join(NAMES), help="default: %(default)s")
    parser.add_argument(
        "--gate", metavar="OPTIONS", action="append", help="further options of pytest; repeat to compare several"
    )
    parser.add_argument("--without-seed", action="store_true", help="the others send no seed")
    parser.add_argument("--no-limit", action="store_true", help="do not measure the least time, which takes minutes")
    parser.add_argument("--peers", metavar="DIR", type=Path, default=FOLDER, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", type=Path, help="every run, as JSON")
    args = parser.parse_args()
    if unknown := set(args.only.split(",")) - set(NAMES):
        parser.error(f"--only: {', '.join(sorted(unknown))}: known are {', '.join(NAMES)}")
    if (args.server == "scripted") is bool(args.model):
        parser.error("--model belongs to a real server, and a real server needs one")
    return args


def _compared(args: argparse.Namespace, project: Path) -> str:
    """Measure, save and return the tables."""
    sampling = {key: value for key, value in questions.SAMPLING.items() if key != "seed" or not args.without_seed}
    if args.server == "scripted":
        asked = questions.generated(project, args.cases or GENERATED, sampling)
    else:
        asked = questions.of_suites(args.suites.resolve(), project, args.cases, sampling)
    checkpoint = _checkpoint(args, project)
    compared, missing = _harnesses(args)
    about = table.about(args.server, checkpoint.name, cases=len(asked.bodies), rounds=args.rounds, slots=args.slots)
    least = None if args.server == "scripted" or args.no_limit else limit.measured(checkpoint, asked.bodies)
    runs: list[Run] = []
    for number in range(1, args.rounds + 1):
        for each in compared:
            runs.append(run(each, asked, checkpoint, slots=args.slots, number=number))
            _say(runs[-1])
    if args.json:
        kept = {"about": about, "limit": asdict(least) if least else None, "runs": [asdict(each) for each in runs]}
        args.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return table.text(compared, runs, missing, least, about)


def _checkpoint(args: argparse.Namespace, project: Path) -> Checkpoint:
    if args.server == "scripted":
        return checkpoints.identify(f"scripted:{project / 'answers.jsonl'}")
    if args.adapter:
        return checkpoints.identify(args.adapter, base=args.model)
    return checkpoints.identify(args.model)


def _harnesses(args: argparse.Namespace) -> tuple[list[Harness], dict[str, str]]:
    names = [name for name in NAMES if name in args.only.split(",")]
    own = [gate(shlex.split(options)) for options in args.gate or [""]] if "gate" in names else []
    found, missing = others([name for name in names if name != "gate"], args.peers)
    return [*own, *found], missing


def _say(done: Run) -> None:
    result = f"did not run: {done.problem}" if done.problem else f"{done.seconds:.2f} s, {done.hits}/{done.scored} hits"
    print(f"harnesses: round {done.round}, {done.name}: {result}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
