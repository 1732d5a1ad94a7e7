"""Verify that a checkpoint is the promoted one, and that its evidence is intact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gate.checkpoints import checkpoint
from gate.errors import GateError
from gate.grading.verdict import decide
from gate.registry import holdout_reuse, release, signing, slots
from gate.registry.ledger import Record
from gate.registry.slots import Slot
from gate.report import io as reports
from gate.types import Checkpoint, Json

OK, FAILED, UNCHECKED = "ok", "FAILED", "not checked"


@dataclass(frozen=True, slots=True)
class Checked:
    """One line of the answer."""

    what: str
    status: str
    """ok | FAILED | not checked"""
    why: str


def verified(
    made: Checkpoint, *, registry: Path, slot: str | None = None, place: Path | None = None, key: Path | None = None
) -> tuple[Checked, ...]:
    """Everything that can be checked of a checkpoint, each thing once. Raises GateError where there is nothing.

    The release is `place`, or that of the newest promotion in the registry of these bytes or, if none is, of this path.
    """
    if made.path is None:
        raise GateError(f"{made.name}: a URL has no bytes to check")
    files = checkpoint.hashes(made, fresh=True)
    digest = checkpoint.digest_of(files)
    if place is not None:
        folder, line = place, None
        recorded = _unseen("ledger")
    else:
        found = _promotion(registry, slot, digest, made.path)
        folder, line = found.place, found.line
        recorded = _checked("ledger", lambda: _ledger(found))
    hashed = {name: each.sha256 for name, each in files.items()}
    return (
        _checked("files", lambda: _files(release.statement(folder), hashed)),
        _checked("statement", lambda: _statement(folder, line)),
        _checked("report", lambda: _report(folder, digest)),
        _checked("result", lambda: _result(folder)),
        recorded,
        _checked("attempts", lambda: _attempts(folder, registry)) if place is None else _unseen("attempts"),
        _signature("signature of the checkpoint", made.path, folder / release.ARTIFACT_SIGNATURE, key),
        _signature("signature of the release", folder, folder / release.RELEASE_SIGNATURE, key),
    )


@dataclass(frozen=True, slots=True)
class _Promotion:
    slot: Slot
    line: Record

    @property
    def place(self) -> Path:
        return release.place(self.slot, str(self.line.facts.get("release")))


def _promotion(registry: Path, slot: str | None, digest: str, path: Path) -> _Promotion:
    """The newest promotion of these bytes, else of this path."""
    names = [slot] if slot else sorted(each.parent.name for each in registry.glob(f"*/{slots.LEDGER}"))
    places = [Slot(name, registry) for name in names]
    lines = [_Promotion(each, line) for each in places for line in slots.history(each) if line.event == slots.PROMOTION]
    same = [each for each in lines if each.line.facts["digest"] == digest]
    here = [each for each in lines if each.line.facts["path"] == str(path)]
    if not same and not here:
        raise GateError(f"{path}: neither it nor its bytes were ever promoted in {registry}/ (--slot, --registry)")
    return max(same or here, key=lambda each: (each.line.at, each.line.number))


def _files(statement: Json, hashed: Mapping[str, str]) -> str:
    wanted = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    faults = [f"{name} is missing" for name in wanted if name not in hashed]
    faults += [f"{name} was not there" for name in hashed if name not in wanted]
    faults += [f"{name} has other bytes" for name in wanted if hashed.get(name, wanted[name]) != wanted[name]]
    if faults:
        raise GateError("; ".join(faults[:5]) + (f" and {len(faults) - 5} more" if len(faults) > 5 else ""))
    return f"{len(wanted)} files are those that were promoted"


def _statement(place: Path, line: Record | None) -> str:
    """The statement names the other files of the release, and the ledger names the statement."""
    configured = release.statement(place)["predicate"]["configuration"]
    wanted = {each["name"]: each["digest"]["sha256"] for each in configured if "digest" in each}
    now = release.digests(place)
    names = (release.REPORT, release.SUMMARY, release.CARD)
    if faults := [name for name in names if now.get(name) is None or now[name] != wanted.get(name)]:
        raise GateError(f"{', '.join(faults)}: missing or changed")
    if line is not None and now[release.STATEMENT] != line.facts.get("release"):
        raise GateError(f"{release.STATEMENT}: is not the one that was recorded")
    return f"{', '.join(names)} are as it says" + ("" if line is None else ", and it is the recorded one")


def _report(place: Path, digest: str) -> str:
    evidence = reports.read(place / release.REPORT)
    if evidence.checkpoint.digest != digest or not evidence.checkpoint.verified:
        raise GateError(f"it graded {evidence.checkpoint.digest[:12]}, and these files are {digest[:12]}")
    return f"it graded exactly these bytes, at {evidence.made.started}"


def _result(place: Path) -> str:
    outcome = decide(reports.read(place / release.REPORT)).outcome
    if release.statement(place)["predicate"]["result"] != "PASSED":
        raise GateError(f"it was promoted by force, against the gate; its report alone decides {outcome}")
    if outcome != "PASS":
        raise GateError(f"the statement says PASSED, and its report decides {outcome}")
    return "PASS, decided again from the report"


def _ledger(found: _Promotion) -> str:
    head = slots.verify(found.slot)
    champion = slots.current(found.slot)
    now = "the champion" if champion and champion.number == found.line.number else "not the champion now"
    return f"{found.slot.ledger} line {found.line.number}, chain whole, {now}; head {head[:12]}"


def _attempts(folder: Path, registry: Path) -> str:
    """The report counts its attempt at held-out cases as the registry does."""
    evidence = reports.read(folder / release.REPORT)
    held = [each for each in evidence.contracts if each.held_out]
    for each in held:
        number = holdout_reuse.count(registry, each.held_out, evidence.checkpoint.digest)
        if number != each.attempt:
            raise GateError(f"{each.cases}: the report says attempt {each.attempt}, {registry} counts {number}")
    return f"{len(held)} tests with held-out cases, counted as {holdout_reuse.path(registry)} does"


def _unseen(what: str) -> Checked:
    return Checked(what, UNCHECKED, "no registry: --release was given")


def _signature(what: str, path: Path, signature: Path, key: Path | None) -> Checked:
    if not signature.exists():
        status = UNCHECKED if key is None else FAILED
        return Checked(what, status, "there is none")
    if key is None:
        return Checked(what, UNCHECKED, "give the public key with --key")
    if not signing.available():
        return Checked(what, UNCHECKED, "needs the extra: pip install 'pytest-gate[sign]'")
    return _checked(what, lambda: signing.check(path, signature, key))


def _checked(what: str, check: Callable[[], str]) -> Checked:
    try:
        return Checked(what, OK, check())
    except (GateError, OSError) as error:
        return Checked(what, FAILED, str(error))
