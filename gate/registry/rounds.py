"""The rounds of a slot: training, results, and lost cases of each promotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tabulate import tabulate

from gate.errors import GateError, ReportError
from gate.grading.paired import by_test, flips, rights
from gate.registry import contaminated, ledger, release, slots
from gate.registry.ledger import Record
from gate.registry.slots import PROMOTION, ROLLBACK, Slot
from gate.stats import lower_bound
from gate.system import jsonl
from gate.system.text import clean
from gate.types import Contract, Json, Report


@dataclass(frozen=True, slots=True)
class Rate:
    """What one test came to."""

    hits: int
    total: int
    lower: float
    """One-sided lower bound of the rate, at the contract's confidence."""


@dataclass(frozen=True, slots=True)
class Round:
    """One promotion, or one report."""

    name: str
    at: str
    digest: str
    training: str
    """What it was trained on, in words."""
    rates: dict[str, Rate]
    contaminated: int
    """Cases that training had learned from by then."""
    lost: int | None = None
    """Cases that the round before got right and this did not; None where the two were asked nothing alike."""
    report: Report | None = None


def rounds(slot: Slot, read: Sequence[Report] = ()) -> list[Round]:
    """Every promotion and rollback of a slot, then the reports. Raises LedgerError."""
    records = _contaminations(slot.registry)
    found: list[Round] = []
    number = 0
    for line in slots.history(slot):
        if line.event == PROMOTION:
            number += 1
            found.append(_promoted(slot, line, f"{number}", records))
        elif line.event == ROLLBACK:
            back, digest = line.facts["reason"], line.facts["to"]["digest"]
            found.append(Round("back", line.at, digest, f"rolled back: {back}", {}, _contaminated(records, line.at)))
    for report in read:
        at = report.made.started
        rates = _rates(report)
        name, digest = report.checkpoint.name, report.checkpoint.digest
        found.append(Round(name, at, digest, "?", rates, _contaminated(records, at), report=report))
    return _compared(found)


def table(found: Sequence[Round]) -> str:
    """The rounds, and under them each test's rates, round by round."""
    head = ["round", "when", "checkpoint", "trained on", "right", "lost", "contaminated"]
    rows = [
        [
            clean(each.name),
            each.at[:16].replace("T", " "),
            each.digest[:12],
            clean(each.training),
            f"{sum(r.hits for r in each.rates.values())}/{sum(r.total for r in each.rates.values())}",
            "?" if each.lost is None else str(each.lost),
            str(each.contaminated),
        ]
        for each in found
    ]
    graded = [each for each in found if each.rates]
    tests = list(dict.fromkeys(test for each in graded for test in each.rates))
    told = [[clean(_short(test)), *[_cell(each.rates.get(test)) for each in graded]] for test in tests]
    names = ["at least: one-sided 95 % bound", *[clean(each.name) for each in graded]]
    parts = [tabulate(rows, head, disable_numparse=True)]
    return "\n\n".join([*parts, *([tabulate(told, names, disable_numparse=True)] if told else [])])


