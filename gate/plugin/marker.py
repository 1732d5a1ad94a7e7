"""The gate marker's arguments, checked, as the contract of a test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gate.cases import labels
from gate.cases.loader import CaseFile
from gate.errors import CaseError
from gate.judge import rubric as rubrics
from gate.stats import cases_needed
from gate.types import HELD_OUT, Contract, Json

GIVEN: Json = {"floor": 1.0, "bound": None, "drop": None, "must": False, "smoke": False, "repeats": 1}
GIVEN |= {"floors": {}, "positive": "", "rubric": "", "mean": None, "slower": None, "within": None}
"""What the marker takes beside the case file, and what it means when it is not given."""
NUMBERS = ("floor", "bound", "mean", "slower", "within")
MOST = 100
"""Times that one case can be asked."""


def named(arguments: tuple[Any, ...]) -> str:
    """The case file that a marker names. Raises CaseError."""
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise CaseError('the marker takes one case file: @pytest.mark.gate("hermes/calls.jsonl", floor=1.0)')
    return arguments[0]


def contract(test: str, name: str, file: CaseFile, given: Mapping[str, Any], fixtures: Path) -> Contract:
    """What a marked test asks and demands. Raises CaseError for a demand that is none or can never be met."""
    if unknown := set(given) - set(GIVEN):
        raise CaseError(f"unknown marker argument {', '.join(sorted(unknown))}; known: cases, {', '.join(GIVEN)}")
    demands: Json = GIVEN | dict(given)
    ids = tuple(case.id for case in file.cases)
    _check_kinds(demands)
    _check_together(demands, given, len(ids))
    _check_labels(demands["positive"], file)
    demands |= {key: float(demands[key]) for key in NUMBERS if demands[key] is not None}
    demands["floors"] = {tag: float(rate) for tag, rate in demands["floors"].items()}
    demands |= {"tagged": _tagged(demands["floors"], file), "rubric_digest": _rubric(demands, file, fixtures)}
    held = [number for number, case in enumerate(file.cases) if case.split == HELD_OUT]
    return Contract(
        test=test,
        cases=name,
        digest=file.digest,
        ids=ids,
        digests=tuple(whole for whole, _ in file.marks),
        held_out=tuple(file.marks[number][1] for number in held),
        held_out_ids=tuple(ids[number] for number in held),
        **demands,
    )


def _tagged(floors: Json, file: CaseFile) -> dict[str, tuple[str, ...]]:
    """The cases of each tag with a floor; one that would tell of a single held-out case is refused."""
    found = {tag: tuple(file.tagged(tag)) for tag in floors}
    held = {case.id for case in file.cases if case.split == HELD_OUT}
    for tag, ids in found.items():
        if not ids:
            known = ", ".join(sorted({tag for case in file.cases for tag in case.tags})) or "none"
            raise CaseError(f"floors: no case has the tag {tag!r} (tags: {known})")
        if len(held & set(ids)) == 1:
            raise CaseError(f"floors: {tag!r} has one held-out case, which its rate would tell: hold out two or none")
    return found


def _rubric(demands: Json, file: CaseFile, fixtures: Path) -> str:
    """The digest of the rubric that the marker names; empty where it names none."""
    name, mean = demands["rubric"], demands["mean"]
    if not name and mean is None:
        return ""
    if not name or mean is None:
        raise CaseError("rubric and mean go together: which rubric, and the lowest mean of its scores")
    if any(case.split == HELD_OUT for case in file.cases):
        raise CaseError("a rubric takes no held-out cases: their answers are not kept, and a judge reads answers")
    found = rubrics.load(name, fixtures)
    if not found.lowest <= mean <= found.highest:
        raise CaseError(f"mean {mean:g} is not on the scale of {name!r}, {found.lowest} to {found.highest}")
    return found.digest


def _check_labels(positive: str, file: CaseFile) -> None:
    known = {labels.expected_label(case.expect) for case in file.cases}
    if positive and (positive not in known or len(known) != 2):
        raise CaseError(f"positive={positive!r} needs cases of two labels, this one among them, not {sorted(known)}")


def _check_kinds(demands: Json) -> None:
    for key in ("floor", "bound"):
        if not (_rate(demands[key]) or (key == "bound" and demands[key] is None)):
            raise CaseError(f"{key} must be a rate from 0 to 1, not {demands[key]!r}")
    for key in ("mean", "slower", "within"):
        if demands[key] is not None and not (_number(demands[key]) and (demands[key] > 0 or key == "mean")):
            raise CaseError(f"{key} must be a number{'' if key == 'mean' else ' above 0'}, not {demands[key]!r}")
    for key in ("positive", "rubric"):
        if not isinstance(demands[key], str):
            raise CaseError(f"{key} must be a text, not {demands[key]!r}")
    floors = demands["floors"]
    if not isinstance(floors, dict) or not all(isinstance(tag, str) and _rate(rate) for tag, rate in floors.items()):
        raise CaseError(f"floors must be rates from 0 to 1 by tag, {{'SAVE': 0.9}}, not {floors!r}")
    drop = demands["drop"]
    if drop is not None and (isinstance(drop, bool) or not isinstance(drop, int) or drop < 0):
        raise CaseError(f"drop must be a number of cases, 0 or more, not {drop!r}")
    repeats = demands["repeats"]
    if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= MOST:
        raise CaseError(f"repeats must be a number of times from 1 to {MOST}, not {repeats!r}")
    for key in ("must", "smoke"):
        if not isinstance(demands[key], bool):
            raise CaseError(f"{key} must be True or False, not {demands[key]!r}")


def _check_together(demands: Json, given: Mapping[str, Any], count: int) -> None:
    """Refuse demands that contradict each other, and a bound that so few cases can never show."""
    if demands["must"] and (given.get("floor", 1.0) != 1.0 or given.get("drop")):
        raise CaseError("must=True lets nothing pass: it takes no floor below 1 and no drop")
    bound = demands["bound"]
    if bound is None:
        return
    if demands["smoke"]:
        raise CaseError("smoke=True proves nothing, and bound demands a proof: give one of them")
    needed = cases_needed(bound) if bound < 1 else None
    if needed is None or count < needed:
        need = "no number of cases can" if needed is None else f"it takes {needed}, all of them right"
        raise CaseError(f"{count} cases can never show a rate of {bound:g} with 95 % confidence: {need}")


def _rate(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
