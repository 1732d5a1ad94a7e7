"""`gate add`: makes a case from a recorded request or a miss, without secrets and without duplicates."""

from __future__ import annotations

import argparse
import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.authoring import case_files
from gate.authoring import draft as drafts
from gate.authoring.case_files import Placed
from gate.authoring.draft import Draft, Options, asked_for
from gate.authoring.redaction.redactor import redacted
from gate.authoring.sources import Captured
from gate.cases import loader
from gate.cases.matchers.matcher import describe_call
from gate.cli.options import add_fixtures
from gate.errors import CaseError, GateError
from gate.system import jsonl
from gate.system.text import clean, lines, one_line
from gate.types import DEV, HELD_OUT, SPLITS, Case

if TYPE_CHECKING:
    from gate.authoring.duplicates import Alike

SHOWN = 2_000
"""Characters of a message that are shown."""
DESCRIPTION = """\
Make a case from a real request to a model, in a file under fixtures/cases, which is created if it does not exist.

The expectation of a miss is that of its case; else it is the calls that the model made, unless you give another with
--call, --no-call, --contains, --expect or in your editor with --edit. Before anything is shown or written, secrets and
personal data are replaced: keys, tokens, passwords, e-mail and IP addresses, phone numbers with a +, home folders,
random-looking strings. Hex as long as a digest is replaced only next to a word such as key, token or secret on its
line. Names in prose are not detected: read what is shown. An expectation about a replaced text is refused: write it
with the placeholder that the question has. A file of more than 64 MiB is read line by line. A held-out case cannot be
a source."""
EPILOG = """\
examples:
  gate add hermes/calls.jsonl --from runs/20260101-120000-mine term-04    a miss of a report, as a case here, too
  gate add hermes/live.jsonl --pair traffic.jsonl --line 12               a request and its response (gate proxy)
  gate add hermes/live.jsonl --chat log.json --call 'terminal({"command": "pwd"})'    with the right call
  gate add hermes/live.jsonl --chat traces.jsonl --all --dry-run          every assistant turn of every conversation
  gate add memory/live.jsonl                                              asks you

exit status 1: a case was refused as a duplicate of another, or you gave it up in the editor"""


