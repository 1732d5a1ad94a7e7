"""Draws the suite's hundred cases from the wheel of bfcl-eval.

python -m tests.bfcl_suite FILE.whl > fixtures/cases/functions/bfcl.jsonl
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from gate.authoring.importers.bfcl.run import ANSWERED, read
from gate.authoring.importers.result import Refused
from gate.errors import CaseError
from gate.types import Json

SUITE = (*ANSWERED, "irrelevance")
COUNT, SEED = 100, 20260101
"""The suite's cases, and the seed that they are drawn with."""
MAX_STRICTER = 3  # cases of the suite
MAX_PROMPT = 3_000
"""Characters that tools stay under in the suite, and messages too: a small model must be able to read them."""


def chosen(rows: Iterable[tuple[str, Json | Refused]], count: int, seed: int) -> list[Json]:
    """`count` short cases of the suite's categories, evenly spread over these and over the splits.

    Raises CaseError where the rows hold too few.
    """
    pools: dict[tuple[str, str], list[Json]] = {}
    for category, row in rows:
        if category in SUITE and not isinstance(row, Refused) and _short(row):
            pools.setdefault((category, row["split"]), []).append(row)
    shuffle = random.Random(seed).shuffle
    for _, pool in sorted(pools.items()):
        shuffle(pool)
    cases: list[Json] = []
    for seat in range(count):
        cases.append(_drawn(pools, SUITE[seat % len(SUITE)], cases))
    return sorted(cases, key=lambda case: (SUITE.index(case["tags"][0]), _numbers(case["id"])))


def text(cases: Iterable[Json]) -> str:
    """Cases as the text of a case file."""
    return "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases)


def _short(case: Json) -> bool:
    return all(len(json.dumps(case[key], ensure_ascii=False)) < MAX_PROMPT for key in ("tools", "messages"))


def _drawn(pools: dict[tuple[str, str], list[Json]], category: str, cases: list[Json]) -> Json:
    """The next case of a category, of the split that it has less of, then of the one that all have less of."""

    def had(split: str) -> tuple[int, int]:
        same = [case for case in cases if case["split"] == split]
        return sum(category in case["tags"] for case in same), len(same)

    full = sum("stricter" in case["tags"] for case in cases) >= MAX_STRICTER
    for split in sorted(("dev", "held-out"), key=had):
        pool = pools.get((category, split), [])
        for at, case in enumerate(pool):
            if not (full and "stricter" in case["tags"]):
                return pool.pop(at)
    raise CaseError(f"the data hold too few short cases of {category}: choose fewer, or give all of BFCL")


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


if __name__ == "__main__":
    sys.stdout.write(text(chosen(read(Path(sys.argv[1])), COUNT, SEED)))
