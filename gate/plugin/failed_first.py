"""What earlier runs have missed: to ask that first tells most."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path

from gate.types import HELD_OUT

LAST = 5
"""Reports that are looked at, the newest."""


def missed(runs: Path) -> dict[str, Counter[str]]:
    """How often the last runs have missed each case that is not held out, test by test. What cannot be read is left."""
    found: dict[str, Counter[str]] = {}
    for path in sorted(runs.glob("*/report.json"))[-LAST:]:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            for row in json.loads(path.read_text(encoding="utf-8"))["results"]:
                if not row["hit"] and row["split"] != HELD_OUT:
                    found.setdefault(row["test"], Counter())[row["case"]] += 1
    return found