def add_parsers(commands: Any) -> None:
    """Add `add` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "add",
        help="a case from a report's miss, a request and its response, or a chat log",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("file", metavar="FILE.jsonl", help="the case file, below fixtures/cases")
    add_fixtures(parser, "cases/, tools/ and systems/")
    _add_sources(parser.add_argument_group("where the case comes from (default: you are asked)"))
    _add_expected(parser.add_argument_group("the expectation"))
    case = parser.add_argument_group("the case")
    case.add_argument("--id", metavar="ID", default="", help="default: the file's prefix and a hash of the question")
    case.add_argument("--split", choices=SPLITS, default=DEV, help="default %(default)s")
    case.add_argument("--tag", metavar="TAG", action="append", default=[], help="repeatable")
    case.add_argument("--source", metavar="TEXT", default="", help="default: where the case comes from, and the date")
    case.add_argument("--tools", metavar="NAME", default="", help="of fixtures/tools, if the source names no tools")
    case.add_argument("--system", metavar="NAME", default="", help="of fixtures/systems, instead of the source's own")
    case.add_argument("--replaces", metavar="ID", default="", help="the contaminated case that it replaces")
    parser.add_argument("--anyway", metavar="REASON", default="", help="add a duplicate; the reason goes into source")
    parser.add_argument("--dry-run", action="store_true", help="show it and write nothing")
    parser.set_defaults(run=run)


def _add_sources(group: Any) -> None:
    source = group.add_mutually_exclusive_group()
    source.add_argument("--from", dest="report", nargs=2, metavar=("REPORT", "ID"), help="a miss of a report")
    source.add_argument("--pair", metavar="FILE|-", help='{"request": …, "response": …}, one or one per line')
    source.add_argument("--chat", metavar="FILE|-", help="OpenAI messages, ShareGPT, or traces with Hermes tags")
    group.add_argument("--line", metavar="N", type=int, help="the row of the file, from 1, if it has several")
    group.add_argument(
        "--turn", metavar="N", type=int, help="the assistant turn of the chat, from 1 (default: the last)"
    )
    group.add_argument("--all", action="store_true", help="every row of the file, every turn of a chat")


def _add_expected(group: Any) -> None:
    group.add_argument("--call", metavar="CALL", action="append", default=[], help='name({"json": …}); repeatable')
    group.add_argument("--no-call", action="store_true", help="no tool may be called")
    group.add_argument(
        "--contains", metavar="TEXT", action="append", default=[], help="the answer contains it; repeatable"
    )
    group.add_argument("--expect", metavar="JSON", default="", help="`expect` as in a case file")
    group.add_argument("--edit", action="store_true", help="the case in $VISUAL or $EDITOR, until it is valid or empty")


def run(args: argparse.Namespace) -> int:
    """Read the sources, redact, show, check and write cases; 1 if one was refused. Raises GateError."""
    try:
        return _add(args)
    except GateError as error:  # its text can quote a secret
        raise type(error)(redacted(str(error))) from None


def _add(args: argparse.Namespace) -> int:
    name = _target(args)
    options = Options(**{field.name: getattr(args, field.name) for field in fields(Options)})
    sources = drafts.captured(options)
    with _locked(args.fixtures / "cases", write=not args.dry_run):
        placed, unread = case_files.read(loader.files(args.fixtures), args.fixtures)
        if broken := [each for each in unread if each.file == name]:
            raise CaseError(f"{args.fixtures}/cases/{name}:{broken[0].line}: {broken[0].why}; fix it first")
        drafted = _drafts(sources, options, name, [each.case.id for each in placed])
        kept = drafted if args.anyway else _without_duplicates(drafted, placed)
        if kept and not args.dry_run:
            _write(args.fixtures / "cases" / name, [draft.line for draft in kept])
    _print_result(args, name, kept, [each for each in placed if each.file == name])
    if unread:
        print(clean(f"{len(unread)} lines of other files do not load and were not compared: gate lint-cases"))
    refused = len(sources) - len(kept)
    if refused and args.all:
        print(f"{refused} refused")
    return 1 if refused else 0


def _drafts(sources: Sequence[Captured | CaseError], options: Options, name: str, ids: Sequence[str]) -> list[Draft]:
    """The cases that load, each printed. Raises CaseError without --all, if the one case does not load."""
    drafted: list[Draft] = []
    for each in sources:
        try:
            if isinstance(each, CaseError):
                raise each
            draft = drafts.draft(each, options, name, [*ids, *(one.case.id for one in drafted)])
        except CaseError as error:
            if not options.all:
                raise
            print(lines(f"refused: {redacted(str(error))}\n"))
            continue
        if draft is None:
            print("given up: nothing was added")
        else:
            _show(draft)
            drafted.append(draft)
    return drafted


def _without_duplicates(drafted: Sequence[Draft], placed: Sequence[Placed]) -> list[Draft]:
    """The drafts that are no near duplicates of a case or an earlier draft; prints the duplicate of each other one."""
    from gate.authoring.duplicates import alike  # scipy, which takes a second

    new = [each.case for each in drafted]
    cases = [*(each.case for each in placed), *new]
    names = [*(each.name for each in placed), *(f"{case.id} of this command" for case in new)]
    twins: defaultdict[int, list[Alike]] = defaultdict(list)
    for pair in alike(new, cases) if drafted else ():
        twins[pair.given].append(pair)
    kept: dict[int, Draft] = {}
    for number, draft in enumerate(drafted):
        twins_kept = [pair for pair in twins[number] if pair.known < len(placed) or pair.known - len(placed) in kept]
        if nearest := max(twins_kept, key=lambda pair: (pair.similarity, pair.same), default=None):
            twin = cases[nearest.known]
            how = "exactly the same" if nearest.same else f"similarity {nearest.similarity:.2f}"
            print(lines(f"refused: {draft.case.id} asks what {names[nearest.known]} asks ({how}){_twin(twin)}\n"))
        else:
            kept[number] = draft
    return list(kept.values())


def _twin(other: Case) -> str:
    """What the nearest case asks; nothing about a held-out one."""
    if other.split == HELD_OUT:
        asked = ", which is held out: this case would reveal what it asks"
    else:
        asked = f"\n  it asks    {one_line(asked_for(other.messages), 300)}"
    return f"{asked}\n  reword it with --edit, or give a reason: --anyway 'also a regression test'"


def _show(draft: Draft) -> None:
    """Print the case, what the model did, and what was redacted."""
    print(lines(f"{draft.case.id}  ({draft.case.split}, from {draft.where})"))
    for message in draft.case.messages:
        _show_line(message["role"], message["content"] or "")
        for call in message.get("tool_calls", []):
            _show_line("", describe_call(call["function"]))
    names = ", ".join(tool["function"]["name"] for tool in draft.case.tools)
    _show_line("tools", names or "none")
    for call in draft.calls:
        _show_line("model did", describe_call(call))
    if draft.content:
        _show_line("model said", draft.content)
    for why in draft.why:
        _show_line("a miss", why)
    _show_line("expected", drafts.expectation(draft.case.expect))
    for replacement in draft.redacted:
        _show_line("redacted", replacement)
    print()


def _show_line(name: str, text: str) -> None:
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text):,} characters)"
    for number, line in enumerate(shown.split("\n")):
        print(f"  {clean('' if number else name):10} {clean(line)}")


def _print_result(args: argparse.Namespace, name: str, kept: Sequence[Draft], before: Sequence[Placed]) -> None:
    if args.dry_run:
        print(clean(f"dry run: {len(kept)} would be added to {name}; nothing was written"))
    elif kept:
        every = [each.case for each in before] + [each.case for each in kept]
        held = sum(case.split == HELD_OUT for case in every)
        ids = ", ".join(each.case.id for each in kept)
        print(clean(f"added {ids} to {args.fixtures}/cases/{name}: {len(every)} cases, {held} held out"))
        if not before:
            print(clean(f'ask it: @pytest.mark.gate("{name}", floor=1.0)'))


def _target(args: argparse.Namespace) -> str:
    """The case file as a marker names it. Raises CaseError."""
    name = case_files.named(args.file, args.fixtures)
    if not name.endswith(".jsonl") or Path(name).is_absolute() or ".." in Path(name).parts:
        raise CaseError(f"{args.file}: name a file below {args.fixtures / 'cases'} that ends in .jsonl")
    if case_files.sealed(name, args.fixtures):
        raise CaseError(f"{name}: is sealed: open it with gate unseal, or name another file")
    if args.all and (args.id or args.edit):
        raise CaseError("--all makes many cases: --id and --edit are for one")
    if (args.all or args.line is not None) and not (args.pair or args.chat):
        raise CaseError("--all and --line go with --pair or --chat")
    if args.turn is not None and (not args.chat or args.all):
        raise CaseError("--turn names one turn of a --chat, without --all")
    return name


@contextmanager
def _locked(folder: Path, *, write: bool) -> Iterator[None]:
    """Allow one `gate add` at a time: of two that read the same file, each would write it without the other's case."""
    if not write:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise CaseError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another gate add to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, added: Sequence[str]) -> None:
    """Append lines to the file, atomically: a kill leaves it as it was. Raises CaseError."""
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes().decode() if path.exists() else ""
        mode = path.stat().st_mode if path.exists() else 0o644
        ended = before if not before or before.endswith("\n") else before + "\n"
        jsonl.write_whole(path, ended + "".join(f"{line}\n" for line in added))
        path.chmod(mode)
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: cannot be written: {error}") from error