def draw(found: Sequence[Round], stem: Path) -> list[Path]:
    """Each test's rate over the rounds, its lower bound as a band, as `stem`.svg and .png. Raises GateError."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise GateError("rounds are drawn with matplotlib: pip install 'pytest-gate[train]'") from error
    mpl.use("Agg")
    from matplotlib import pyplot

    graded = [each for each in found if each.rates]
    figure, axis = pyplot.subplots(figsize=(max(6, 1.2 * len(graded) + 3), 5), constrained_layout=True)
    for test in dict.fromkeys(test for each in graded for test in each.rates):
        points = [(n, each.rates[test]) for n, each in enumerate(graded) if test in each.rates]
        places = [n for n, _ in points]
        shares = [rate.hits / rate.total if rate.total else 0.0 for _, rate in points]
        axis.plot(places, shares, marker="o", linewidth=1.4, label=_short(test))
        axis.fill_between(places, [rate.lower for _, rate in points], shares, alpha=0.12)
    axis.set_xticks(range(len(graded)), [each.name for each in graded])
    axis.set(ylim=(-0.02, 1.02), xlabel="round", ylabel="rate, and what it proves at least")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    paths = [stem.parent / f"{stem.name}{suffix}" for suffix in (".svg", ".png")]
    try:
        for path in paths:
            figure.savefig(path, dpi=130)
    except OSError as error:
        raise GateError(f"{stem}: cannot be drawn there: {error}") from error
    finally:
        pyplot.close(figure)
    return paths


def _promoted(slot: Slot, line: Record, name: str, records: list[tuple[str, int]]) -> Round:
    """A promotion, by the report that travels with it, or by its line in the ledger where that is gone."""
    try:
        folder = release.place(slot, str(line.facts.get("release")))
        kept: Report | None = release.report(folder, str(line.facts.get("report")))
    except ReportError:
        kept = None
    told = line.facts.get("hits") or {}
    rates = _rates(kept) if kept else {test: Rate(h, n, lower_bound(h, n)) for test, (h, n) in told.items()}
    training = _training(line.facts)
    return Round(
        name, line.at, str(line.facts["digest"]), training, rates, _contaminated(records, line.at), report=kept
    )


def _rates(report: Report) -> dict[str, Rate]:
    results = by_test(report)
    return {each.test: _rate(each, rights(results.get(each.test, []), each.repeats)) for each in report.contracts}


def _rate(contract: Contract, right: dict[str, bool]) -> Rate:
    hits, total = sum(right.values()), len(right)
    return Rate(hits, total, lower_bound(hits, total, alpha=contract.alpha))


def _compared(found: list[Round]) -> list[Round]:
    """Each round with what it lost against the graded one before it."""
    told: list[Round] = []
    before: Report | None = None
    for each in found:
        told.append(replace(each, lost=_lost(each.report, before)) if each.report and before else each)
        before = each.report or before
    return told


def _lost(report: Report, before: Report) -> int | None:
    """Regressions over the tests that both were asked; each case that both know counts."""
    own, other = by_test(report), by_test(before)
    known = {contract.test for contract in before.contracts}
    both = [contract for contract in report.contracts if contract.test in known]
    lost = [flips(each, own.get(each.test, []), other.get(each.test, []))[0] for each in both]
    return sum(map(len, lost)) if both else None


def _training(facts: Json) -> str:
    """The training rows of a promotion: how many, by the manifest that has their digest; else the digest."""
    given = facts.get("training") or {}
    digest = next((str(each) for name, each in given.items() if Path(name).name == "train.jsonl"), "")
    if not digest:
        return "not known"
    for folder in Path(str(facts["path"])).parents[:3]:
        for path in (folder / "data/manifest.json", folder / "manifest.json"):
            rows = _rows(path, digest)
            if rows is not None:
                return f"{rows} rows ({digest[:8]})"
    return f"sha256 {digest[:12]}"


def _rows(path: Path, digest: str) -> int | None:
    """The training rows that a manifest counts, if it is of these very rows."""
    try:
        told = jsonl.loads(path.read_text(encoding="utf-8"), where=str(path)) if path.is_file() else {}
        return sum(told["rows"]["train"].values()) if told["sha256"]["train"] == digest else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, GateError):
        return None


def _contaminations(registry: Path) -> list[tuple[str, int]]:
    """When cases were contaminated, and how many."""
    return [(line.at, len(line.facts.get("cases") or {})) for line in ledger.read(contaminated.path(registry))]


def _contaminated(records: Sequence[tuple[str, int]], at: str) -> int:
    return sum(number for when, number in records if when <= at)


def _cell(rate: Rate | None) -> str:
    return "-" if rate is None else f"{rate.hits}/{rate.total}, at least {100 * rate.lower:.0f} %"


def _short(test: str) -> str:
    return test.removeprefix("suites/").replace(".py::", "::")
