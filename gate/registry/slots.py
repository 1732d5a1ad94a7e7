"""A slot holds one champion: a folder `<registry>/<name>/` with `ledger.jsonl`, `current` and `previous`.

The ledger is the truth. `current` and `previous` are copies of what it says, for whatever serves the champion: a JSON
object each, replaced whole, never a link. A promotion counts from the moment its line is on disk; if a kill comes
before the copies are written, the next call writes them. So a pointer never names what is not recorded.

A rollback returns to the champion before and takes the one it leaves out of the succession: after A, B, C two
rollbacks lead to A, and a third is refused. `previous` is always where the next rollback would lead.

A pointer that was moved by hand is refused, not corrected: what is served is then not what the ledger says.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from gate.errors import CaseError, GateError
from gate.registry import ledger
from gate.registry.ledger import LedgerError, Record
from gate.system import disk, jsonl
from gate.types import Forced, Json

REGISTRY = Path("registry")
LEDGER = "ledger.jsonl"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
EVENT = re.compile(r"[a-z][a-z-]{0,31}")
ATTEMPT, PROMOTION, ROLLBACK = "attempt", "promotion", "rollback"
_AFRESH = (
    "to write both again from the ledger, delete `current` and `previous`; to return to an earlier champion, roll back"
)


class SlotError(GateError):
    """A slot's name, pointers or succession do not allow what was asked."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one champion is kept. Raises SlotError for a name that is not a plain folder name."""

    name: str
    registry: Path = REGISTRY

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SlotError(
                f"{self.name!r} is not a name for a slot: 1 to 64 of a-z 0-9 . _ -, a letter or digit first"
            )

    @property
    def folder(self) -> Path:
        return self.registry / self.name

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER


@dataclass(frozen=True, slots=True)
class Pointer:
    """A champion: which bytes, where they lie, and the line that promoted them."""

    path: str
    digest: str
    """sha256 of the checkpoint (gate.checkpoints.checkpoint.digest)."""
    number: int
    """The promotion's line in the ledger."""
    line: str
    """That line's hash."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Who is champion, and who would be after a rollback."""

    current: Pointer | None = None
    previous: Pointer | None = None


def record(slot: Slot, event: str, facts: Json) -> Record:
    """Write down what happened in a slot, good or bad. Raises SlotError, LedgerError."""
    if event in (PROMOTION, ROLLBACK) or not EVENT.fullmatch(event):
        raise SlotError(f"{event!r} is not an event to record: it moves the champion, or is not of a-z and -")
    return ledger.append(slot.ledger, event, facts)


def promote(slot: Slot, facts: Json, *, beat: Pointer | None) -> Pointer:
    """Record a promotion, then make it the slot's champion. `facts` needs path and digest; the rest is kept as it is.

    `beat` is the champion that the candidate was compared with. Raises SlotError when that is champion no longer, or
    is this very checkpoint; LedgerError when nothing could be recorded.
    """
    _need_checkpoint(facts, where=slot.folder)
    with ledger.exclusive(slot.folder / "current"):
        champion = _settle(slot).current
        if champion != beat:
            raise SlotError(
                f"{slot.folder}: the candidate was compared with {_name(beat)}, and the champion is {_name(champion)}: "
                "grade it again"
            )
        if champion and (champion.path, champion.digest) == (facts["path"], facts["digest"]):
            raise SlotError(f"{slot.folder}: {_name(champion)} is this very checkpoint: there is nothing to promote")
        promoted = _pointer(ledger.append(slot.ledger, PROMOTION, facts))
        _settle(slot)
    return promoted


def rollback(slot: Slot, reason: str) -> Pointer:
    """Record a return to the champion before, then return to it.

    Raises SlotError when there is none or no reason, and after finishing a rollback that a kill had interrupted:
    whoever repeats that one must not go back twice.
    """
    if not reason.strip():
        raise SlotError("a rollback needs a reason: it stays in the ledger")
    with ledger.exclusive(slot.folder / "current"):
        found, standing = _found(slot), _settle(slot)
        if found != standing and _last_move(slot) == ROLLBACK:
            raise SlotError(
                f"{slot.folder}: a rollback was interrupted, and is finished now: the champion is "
                f"{_name(standing.current)}; nothing more was done"
            )
        if standing.current is None or standing.previous is None:
            raise SlotError(f"{slot.folder}: {_name(standing.current)} has none before it to roll back to")
        facts = {"reason": reason, "from": asdict(standing.current), "to": asdict(standing.previous)}
        ledger.append(slot.ledger, ROLLBACK, facts)
        _settle(slot)
    return standing.previous


def standing(slot: Slot) -> Standing:
    """Who is champion and who was before, as the ledger says and `current` and `previous` confirm.

    Finishes what a kill has interrupted. Raises SlotError when a pointer was moved by hand, LedgerError.
    """
    if not slot.folder.exists():
        return Standing()
    _, after = _recorded(ledger.read(slot.ledger))
    if _found(slot) == after:
        return after
    with ledger.exclusive(slot.folder / "current"):  # interrupted, or another process is at it
        return _settle(slot)


def current(slot: Slot) -> Pointer | None:
    """The champion; None before the first promotion. Raises as `standing` does."""
    return standing(slot).current


