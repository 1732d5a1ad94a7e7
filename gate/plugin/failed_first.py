"""The order in which tests ask: equal prefixes together, and with --gate-fail-fast the cases missed before first."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path

import pytest

from gate.models import prefetch
from gate.plugin.items import case_of, gated, state_of
from gate.plugin.state import Asking
from gate.types import HELD_OUT

LAST = 5
"""Reports that are looked at, the newest."""


def missed(config: pytest.Config) -> dict[str, Counter[str]]:
    """How often the last runs have missed each case that is not held out, by test; nothing without --gate-fail-fast.

    Reports that cannot be read are left out.
    """
    found: dict[str, Counter[str]] = {}
    if not config.getoption("gate_fail_fast"):
        return found
    runs = config.invocation_params.dir / Path(config.getoption("gate_runs"))
    for path in sorted(runs.glob("*/report.json"))[-LAST:]:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            for row in json.loads(path.read_text(encoding="utf-8"))["results"]:
                if not row["hit"] and row["split"] != HELD_OUT:
                    found.setdefault(row["test"], Counter())[row["case"]] += 1
    return found


def order(asking: Asking, items: list[pytest.Item]) -> None:
    """Within a test function put equal prefixes behind each other, and the longest questions first.

    Cases that earlier runs have missed come before these, and the test functions that have missed most before others.
    """
    first: dict[str, int] = {}
    prefixes: dict[str, int] = {}
    keys: dict[pytest.Item, tuple[int, ...]] = {}
    for number, item in enumerate(items):
        keys[item] = (0, number)
        if gated(item):
            each = state_of(item, asking.contracts).request
            missed, start = asking.missed_before.get(each.test, Counter()), first.setdefault(each.test, number)
            prefix = prefixes.setdefault(each.prefix, len(prefixes))
            own = (-missed[case_of(item).id], each.repeat, prefix, -prefetch.size(each.question))
            keys[item] = (-missed.total(), start, *own)
    items.sort(key=keys.__getitem__)
