"""Promotion: a checkpoint becomes champion if its report passes today and its bytes are those that were graded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

import gate
from gate.cases import loader
from gate.checkpoints import checkpoint
from gate.errors import CaseError, GateError, ReportError
from gate.grading.paired import lowered, unreplaced
from gate.grading.verdict import decide
from gate.judge import rubric
from gate.models.batch_invariance import MODES
from gate.registry import contaminated, holdout_reuse, policy, release, signing, slots
from gate.registry.policy import Policy
from gate.registry.release import Evidence
from gate.registry.slots import Pointer, Slot
from gate.report import io as report
from gate.report.shown import shown
from gate.system.hashing import sha256
from gate.types import HELD_OUT, Json, Kind, Outcome, Report, Verdict


class PromotionError(GateError):
    """The checkpoint may not be promoted; says why, every reason a line. The attempt is in the ledger."""

    status = 1


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be promoted, where to, and on what evidence."""

    path: str
    """The checkpoint, as `--model` takes it."""
    slot: Slot
    report: Path
    project: Path = field(default_factory=Path)
    """The folder with suites/, fixtures/ and pyproject.toml."""
    base: str | None = None
    champion: Path | None = None
    """A newer report of the champion, where the one it was promoted with cannot be compared with: cases were added,
    or another machine grades."""
    lower_bar: str = ""
    """Why less may be demanded than of the champion."""
    force: str = ""
    """Why it is promoted whatever speaks against it, but for other bytes than were graded. It stays in the history."""
    sign: Path | None = None
    """A private elliptic-curve key (PEM) to sign the checkpoint and its release with."""
    tell: Callable[[str], None] = lambda _text: None
    """Hears what a forced promotion goes against."""
    training: Json = field(default_factory=dict)
    """sha256 of what it was trained with, by name, as far as the trainer knows."""


def promote(request: Request) -> Pointer:
    """Check everything again, write the attempt down, and make the checkpoint its slot's champion.

    The report is decided again, with the champion's as it was kept; the checkpoint's every byte is hashed again;
    suites, cases and policy are read as they are today. What travels with it (gate.registry.release) is written before
    the line. Raises PromotionError with every reason against it, and GateError for what cannot be read; the champion
    then stays.
    """
    for name, text in (("--force", request.force), ("--accept-lower-bar", request.lower_bar)):
        if text and not text.strip():
            raise GateError(f"{name} needs a reason in words: it stays in the ledger")
    made = checkpoint.identify(request.path, base=request.base)
    if request.sign is not None:
        signing.try_key(request.sign)
        if made.path is None:
            raise GateError(f"{request.path}: has no files to sign")
    text = report.text(request.report)
    evidence = report.parsed(text, where=request.report)
    files = checkpoint.hashes(made, fresh=True)
    digest = checkpoint.digest_of(files)
    beat = slots.current(request.slot)
    kept, compared, doubts = _champions(request, beat, evidence)
    rules = policy.read(request.project)
    verdict = decide(evidence, compared, max_p95_seconds=rules.max_p95_seconds)
    bar = (*unreplaced(evidence), *(lowered(evidence, kept) if kept else ()))
    other = _other_bytes(evidence, digest)
    reasons = (
        *other,
        *doubts,
        *_no_pass(verdict),
        *_too_many_attempts(evidence, request.slot.registry),
        *_other_suites(evidence, request, rules),
        *_against_policy(evidence, made.kind, rules),
        *_lower_bar(bar, request.lower_bar),
    )
    facts = _facts(request, made.path or Path(), digest, evidence, verdict) | {
        "report": report.digest(text),
        "refused": list(reasons),
        "bar": list(bar),
        "policy": structs.asdict(rules),
        "beat": asdict(beat) if beat else None,
    }
    slots.record(request.slot, slots.ATTEMPT, facts)
    if reasons and request.force:
        request.tell("against the gate:\n" + "\n".join(f"  {reason}" for reason in reasons))
    if reasons and not (request.force and not other):
        raise PromotionError(f"{request.slot.folder}: not promoted:\n" + "\n".join(f"  {reason}" for reason in reasons))
    hashed = {name: each.sha256 for name, each in files.items()}
    told = Evidence(request.slot.name, shown(evidence, verdict), text, hashed, facts, request.training)
    statement = _released(request, made.path, told)
    return slots.promote(request.slot, facts | {"release": statement}, beat=beat)


