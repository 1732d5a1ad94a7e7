"""A judge's scores in a report: the demands on them, missing scores, and the comparison with the champion's."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from gate.stats import sign_flip
from gate.types import HELD_OUT, Checkup, Contract, Made, Outcome, Result


def mean(results: Sequence[Result]) -> float | None:
    """Mean over the cases of the mean of each one's scores; None where one is missing."""
    scores = _by_case(results)
    if not scores or any(None in each for each in scores.values()):
        return None
    return statistics.fmean(statistics.fmean(map(float, each)) for each in scores.values())  # type: ignore[arg-type]


def checkup(contract: Contract, made: Made) -> Checkup | None:
    """The check-up of the judge for a contract's rubric; None where it was not made, or for another rubric."""
    found = made.judge.rubrics.get(contract.rubric) if made.judge else None
    return found if found is not None and found.digest == contract.rubric_digest else None


def demanded(contract: Contract, results: Sequence[Result], made: Made) -> tuple[Outcome, str]:
    """INCONCLUSIVE where the judge failed its own check-up, whatever it has scored; BELOW_FLOOR for a low mean."""
    if not contract.rubric or contract.mean is None:
        return Outcome.PASS, ""
    check = checkup(contract, made)
    if check is None:
        return Outcome.INCOMPLETE, "no judge has scored its answers"
    if check.faults:
        return Outcome.INCONCLUSIVE, f"the judge failed its own check-up: {check.faults[0]}"
    found = mean(results)
    if found is None:
        return Outcome.INCOMPLETE, "some of its answers have no score"
    if found < contract.mean:
        return Outcome.BELOW_FLOOR, f"the judge's mean {found:.2f} is below {contract.mean:g}"
    return Outcome.PASS, ""


def gaps(contract: Contract, results: Sequence[Result], made: Made) -> Iterator[str]:
    """What was not judged, unless the judge is not believed anyway."""
    if not contract.rubric:
        return
    check = checkup(contract, made)
    if check is None:
        yield f"not judged: {contract.test}: gate judge REPORT --judge PATH scores the answers that are kept"
        return
    silent = [result for result in results if result.score is None]
    if silent and not check.faults:
        told = next((each for each in silent if each.split != HELD_OUT), None)
        why = told.judged.reason if told and told.judged else "was not judged"
        which = told.case if told else "held-out cases"
        yield f"not judged: {contract.test}: {which}: {why} ({len(silent)} of {len(results)})"


def worse(contract: Contract, own: Sequence[Result], champion: Sequence[Result]) -> float | None:
    """One-sided p of "the scores are no lower than the champion's"; None where no judge has scored both."""
    if not contract.rubric or mean(own) is None or mean(champion) is None:
        return None
    new, old = (_means([each for each in one if each.case not in contract.contaminated]) for one in (own, champion))
    apart = [old[case] - new[case] for case in new if case in old]
    return sign_flip(apart) if apart else None


def _means(results: Sequence[Result]) -> dict[str, float]:
    return {case: statistics.fmean(each or 0 for each in scores) for case, scores in _by_case(results).items()}


def _by_case(results: Sequence[Result]) -> dict[str, list[int | None]]:
    found: dict[str, list[int | None]] = {}
    for result in results:
        found.setdefault(result.case, []).append(result.score)
    return found
