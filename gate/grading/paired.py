"""Two reports side by side: may they be compared, which cases flipped, and was the bar lowered?"""

from __future__ import annotations

import json

from gate.types import HELD_OUT, Contract, Hardware, Report, Result

SHOWN = 100
"""Characters of a setting in a reason."""


def incomparable(report: Report, champion: Report) -> tuple[str, ...]:
    """Why results of the two reports may not be set against each other: empty when they may.

    The same cases by digest, asked with the same sampling parameters by the same runtime on the same class of machine.
    """
    own, other = report.made, champion.made
    told = {
        "sampling": (own.sampling, other.sampling),
        "runtime": (own.runtime, other.runtime),
        "the judge": (own.judge and own.judge.pinned, other.judge and other.judge.pinned),
    }
    reasons = [f"{name} {_short(old)} there, {_short(new)} here" for name, (new, old) in told.items() if old != new]
    if machine(own.hardware) != machine(other.hardware):
        reasons.append(f"graded on {' '.join(machine(other.hardware))}, this on {' '.join(machine(own.hardware))}")
    asked = {contract.test: contract for contract in report.contracts}
    changed = [old.test for old in champion.contracts if old.test in asked and asked[old.test].digest != old.digest]
    return tuple(reasons + [f"{test} had other cases" for test in changed])


def machine(hardware: Hardware) -> tuple[str, str, str]:
    """The class of a machine, operating system, architecture and processor: between classes greedy answers differ."""
    return hardware.platform.partition(" ")[0], hardware.machine, hardware.processor


def by_test(report: Report) -> dict[str, list[Result]]:
    """A report's results, test by test."""
    found: dict[str, list[Result]] = {}
    for result in report.results:
        found.setdefault(result.test, []).append(result)
    return found


def held_out(report: Report) -> set[tuple[str, str]]:
    """Test and id of the held-out cases that a report asks or has results of."""
    found = {(contract.test, id_) for contract in report.contracts for id_ in contract.held_out_ids}
    return found | {(result.test, result.case) for result in report.results if result.split == HELD_OUT}


def rights(results: list[Result], repeats: int = 1, *, parsed: bool = False) -> dict[str, bool]:
    """Each case that was asked so often: was every answer right? (pass^k with k = repeats, arXiv 2406.12045)

    `parsed`: right if the calls written as text counted as calls.
    """
    asked: dict[str, list[bool]] = {}
    for result in results:
        asked.setdefault(result.case, []).append(result.parsed if parsed else result.hit)
    return {case: all(hits) for case, hits in asked.items() if len(hits) >= repeats}


def flips(contract: Contract, new: list[Result], old: list[Result]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cases of a contract that the champion got right and the candidate wrong, and the other way round."""
    own, other = (rights(results) for results in (new, old))
    both = [case for case in contract.counted if case in own and case in other]
    return (
        tuple(case for case in both if other[case] and not own[case]),
        tuple(case for case in both if own[case] and not other[case]),
    )


def lowered(report: Report, champion: Report) -> tuple[str, ...]:
    """Every way in which less is demanded of the candidate than was of the champion."""
    own = {contract.test: contract for contract in report.contracts}
    faults = [f"{old.test} is gone" for old in champion.contracts if old.test not in own]
    judged, judging = champion.made.suites, report.made.suites
    faults += [f"suites/{name} was changed" for name in judged if judging.get(name, "") != judged[name]]
    for old in champion.contracts:
        if old.test in own:
            faults += _lower(own[old.test], old)
    return tuple(faults)


def unreplaced(report: Report) -> tuple[str, ...]:
    """Tests that count fewer cases than they hold: training has learned from some, and none took their place."""
    found = {each.test: sorted(set(each.contaminated) - set(each.replaced)) for each in report.contracts}
    return tuple(
        f"{test}: {len(ids)} cases were contaminated by training and have no fresh one (`replaces`), the first {ids[0]}"
        for test, ids in found.items()
        if ids
    )


def _lower(new: Contract, old: Contract) -> list[str]:
    faults = []
    if missing := set(old.ids) - set(new.ids):
        faults.append(f"{old.test}: {len(missing)} cases are gone, the first {min(missing)}")
    if len(new.counted) < len(old.counted):
        faults.append(f"{old.test}: {len(new.counted)} cases count, were {len(old.counted)}")
    asked = dict(zip(new.ids, new.digests, strict=False))
    changed = [id_ for id_, digest in zip(old.ids, old.digests, strict=False) if asked.get(id_, digest) != digest]
    if changed:
        faults.append(f"{old.test}: {len(changed)} cases were changed, the first {min(changed)}")
    if new.floor < old.floor:
        faults.append(f"{old.test}: floor {new.floor:g}, was {old.floor:g}")
    if (new.bound or 0) < (old.bound or 0):
        faults.append(f"{old.test}: bound {new.bound or 0:g}, was {old.bound:g}")
    usual = new.drop is None and old.drop is None and new.must == old.must
    if new.allowed > old.allowed and not usual:
        faults.append(f"{old.test}: {new.allowed} regressions allowed, were {old.allowed}")
    if new.repeats < old.repeats:
        faults.append(f"{old.test}: each case is asked {new.repeats} times, was {old.repeats}")
    faults += _lower_parts(new, old)
    if len(new.held_out) < len(old.held_out):
        faults.append(f"{old.test}: {len(new.held_out)} held-out cases, were {len(old.held_out)}")
    if old.must and not new.must:
        faults.append(f"{old.test}: no longer a must")
    if new.smoke and not old.smoke:
        faults.append(f"{old.test}: now a smoke test")
    return faults


def _lower_parts(new: Contract, old: Contract) -> list[str]:
    """The demands on tags, on a judge's mean and on seconds."""
    faults = []
    for tag, floor in old.floors.items():
        if new.floors.get(tag, 0) < floor:
            faults.append(f"{old.test}: floor of {tag} {new.floors.get(tag, 0):g}, was {floor:g}")
        if missing := set(old.tagged[tag]) - set(new.tagged.get(tag) or old.tagged[tag]):
            faults.append(f"{old.test}: {len(missing)} cases no longer bear {tag}, the first {min(missing)}")
    if old.rubric and (new.rubric, new.rubric_digest) != (old.rubric, old.rubric_digest):
        faults.append(f"{old.test}: another rubric or other anchors than {old.rubric!r} as it was")
    if old.mean is not None and (new.mean is None or new.mean < old.mean):
        faults.append(f"{old.test}: mean {new.mean}, was {old.mean:g}")
    for name, now, before in (("slower", new.slower, old.slower), ("within", new.within, old.within)):
        if before is not None and (now is None or now > before):
            faults.append(f"{old.test}: {name} {now}, was {before:g}")
    return faults


def _short(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
