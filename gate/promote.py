"""The only door to a slot: a report that passes today, for exactly these bytes, is recorded and made champion."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import gate
from gate import cases, checkpoint, jsonl, policy, report, slots
from gate.errors import CaseError, GateError
from gate.hashing import sha256
from gate.pairs import lowered
from gate.policy import Policy
from gate.slots import Pointer, Slot
from gate.types import Json, Outcome, Report, Verdict
from gate.verdict import decide


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


def promote(request: Request) -> Pointer:
    """Check everything again, write the attempt down, and make the checkpoint its slot's champion.

    The report is decided again, with the champion's as it was kept; the checkpoint's every byte is hashed again;
    suites, cases and policy are read as they are today. Raises PromotionError with every reason against it, and
    GateError for what cannot be read. Both leave the champion as it is.
    """
    if blank := [
        name
        for name, text in (("--force", request.force), ("--accept-lower-bar", request.lower_bar))
        if text and not text.strip()
    ]:
        raise PromotionError(f"{blank[0]} needs a reason in words: it stays in the ledger")
    made = checkpoint.identify(request.path, base=request.base)
    evidence = report.read(request.report)
    rules = policy.read(request.project)
    digest = checkpoint.digest(made, fresh=True)
    beat = slots.current(request.slot)
    champion = _kept(request.slot, beat)
    verdict = decide(evidence, _again(request, beat) or champion)
    bar = lowered(evidence, champion) if champion else ()
    other = _other_bytes(evidence, digest)
    reasons = (
        *other,
        *_no_pass(verdict),
        *_other_suites(evidence, request.project),
        *_against_policy(evidence, rules),
        *_lower_bar(bar, request.lower_bar),
    )
    facts = _facts(request, made.path or Path(), digest, evidence, verdict) | {
        "refused": list(reasons),
        "bar": list(bar),
        "policy": asdict(rules),
        "beat": asdict(beat) if beat else None,
    }
    slots.record(request.slot, slots.ATTEMPT, facts)
    if reasons and not (request.force and not other):
        raise PromotionError(f"{request.slot.folder}: not promoted:\n" + "\n".join(f"  {reason}" for reason in reasons))
    _keep(request)
    return slots.promote(request.slot, facts, beat=beat)


def _facts(request: Request, path: Path, digest: str, evidence: Report, verdict: Verdict) -> Json:
    return {
        "path": str(path),
        "base": evidence.checkpoint.get("base"),
        "digest": digest,
        "report": sha256(request.report, fresh=True),
        "outcome": str(verdict.outcome),
        "hits": {finding.test: [finding.hits, finding.total] for finding in verdict.findings},
        "asked": sorted({contract.digest for contract in evidence.contracts}),
        "suites": evidence.made.get("suites", {}),
        "command": evidence.made["command"],
        "graded": evidence.made["started"],
        "gate": gate.__version__,
        "lower_bar": request.lower_bar,
        "force": request.force,
    }


def _other_bytes(evidence: Report, digest: str) -> tuple[str, ...]:
    """A URL has no bytes; a path must have exactly those that were graded."""
    if not evidence.checkpoint["verified"]:
        return ("the report is of a URL: what it serves cannot be verified",)
    if evidence.checkpoint["digest"] != digest:
        return (f"its bytes are {digest[:12]}, the report graded {evidence.checkpoint['digest'][:12]}: grade it again",)
    return ()


def _no_pass(verdict: Verdict) -> tuple[str, ...]:
    if verdict.outcome is Outcome.PASS:
        return ()
    why = [f"{finding.test}: {finding.why}" for finding in verdict.findings if finding.why]
    return tuple(f"{verdict.outcome}: {line}" for line in (*verdict.gaps, *verdict.faults, *why)) or (
        f"{verdict.outcome}: only smoke tests were asked",
    )


def _other_suites(evidence: Report, project: Path) -> tuple[str, ...]:
    """Every way in which the suites and cases of today are not those that were asked."""
    graded, today = evidence.made.get("suites") or {}, policy.suites(project / "suites")
    reasons = [f"suites/{name} has changed since it was graded" for name in today if graded.get(name) != today[name]]
    reasons += [f"suites/{name} is gone since it was graded" for name in graded if name not in today]
    asked = {contract.test.partition("::")[0] for contract in evidence.contracts}
    for name in today:
        tested = name.endswith(".py") and (Path(name).name.startswith("test_") or name.endswith("_test.py"))
        if tested and f"suites/{name}" not in asked:
            reasons.append(f"suites/{name} was not asked")
    for contract in evidence.contracts:
        try:
            today_ = cases.load(contract.cases, project / "fixtures")
            if today_.digest != contract.digest or {case.id for case in today_.cases} != set(contract.ids):
                reasons.append(f"the cases of {contract.cases} have changed since they were asked")
        except CaseError as error:
            reasons.append(str(error))
    return tuple(reasons)


def _lower_bar(bar: tuple[str, ...], accepted: str) -> tuple[str, ...]:
    return () if accepted else tuple(f"the bar was lowered: {fault} (--accept-lower-bar REASON)" for fault in bar)


def _against_policy(evidence: Report, rules: Policy) -> tuple[str, ...]:
    reasons = []
    try:
        age = (datetime.now(UTC) - datetime.fromisoformat(evidence.made["started"])).total_seconds() / 86400
    except (ValueError, TypeError):
        return (f"the report says it was made at {evidence.made['started']!r}, which is no time with a zone",)
    if not -0.01 <= age <= rules.max_age_days:
        reasons.append(f"the report is {age:.1f} days old; {rules.max_age_days:g} are allowed")
    count = sum(len(contract.ids) for contract in evidence.contracts if not contract.smoke)
    if count < rules.min_cases:
        reasons.append(f"it stands on {count} cases that are no smoke tests; {rules.min_cases} are demanded")
    if rules.exact and (evidence.made.get("canary") or {}).get("equal") is not True:
        reasons.append("the determinism canary did not find all answers equal, and the policy is exact")
    return tuple(reasons)


def _kept(slot: Slot, champion: Pointer | None) -> Report | None:
    """The champion's report, as it was kept at its promotion, and unchanged. Raises PromotionError."""
    if champion is None:
        return None
    line = next(record for record in slots.history(slot) if record.number == champion.number)
    path = _place(slot, line.facts["report"])
    if not path.is_file() or sha256(path, fresh=True) != line.facts["report"]:
        raise PromotionError(f"{path}: the champion's report is missing or was changed: restore it")
    return report.read(path)


def _again(request: Request, champion: Pointer | None) -> Report | None:
    """The newer report of the champion, if it is of the champion's bytes and whole. Raises PromotionError."""
    if request.champion is None:
        return None
    again = report.read(request.champion)
    if champion is None or not again.checkpoint["verified"] or again.checkpoint["digest"] != champion.digest:
        raise PromotionError(f"{request.champion}: is no report of the slot's champion")
    if gaps := decide(again).gaps:
        raise PromotionError(f"{request.champion}: the champion's report is incomplete: {gaps[0]}")
    return again


def _keep(request: Request) -> None:
    """Keep the report beside the ledger: the next candidate is compared with it."""
    place = _place(request.slot, sha256(request.report, fresh=True))
    place.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write_whole(place, request.report.read_text(encoding="utf-8"))


def _place(slot: Slot, digest: str) -> Path:
    return slot.folder / "reports" / f"{digest}.json"
