"""Seconds to decide a large report, alone and against a champion's.

python -m benchmarks.decide [--results 100000] [--suites 50]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from benchmarks.startup import GRADED, MADE
from gate.grading.verdict import decide
from gate.types import Contract, Reply, Report, Result

REPLY = Reply("x", "", [], [], "stop", "", {}, 0.25, 200, None, "{}")


def report(results: int, suites: int, *, wrong: int) -> Report:
    """A report of `results` cases in `suites` tests; every `wrong`th is a miss."""
    each = results // suites
    cases = tuple(f"case-{number}" for number in range(each))
    contracts = tuple(Contract(f"t{n}", f"{n}.jsonl", "0" * 64, cases, 0.9) for n in range(suites))
    one = Result("t", "c", "dev", True, True, (), "?", {}, (REPLY,))
    rows = tuple(
        replace(one, test=contract.test, case=case, hit=number % wrong != 0)
        for contract in contracts
        for number, case in enumerate(cases)
    )
    return Report(GRADED, MADE, contracts, rows, (), ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--suites", type=int, default=50)
    args = parser.parse_args()
    new, old = (report(args.results, args.suites, wrong=wrong) for wrong in (50, 49))
    for name, champion in (("alone", None), ("against a champion", old)):
        begun = time.perf_counter()
        verdict = decide(new, champion)
        print(f"{name}: {verdict.outcome} over {len(new.results)} results in {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