def _facts(request: Request, path: Path, digest: str, evidence: Report, verdict: Verdict) -> Json:
    return {
        "path": str(path),
        "base": evidence.checkpoint.base,
        "digest": digest,
        "outcome": str(verdict.outcome),
        "hits": {finding.test: [finding.hits, finding.total] for finding in verdict.findings},
        "asked": sorted({contract.digest for contract in evidence.contracts}),
        "suites": evidence.made.suites,
        "command": list(evidence.made.command),
        "graded": evidence.made.started,
        "gate": gate.__version__,
        "training": request.training,
        "lower_bar": request.lower_bar,
        "force": request.force,
    }


def _champions(
    request: Request, beat: Pointer | None, evidence: Report
) -> tuple[Report | None, Report | None, tuple[str, ...]]:
    """The champion's report as it was kept, the one to compare with, and what speaks against them."""
    if beat is None:
        return None, None, () if request.champion is None else ("--champion was given, and the slot has none",)
    line = next(record for record in slots.history(request.slot) if record.number == beat.number)
    try:
        kept = release.report(release.place(request.slot, str(line.facts.get("release"))), line.facts["report"])
    except ReportError as error:
        return None, None, (str(error),)
    if request.champion is None:
        return kept, kept, ()
    again = report.read(request.champion)
    return kept, again, tuple(f"{request.champion}: {doubt}" for doubt in _doubts(again, beat, evidence))


def _doubts(again: Report, champion: Pointer, evidence: Report) -> list[str]:
    """What speaks against a newer report of the champion."""
    doubts = [f"is incomplete: {gap}" for gap in decide(again).gaps[:1]]
    if not again.checkpoint.verified or again.checkpoint.digest != champion.digest:
        doubts.append("is not a report of the slot's champion")
    if again.made.suites != evidence.made.suites:
        doubts.append("was graded by other suites than the candidate")
    asked = {(contract.test, contract.digest) for contract in again.contracts}
    lacks = [each.test for each in evidence.contracts if (each.test, each.digest) not in asked]
    return doubts + [f"the champion was not asked what {test} asks today: grade it again" for test in lacks]


def _other_bytes(evidence: Report, digest: str) -> tuple[str, ...]:
    """A URL has no bytes; a path must have exactly those that were graded."""
    if not evidence.checkpoint.verified:
        return ("the report is of a URL: what it serves cannot be verified",)
    if evidence.checkpoint.digest != digest:
        return (f"its bytes are {digest[:12]}, the report graded {evidence.checkpoint.digest[:12]}: grade it again",)
    return ()


def _no_pass(verdict: Verdict) -> tuple[str, ...]:
    if verdict.outcome is Outcome.PASS:
        return ()
    why = [f"{finding.test}: {finding.why}" for finding in verdict.findings if finding.why]
    return tuple(f"{verdict.outcome}: {line}" for line in (*verdict.gaps, *verdict.faults, *why)) or (
        f"{verdict.outcome}: only smoke tests were asked",
    )


def _too_many_attempts(evidence: Report, registry: Path) -> tuple[str, ...]:
    """Held-out cases whose attempts were not counted in this registry, or more often than the report says."""
    reasons = []
    for each in evidence.contracts:
        number = holdout_reuse.count(registry, each.held_out, evidence.checkpoint.digest) if each.held_out else 0
        if each.held_out and not number:
            reasons.append(f"{each.cases}: its held-out cases were counted elsewhere: grade it with {registry}")
        elif each.attempt < number:
            reasons.append(f"{each.cases}: the report says attempt {each.attempt}, and {registry} counts {number}")
    return tuple(reasons)


