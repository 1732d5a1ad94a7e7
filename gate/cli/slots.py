"""`gate promote | current | history | rollback | verify-ledger | verify | rounds`: commands about slots."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gate.cli.options import REPORT, add_registry
from gate.registry import ledger, slots
from gate.registry.slots import Pointer, Slot, SlotError
from gate.system.text import clean

PROMOTE = """\
Make a graded checkpoint the champion of a slot. The report is decided again, every byte of the checkpoint is hashed
again, and suites, cases and policy ([tool.pytest-gate] in pyproject.toml) are read as they are now. Every attempt
is recorded in the slot's ledger, refused or not."""
PROMOTE_EPILOG = """\
example:
  gate promote adapter --slot hermes --report runs/20260101-120000-adapter

exit status 1: refused, with every reason"""
CURRENT = "Print the path of a slot's champion, and on standard error what a rollback would restore."
CURRENT_EPILOG = 'example:\n  llama-server -m "$(gate current --slot hermes)"\n\nexit status 1: there is no champion'
HISTORY = "Print a slot's ledger, oldest line first: promotions, refusals, rollbacks, and the head of the hash chain."
HISTORY_EPILOG = "example:\n  gate history --slot hermes\n\nexit status 1: nothing is recorded"
ROLLBACK = "Make the previous champion the champion again. The reason is recorded."
ROLLBACK_EPILOG = "example:\n  gate rollback --slot hermes --reason 'loses calls with long paths'"
VERIFY_LEDGER = """\
Check every line of a slot's ledger, the hash chain and the pointers. The loss of the last lines, or a rewrite of the
whole ledger, can be detected only with a hash that was kept elsewhere."""
VERIFY_LEDGER_EPILOG = "example:\n  gate verify-ledger --slot hermes --head 5f0c…"
VERIFY = """\
Check a promoted checkpoint: every byte of it against the statement of its release, the release against its own digests
and the ledger, and the signatures with the public key. Checks that were not possible are listed."""
VERIFY_EPILOG = """\
examples:
  gate verify adapter --slot hermes --key gate.pub
  gate verify adapter --release release/          on another machine, without the registry

exit status 1: something is wrong"""
ROUNDS = """\
Print a slot's history as a table. Each promotion is a round: what it was trained on, the rate of every suite with its
lower bound, the cases it lost against the round before, and how many cases were contaminated by then."""
ROUNDS_EPILOG = """\
examples:
  gate rounds --slot hermes
  gate rounds --slot hermes runs/20260101-120000-adapter     and a report that was not promoted, as the last round
  gate rounds --slot hermes --out rounds                     and rounds.svg, rounds.png (extra `train`)

exit status 1: nothing is recorded"""


def add_parsers(commands: Any) -> None:
    """Add the commands of slots to the subparsers of the command `gate`."""
    about = "make a graded checkpoint the champion of a slot"
    add = _slot_command(commands, "promote", _promote, about, PROMOTE, PROMOTE_EPILOG).add_argument
    add("path", metavar="PATH", help="the checkpoint, as `pytest --model` takes it")
    add("--report", metavar="REPORT", type=Path, required=True, help=REPORT)
    add("--base", metavar="DIR", help="the base of an adapter (default: from adapter_config.json)")
    add(
        "--champion",
        metavar="REPORT",
        type=Path,
        help="a newer report of the champion, if cases were added or the machine is another",
    )
    add("--accept-lower-bar", metavar="REASON", default="", help="accept that less is required than of the champion")
    add("--force", metavar="REASON", default="", help="promote the graded bytes despite every refusal; recorded")
    add("--sign", metavar="PEM", type=Path, help="sign it and its release with this private key (extra `sign`)")
    add = _slot_command(
        commands, "current", _current, "print the champion of a slot", CURRENT, CURRENT_EPILOG
    ).add_argument
    add("--json", action="store_true", help="print JSON")
    add("--release", action="store_true", help="print the folder of its release")
    _slot_command(commands, "history", _history, "print a slot's ledger", HISTORY, HISTORY_EPILOG)
    about = "return to the previous champion"
    add = _slot_command(commands, "rollback", _rollback, about, ROLLBACK, ROLLBACK_EPILOG).add_argument
    add("--reason", metavar="TEXT", required=True, help="the reason, which the ledger records")
    about = "check a slot's ledger and pointers"
    add = _slot_command(
        commands, "verify-ledger", _verify_ledger, about, VERIFY_LEDGER, VERIFY_LEDGER_EPILOG
    ).add_argument
    add("--head", metavar="HASH", help="a line's hash, as printed at a promotion and kept elsewhere")
    about = "print a slot's promotions: what was trained, and with which result"
    add = _slot_command(commands, "rounds", _rounds, about, ROUNDS, ROUNDS_EPILOG).add_argument
    add("reports", metavar="REPORT", type=Path, nargs="*", help=f"{REPORT}: further rounds")
    add("--out", metavar="STEM", type=Path, help="draw STEM.svg and STEM.png")
    about = "check a promoted checkpoint, its release and its signatures"
    parser = commands.add_parser("verify", help=about, description=VERIFY, epilog=VERIFY_EPILOG)
    add_registry(parser)
    parser.add_argument("path", metavar="PATH", help="the checkpoint")
    parser.add_argument("--base", metavar="DIR", help="the base of an adapter (default: from adapter_config.json)")
    parser.add_argument("--slot", metavar="NAME", help="the slot it was promoted to (default: every slot)")
    parser.add_argument("--release", metavar="DIR", type=Path, help="the release's folder, if there is no registry")
    parser.add_argument("--key", metavar="PEM", type=Path, help="the public key of the signatures")
    parser.set_defaults(run=_verify)


