"""The tables that `gate repair` prints: rows by category, dropped rows, and misses to fix elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from gate.repair.build import Built
from gate.repair.misses import Found
from gate.repair.rows import ORIGINS
from gate.repair.split import SPLITS
from gate.system.text import clean, one_line

SHOWN = 12
"""Cases that are named for one reason."""


def shown(found: Found, built: Built, measured: str) -> str:
    """Everything that a person should know of a repair, planned or made."""
    parts = [_rows(found, built), _drops(built), _pairs(built), _elsewhere(found, built)]
    notes = [f"length counted by {measured}"] if built.drawn else []
    if found.held_out:
        notes.append(f"{found.held_out} misses of held-out cases: refused, and not looked at")
    return "\n\n".join(part for part in (*parts, "\n".join(notes)) if part)


def _rows(found: Found, built: Built) -> str:
    """A line for each category: misses, rows by origin, rows by split."""
    misses = Counter(miss.category for miss in found.misses)
    every = built.rows
    by_origin = Counter((row.category, row.origin) for row in every)
    by_split = {name: Counter(row.category for row in part) for name, part in built.parts.items()}
    names = sorted({row.category for row in every} | set(misses))
    if not names:
        return ""
    drops: Counter[str] = Counter()
    for (kind, _, _), number in built.dropped.items():
        drops[kind] += number
    lines = [
        [
            clean(name),
            misses[name],
            *[by_origin[name, origin] for origin in ORIGINS],
            drops[name],
            built.short[name],
            *[by_split[split][name] for split in SPLITS],
        ]
        for name in names
    ]
    sums = [sum(int(str(line[n])) for line in lines) for n in range(1, len(lines[0]))]
    head = ["category", "misses", *ORIGINS, "dropped", "short", *SPLITS]
    return tabulate([*lines, ["all", *sums]], head, colalign=("left", *["right"] * (len(head) - 1)))


def _drops(built: Built) -> str:
    reasons: Counter[str] = Counter()
    for (_, _, why), number in built.dropped.items():
        reasons[why] += number
    rows = [[number, clean(why)] for why, number in reasons.most_common()]
    return tabulate(rows, ["dropped", "because it"], colalign=("right", "left")) if rows else ""


def _pairs(built: Built) -> str:
    lines = [f"{len(built.pairs)} pairs"] if built.pairs else []
    return "\n".join([*lines, *[f"  {number} {clean(why)}" for why, number in built.unpaired.most_common()]])


def _elsewhere(found: Found, built: Built) -> str:
    """Misses that no row repairs, by what to do about them."""
    names: dict[tuple[str, str], list[str]] = {}
    for other in found.elsewhere:
        names.setdefault((other.stage or "-", other.why), []).append(other.case)
    for case, why in built.unbuilt:
        names.setdefault(("model", why), []).append(case)
    return "\n".join(line for (stage, why), cases in names.items() for line in _named(stage, why, cases))


def _named(stage: str, why: str, cases: Sequence[str]) -> Iterator[str]:
    yield clean(f"{len(cases)} misses, stage {stage}: {one_line(why, 200)}")
    for case in cases[:SHOWN]:
        yield clean(f"  {case}")
    if len(cases) > SHOWN:
        yield f"  … and {len(cases) - SHOWN} more"
