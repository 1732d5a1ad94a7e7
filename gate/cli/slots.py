"""`gate promote | current | history | rollback | verify-ledger`: slots from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gate.registry import ledger, slots
from gate.registry.slots import Pointer, Slot, SlotError
from gate.system.text import clean

PROMOTE = """\
Make a graded checkpoint the champion of a slot. The report is decided again, every byte of the checkpoint is hashed
again, and suites, cases and policy ([tool.pytest-gate] in pyproject.toml) are read as they are now. Every attempt is
one line of the slot's ledger, the refused ones too.

    gate promote adapter --slot hermes --report runs/20260101-120000-adapter

exit status: 0 promoted; 1 refused, with every reason; 2 a wrong command line; 4 bad input"""


def add_parsers(commands: Any) -> None:
    """Add the commands of slots to the subparsers of the command `gate`."""
    command = _command(commands, "promote", "make a graded checkpoint the champion of a slot", _promote)
    command.description, command.formatter_class = PROMOTE, argparse.RawDescriptionHelpFormatter
    command.add_argument("path", metavar="PATH", help="the checkpoint, as `pytest --model` takes it")
    command.add_argument("--report", metavar="REPORT", type=Path, required=True, help="a report.json, or its folder")
    command.add_argument("--base", metavar="DIR", help="the model under an adapter, if not where it says")
    command.add_argument(
        "--champion",
        metavar="REPORT",
        type=Path,
        help="the champion graded again: after cases were added, or elsewhere",
    )
    command.add_argument(
        "--accept-lower-bar", metavar="REASON", default="", help="less is demanded than of the champion, and why"
    )
    command.add_argument(
        "--force", metavar="REASON", default="", help="promote graded bytes whatever speaks against it; recorded"
    )
    command.add_argument(
        "--sign", metavar="PEM", type=Path, help="sign it and its release with this private key (extra `sign`)"
    )
    command = _command(commands, "current", "the champion of a slot: its path, and where a rollback leads", _current)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--release", action="store_true", help="print the folder of what travels with it")
    _command(commands, "history", "everything recorded in a slot, oldest first", _history)
    command = _command(commands, "rollback", "return to the champion before", _rollback)
    command.add_argument("--reason", metavar="TEXT", required=True, help="why; it stays in the ledger")
    command = _command(
        commands, "verify-ledger", "check every line of a slot's ledger, the chain, the pointers", _verify
    )
    command.add_argument("--head", metavar="HASH", help="a line's hash, as printed at a promotion and kept elsewhere")


def _command(commands: Any, name: str, help: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.add_argument("--slot", metavar="NAME", required=True, help="the slot's name")
    parser.add_argument(
        "--registry", metavar="DIR", type=Path, default=slots.REGISTRY, help="folder of slots (default %(default)s/)"
    )
    parser.set_defaults(run=run)
    return parser


def _promote(given: argparse.Namespace) -> int:
    from gate.registry.promote import Request, promote
    from gate.report import io as report

    promoted = promote(
        Request(
            path=given.path,
            slot=_slot(given),
            report=report.located(given.report),
            champion=report.located(given.champion) if given.champion else None,
            base=given.base,
            lower_bar=given.accept_lower_bar,
            force=given.force,
            sign=given.sign,
            tell=lambda text: print(text, file=sys.stderr),
        )
    )
    print(f"promoted: {_named(given, promoted)}. Keep this elsewhere (CI log, git): {promoted.line}")
    print(f"report, summary, model card and statement: {_release(given, promoted)}")
    return 0


def _current(given: argparse.Namespace) -> int:
    standing = slots.standing(_slot(given))
    if standing.current is None:
        print(f"{given.slot} has no champion yet", file=sys.stderr)
        return 1
    if given.release:
        print(_release(given, standing.current))
        return 0
    if given.json:
        print(json.dumps(asdict(standing)))
        return 0
    print(standing.current.path)
    before = (
        f"a rollback leads to {_named(given, standing.previous)}" if standing.previous else "there is none before it"
    )
    print(f"{_named(given, standing.current)}; {before}", file=sys.stderr)
    return 0


def _history(given: argparse.Namespace) -> int:
    slot = _slot(given)
    rows = [
        [
            line.number,
            line.at,
            line.event,
            line.facts.get("outcome", ""),
            clean(str(line.facts.get("path") or line.facts.get("reason") or "")),
            str(line.facts.get("digest", ""))[:12],
            _remarks(line.facts),
            line.hash[:12],
        ]
        for line in slots.history(slot)
    ]
    if not rows:
        print(f"{slot.folder}: nothing is recorded; is the slot's name right?")
        return 1
    print(tabulate(rows, ["line", "at", "event", "outcome", "checkpoint", "sha256", "remarks", "hash"]))
    print(f"\nhead {slots.history(slot)[-1].hash}")
    if torn := ledger.torn(slot.ledger):
        print(f"{len(torn)} half lines were set aside: {', '.join(path.name for path in torn)}")
    return 0


def _rollback(given: argparse.Namespace) -> int:
    back = slots.rollback(_slot(given), given.reason)
    last = slots.history(_slot(given))[-1]
    print(f"back to {_named(given, back)}; recorded as line {last.number}, head {last.hash}")
    return 0


def _verify(given: argparse.Namespace) -> int:
    slot = _slot(given)
    head = slots.verify(slot, head=given.head)
    print(f"{slot.ledger}: {len(slots.history(slot))} lines, chain whole, pointers as recorded; head {head}")
    if given.head is None:
        print("Lost last lines and a ledger written anew show only against a hash kept elsewhere: --head HASH.")
    return 0


def _release(given: argparse.Namespace, champion: Pointer) -> Path:
    from gate.registry import release

    slot = _slot(given)
    statement = slots.history(slot)[champion.number - 1].facts.get("release")
    if not statement:
        raise SlotError(f"{slot.folder}: line {champion.number} was recorded without a release")
    return release.place(slot, statement)


def _slot(given: argparse.Namespace) -> Slot:
    return Slot(given.slot, given.registry)


def _named(given: argparse.Namespace, pointer: Pointer) -> str:
    return clean(f"{given.slot} line {pointer.number} ({pointer.path}, sha256 {pointer.digest[:12]})")


def _remarks(facts: dict[str, Any]) -> str:
    refused = len(facts.get("refused") or [])
    told = [f"refused for {refused} reasons" if refused and not facts.get("force") else ""]
    told += [f"against {refused} reasons" if refused and facts.get("force") else ""]
    told += [f"FORCED: {facts['force']}" if facts.get("force") else ""]
    told += [f"lower bar: {facts['lower_bar']}" if facts.get("lower_bar") else ""]
    return clean("; ".join(filter(None, told)))