def history(slot: Slot) -> tuple[Record, ...]:
    """Everything that was recorded, oldest first. Raises LedgerError."""
    return ledger.read(slot.ledger)


def forced(registry: Path) -> tuple[Forced, ...]:
    """Every promotion of a registry's slots that was forced. Raises LedgerError."""
    ledgers = sorted(registry.glob(f"*/{LEDGER}"))
    lines = [(path.parent.name, line) for path in ledgers for line in ledger.read(path) if line.event == PROMOTION]
    return tuple(Forced(slot, line.number, line.facts["force"]) for slot, line in lines if line.facts.get("force"))


def verify(slot: Slot, *, head: str | None = None) -> str:
    """Check ledger and pointers and return the ledger's head hash; `head` as in ledger.verify. Raises as they do."""
    found = ledger.verify(slot.ledger, head=head)
    standing(slot)
    return found


def _settle(slot: Slot) -> Standing:
    """Make `current` and `previous` say what the ledger says. The slot's lock is held."""
    records = ledger.read(slot.ledger)
    before, after = _recorded(records)
    found = _found(slot)
    if found == after:
        return after
    _refuse_unrecorded(slot, found, records)
    if found.current != after.current and found not in (before, Standing()):
        raise SlotError(
            f"{slot.folder / 'current'} names {_name(found.current)}, and the ledger says {_name(after.current)}: it "
            f"was moved by hand; {_AFRESH}"
        )
    try:
        _write(slot.folder, "current", after.current)
        _write(slot.folder, "previous", after.previous)
    except OSError as error:
        raise SlotError(
            f"{slot.folder}: {_name(after.current)} is recorded as champion, but `current` or `previous` could not be "
            f"written: {error}; fix that, and the next gate command on this slot finishes it"
        ) from error
    return after


def _recorded(records: tuple[Record, ...]) -> tuple[Standing, Standing]:
    """The standing before the last promotion or rollback, and after it."""
    succession: list[Pointer] = []
    before = after = Standing()
    for line in records:
        if line.event not in (PROMOTION, ROLLBACK):
            continue
        if line.event == PROMOTION:
            succession.append(_pointer(line))
        else:
            _leave(succession, line)
        before, after = after, Standing(*reversed(succession[-2:]))
    return before, after


def _last_move(slot: Slot) -> str:
    moves = [line.event for line in history(slot) if line.event in (PROMOTION, ROLLBACK)]
    return moves[-1] if moves else ""


def _leave(succession: list[Pointer], line: Record) -> None:
    """Take the last champion out of the succession, if it is the one that the rollback left."""
    ends = [asdict(pointer) for pointer in reversed(succession[-2:])]
    if len(ends) < 2 or [line.facts.get("from"), line.facts.get("to")] != ends:
        raise LedgerError(f"line {line.number} rolls back what was not champion: it was not written by gate")
    succession.pop()


def _pointer(line: Record) -> Pointer:
    _need_checkpoint(line.facts, where=f"line {line.number}")
    return Pointer(line.facts["path"], line.facts["digest"], line.number, line.hash)


def _need_checkpoint(facts: Json, *, where: object) -> None:
    path, digest = facts.get("path"), facts.get("digest")
    if not (isinstance(path, str) and path and isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
        raise LedgerError(f"{where}: a promotion needs a path and a sha256 in hexadecimal, not {path!r} and {digest!r}")


def _refuse_unrecorded(slot: Slot, found: Standing, records: tuple[Record, ...]) -> None:
    promoted = [_pointer(line) for line in records if line.event == PROMOTION]
    for role, pointer in (("current", found.current), ("previous", found.previous)):
        if pointer is not None and pointer not in promoted:
            raise SlotError(
                f"{slot.folder / role} names {_name(pointer)}, which the ledger does not record: either the ledger has "
                f"lost lines (restore it from git or a backup), or the pointer was edited ({_AFRESH})"
            )


def _found(slot: Slot) -> Standing:
    return Standing(_read(slot.folder / "current"), _read(slot.folder / "previous"))


def _read(path: Path) -> Pointer | None:
    try:
        value = jsonl.loads(path.read_text(encoding="utf-8"), where=str(path))
        if value.pop("role") != path.name:
            raise SlotError(f"{path} was copied from another pointer by hand; {_AFRESH}")
        return Pointer(**value)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, CaseError, AttributeError, KeyError, TypeError) as error:
        raise SlotError(f"{path} is not a pointer as gate writes it ({error}); {_AFRESH}") from error


def _write(folder: Path, role: str, pointer: Pointer | None) -> None:
    """Replace a pointer; the leftovers of a kill go, for the slot's lock is held."""
    for leftover in folder.glob(f".{role}.*"):
        leftover.unlink()
    if pointer is None:
        (folder / role).unlink(missing_ok=True)
    else:
        jsonl.write_whole(folder / role, ledger.canonical({"role": role, **asdict(pointer)}).decode() + "\n")
    disk.sync_folder(folder)


def _name(pointer: Pointer | None) -> str:
    return f"line {pointer.number} ({pointer.path}, {pointer.digest[:12]})" if pointer else "no champion"