def _other_suites(evidence: Report, request: Request, rules: Policy) -> tuple[str, ...]:
    """Every way in which the suites and cases of today are not those that were asked."""
    project, slot = request.project, request.slot
    folders = evidence.made.folders
    suites, fixtures = project / folders.suites, project / folders.fixtures
    graded, today = evidence.made.suites, policy.suites(suites)
    beside = [name for name in graded if name not in today and name.startswith("..")]
    today |= {name: sha256(suites / name, fresh=True) for name in beside if (suites / name).is_file()}
    reasons = [f"suites/{name} has changed since it was graded" for name in today if graded.get(name) != today[name]]
    reasons += [f"suites/{name} is gone since it was graded" for name in graded if name not in today]
    asked = {contract.test for contract in evidence.contracts}
    if not any(rules.demanded(slot.name, f"{folders.suites}/{name}") for name in today if name.endswith(".py")):
        reasons.append(f"policy demands no suite for the slot {slot.name!r}: fix [tool.pytest-gate.slots]")
    for name in today:
        if name.endswith(".py") and not name.startswith(".."):
            place = f"{folders.suites}/{name}"
            tests = sorted(policy.gated(suites / name)) if rules.demanded(slot.name, place) else []
            reasons += [f"{place}::{test} was not asked" for test in tests if f"{place}::{test}" not in asked]
    for contract in evidence.contracts:
        try:
            today_ = loader.load(contract.cases, fixtures)
            if today_.digest != contract.digest or {case.id for case in today_.cases} != set(contract.ids):
                reasons.append(f"the cases of {contract.cases} have changed since they were asked")
            held = tuple(loader.marks(case)[1] for case in today_.cases if case.split == HELD_OUT)
            if held != contract.held_out:
                reasons.append(f"{contract.cases}: other cases are held out than the report says")
            fresh = contaminated.without(contract, today_, contaminated.recorded(slot.registry))
            if (fresh.contaminated, fresh.replaced) != (contract.contaminated, contract.replaced):
                reasons.append(
                    f"{contract.cases}: training has learned from cases since they were counted: grade again"
                )
            if any(tuple(today_.tagged(tag)) != ids for tag, ids in contract.tagged.items()):
                reasons.append(f"{contract.cases}: the tags of its cases have changed since they were asked")
            if contract.rubric and rubric.load(contract.rubric, fixtures).digest != contract.rubric_digest:
                reasons.append(f"the rubric {contract.rubric!r} has changed since its answers were asked")
        except CaseError as error:
            reasons.append(str(error))
    return tuple(reasons)


def _lower_bar(bar: tuple[str, ...], accepted: str) -> tuple[str, ...]:
    return () if accepted else tuple(f"the bar was lowered: {fault} (--accept-lower-bar REASON)" for fault in bar)


def _against_policy(evidence: Report, kind: Kind, rules: Policy) -> tuple[str, ...]:
    reasons = []
    try:
        age = (datetime.now(UTC) - datetime.fromisoformat(evidence.made.started)).total_seconds() / 86400
    except (ValueError, TypeError):
        return (f"the report says it was made at {evidence.made.started!r}, which is not a time with a zone",)
    if not -0.01 <= age <= rules.max_age_days:
        reasons.append(f"the report is {age:.1f} days old; {rules.max_age_days:g} are allowed")
    solid = [contract for contract in evidence.contracts if not contract.smoke]
    asked = [(id_, mark, each) for each in solid for id_, mark in zip(each.ids, each.digests, strict=False)]
    count = len({mark for id_, mark, each in asked if id_ not in each.contaminated})
    if count < rules.min_cases:
        reasons.append(f"it stands on {count} different cases that are no smoke tests; {rules.min_cases} are demanded")
    if kind.preflight and not evidence.made.preflight:
        reasons.append("the report holds no preflight: grade it again")
    mode = evidence.made.ask_mode.name if evidence.made.ask_mode else MODES[0]
    if MODES.index(mode) < MODES.index(rules.asked):
        reasons.append(f"its cases were asked {mode}, and the policy demands {rules.asked}")
    known = sum(any(reply.cached for reply in result.replies) for result in evidence.results)
    if known and not rules.cached:
        reasons.append(f"{known} of its answers are from an earlier run: grade it again with --gate-fresh")
    found = evidence.made.determinism
    if rules.exact and not (found and found.equal and found.sequential and found.batched and found.cold):
        reasons.append("the determinism probe did not find all answers equal, and the policy is exact")
    return tuple(reasons)


def _released(request: Request, path: Path | None, evidence: Evidence) -> str:
    """Write what travels with the promotion, and sign it; the sha256 of its statement."""
    try:
        statement = release.write(request.slot, evidence)
    except OSError as error:
        raise GateError(f"{request.slot.folder}: what travels with it could not be written: {error}") from error
    if request.sign is not None and path is not None:
        folder = release.place(request.slot, statement)
        signing.sign(path, folder / release.ARTIFACT_SIGNATURE, request.sign)
        signing.sign(folder, folder / release.RELEASE_SIGNATURE, request.sign)
    return statement