def _slot_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], about: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Add a command about one slot, and return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=description, epilog=epilog)
    add_registry(parser, slot=True)
    parser.set_defaults(run=run)
    return parser


def _promote(args: argparse.Namespace) -> int:
    from gate.registry.promote import Request, promote
    from gate.report import io as report

    promoted = promote(
        Request(
            path=args.path,
            slot=_slot(args),
            report=report.located(args.report),
            champion=report.located(args.champion) if args.champion else None,
            base=args.base,
            lower_bar=args.accept_lower_bar,
            force=args.force,
            sign=args.sign,
            tell=lambda text: print(text, file=sys.stderr),
        )
    )
    print(f"promoted: {_named(args, promoted)}. Keep this elsewhere (CI log, git): {promoted.line}")
    print(f"report, summary, model card and statement: {_release(args, promoted)}")
    return 0


def _current(args: argparse.Namespace) -> int:
    standing = slots.standing(_slot(args))
    if standing.current is None:
        print(f"{args.slot} has no champion yet", file=sys.stderr)
        return 1
    if args.release:
        print(_release(args, standing.current))
        return 0
    if args.json:
        print(json.dumps(asdict(standing)))
        return 0
    print(standing.current.path)
    before = f"a rollback restores {_named(args, standing.previous)}" if standing.previous else "it has no predecessor"
    print(f"{_named(args, standing.current)}; {before}", file=sys.stderr)
    return 0


def _history(args: argparse.Namespace) -> int:
    slot = _slot(args)
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


def _rollback(args: argparse.Namespace) -> int:
    back = slots.rollback(_slot(args), args.reason)
    last = slots.history(_slot(args))[-1]
    print(f"back to {_named(args, back)}; recorded as line {last.number}, head {last.hash}")
    return 0


def _verify_ledger(args: argparse.Namespace) -> int:
    slot = _slot(args)
    head = slots.verify(slot, head=args.head)
    print(f"{slot.ledger}: {len(slots.history(slot))} lines, chain whole, pointers as recorded; head {head}")
    if args.head is None:
        print("Lost last lines and a rewritten ledger are detected only with a hash kept elsewhere: --head HASH.")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from gate.checkpoints import checkpoint
    from gate.registry.verify import FAILED, UNCHECKED, verified

    graded = checkpoint.identify(args.path, base=args.base)
    checks = verified(graded, registry=args.registry, slot=args.slot, place=args.release, key=args.key)
    print(tabulate([[each.what, each.status, clean(each.why)] for each in checks], tablefmt="plain"))
    bad = [each.what for each in checks if each.status == FAILED]
    unchecked = sum(each.status == UNCHECKED for each in checks)
    more = f"; {unchecked} things could not be checked" if unchecked else ""
    print("\n" + (f"NOT VERIFIED: {', '.join(bad)}{more}" if bad else f"verified{more}"))
    return 1 if bad else 0


def _rounds(args: argparse.Namespace) -> int:
    from gate.registry.rounds import draw, rounds, table
    from gate.report import io as reports

    slot = Slot(args.slot, args.registry)
    promoted = rounds(slot, [reports.read(reports.located(path)) for path in args.reports])
    if not promoted:
        print(f"{clean(str(slot.folder))}: nothing is recorded; is the slot's name right?")
        return 1
    print(table(promoted))
    for path in draw(promoted, args.out) if args.out else ():
        print(clean(str(path)))
    return 0


def _release(args: argparse.Namespace, champion: Pointer) -> Path:
    from gate.registry import release

    slot = _slot(args)
    statement = slots.history(slot)[champion.number - 1].facts.get("release")
    if not statement:
        raise SlotError(f"{slot.folder}: line {champion.number} was recorded without a release")
    return release.place(slot, statement)


def _slot(args: argparse.Namespace) -> Slot:
    return Slot(args.slot, args.registry)


def _named(args: argparse.Namespace, pointer: Pointer) -> str:
    return clean(f"{args.slot} line {pointer.number} ({pointer.path}, sha256 {pointer.digest[:12]})")


def _remarks(facts: dict[str, Any]) -> str:
    refused = len(facts.get("refused") or [])
    remarks = [f"refused for {refused} reasons" if refused and not facts.get("force") else ""]
    remarks += [f"against {refused} reasons" if refused and facts.get("force") else ""]
    remarks += [f"FORCED: {facts['force']}" if facts.get("force") else ""]
    remarks += [f"lower bar: {facts['lower_bar']}" if facts.get("lower_bar") else ""]
    return clean("; ".join(filter(None, remarks)))
