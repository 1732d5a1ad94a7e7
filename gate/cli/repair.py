"""`gate repair REPORT… -o DIR`: turns misses into training rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.cli.options import REPORT, add_fixtures, add_registry
from gate.types import Json

if TYPE_CHECKING:
    from gate.repair.build import Built, Options
    from gate.repair.misses import Found
    from gate.repair.teacher import Teacher

DESCRIPTION = """\
Turn paraphrases of what a model got wrong into training rows: DIR/train.jsonl, valid.jsonl, test.jsonl and a manifest
that counts every row, and every row that was dropped.

Only misses of dev cases that are the model's own fault (stage `model`) become rows; for the others it says what to fix
instead. All reports must be of one checkpoint; the newest result of a case counts. Held-out cases are refused, and so
are dev cases that are near duplicates of one. No row is a near duplicate of a case, or contains one among other words.
The cases from which rows were built are contaminated (REGISTRY/contaminated.jsonl): they are still asked, and no longer
counted; write new ones.

Lines of --answers: {"id": "none-01", "answer": "…"}, or "calls" for a case whose patterns name no value; "asked" is
another way to ask it. A teacher's answers are stored in DIR.teacher.jsonl; GATE_TEACHER_API_KEY has its URL's key.

Cases are recorded before their rows become visible. If the command is killed in between, cases are contaminated and no
rows exist: give the same command again. If the folder cannot be written, the message says whether the cases are
contaminated."""
EPILOG = """\
examples:
  gate repair runs/a -o repair --plan                     what would be built, and what rows cannot fix
  gate repair runs/a -o repair                            rows from the phrases of fixtures/slots/*.toml
  gate repair runs/a runs/b -o repair --model base        in the form of its template, measured in its tokens
  gate repair runs/a -o repair --teacher http://127.0.0.1:8080/v1      paraphrased by a teacher, if it is right
  gate repair runs/a -o repair --answers words.jsonl --pairs           a person's answers; chosen and rejected for DPO

exit status 1: there is nothing to build rows from"""


def add_parsers(commands: Any) -> None:
    """Add `repair` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "repair",
        help="turn misses into training rows",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("reports", metavar="REPORT", type=Path, nargs="+", help=REPORT)
    add("-o", "--output", metavar="DIR", type=Path, required=True, help="the folder to create")
    add("--plan", action="store_true", help="print what would be built; nothing is asked, written or recorded")
    add_fixtures(parser, "cases/, tools/ and slots/")
    add("--slots", metavar="FILE", type=Path, action="append", help="phrases (default: every one of FIXTURES/slots/)")
    add("--variants", metavar="N", type=_whole, default=8, help="rows for each miss (default %(default)s)")
    add("--most", metavar="N", type=_whole, default=200, help="most rows of a category (default %(default)s)")
    add(
        "--keep",
        metavar="SHARE",
        type=_share,
        default=0.3,
        help="share of rows for cases that passed (default %(default)s)",
    )
    add("--length", metavar="N", type=_whole, default=2048, help="most tokens of a row (default %(default)s)")
    add("--model", metavar="DIR", help="an MLX folder or adapter: its template and tokenizer")
    add("--answers", metavar="FILE", type=Path, help="right answers of cases, one JSON object per line")
    add(
        "--teacher",
        metavar="URL",
        default="",
        help="an OpenAI-compatible server that paraphrases requests and answers them",
    )
    add("--teacher-name", metavar="NAME", default="", help="the name of its model, if it serves several")
    add("--pairs", action="store_true", help="also write pairs.jsonl: the expected and the model's answer")
    add("--seed", metavar="N", type=int, default=0, help="of every random choice (default %(default)s)")
    add_registry(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, show, record and write rows; 1 if there is nothing to build. Raises GateError."""
    from gate.registry import contaminated
    from gate.repair import build, misses, output, row_length, table
    from gate.report import io as reports
    from gate.system.progress import Progress

    if not args.plan:
        contaminated.check(args.registry)
        output.clear(args.output)
    texts = [(path, reports.text(path)) for path in map(reports.located, args.reports)]
    read = [reports.parsed(text, where=path) for path, text in texts]
    found = misses.collect(read, args.fixtures)
    ruler = row_length.ruler(args.model)
    options = build.Options(args.variants, args.most, args.keep, args.length, args.seed, args.pairs)
    with Progress() as progress, _teacher(args, found, progress) as teacher:
        built = build.build(found, _source(args, found, ruler, teacher), options, say=progress)
    print(table.shown(found, built, ruler.words))
    if args.plan and args.teacher and found.misses:
        print(f"\nthe teacher would be asked for {args.variants} paraphrases of each of {len(found.misses)} misses")
    if not (built.rows or built.pairs):
        print("\nthere is nothing to build rows from: nothing was written")
        return 1
    if not args.plan:
        digests = [reports.digest(text) for _, text in texts]
        _write(args, found, built, options, digests, ruler.words, as_text=ruler.as_text)
    return 0


def _source(args: argparse.Namespace, found: Found, ruler: Any, teacher: Teacher | None) -> Any:
    from gate.repair import human_answers, phrases, variants
    from gate.repair.build import Source
    from gate.repair.contamination import Guard

    books = variants.read(_books(args), args.fixtures)
    guard = Guard(args.fixtures, chain.from_iterable(map(phrases.texts, books)))
    return Source(books, human_answers.read(args.answers, found.misses), guard, ruler, teacher)


@contextmanager
def _teacher(args: argparse.Namespace, found: Found, say: Any) -> Iterator[Teacher | None]:
    if not args.teacher or args.plan or not found.misses:
        yield None
        return
    from gate.repair import teacher  # its client takes a second to import

    with teacher.taught(args.teacher, args.teacher_name, teacher.memory(args.output), say) as asked:
        yield asked


def _write(
    args: argparse.Namespace,
    found: Found,
    built: Built,
    options: Options,
    digests: list[str],
    measured: str,
    *,
    as_text: bool,
) -> None:
    """Record the cases, then make the folder visible: no row exists whose case is still counted."""
    from gate.registry import contaminated
    from gate.repair import output
    from gate.system.text import clean

    form = "JSON texts" if as_text else "objects"
    marks = built.used
    used = {miss.mark: miss.case.id for miss in found.misses if miss.mark in marks}
    facts = _facts(args, found, digests) | {"seed": options.seed, "length": measured, "arguments": form}
    facts |= {"registry": str(args.registry), "contaminated": used}
    origin = {"repair": args.output.absolute().name, "reports": digests}
    asked = _asked(found, built)

    def record(manifest: str) -> int:
        return contaminated.record(args.registry, used, origin | {"manifest": manifest}, asked)

    new = output.write(args.output, built, facts, record, as_text=as_text)
    print(
        f"\nwrote {clean(str(args.output))}: " + ", ".join(f"{len(part)} {name}" for name, part in built.parts.items())
    )
    print(f"contaminated: {len(used)} cases, {new} of them new: {clean(str(contaminated.path(args.registry)))}")


def _asked(found: Found, built: Built) -> dict[str, list[str]]:
    """What each used case and its rows ask, by the case's mark: near duplicates of these are contaminated, too."""
    from gate.cases.asked import asking

    marks = built.used
    asked = {miss.mark: [asking(miss.case.messages)] for miss in found.misses if miss.mark in marks}
    for row in built.rows:
        if row.case:
            asked[row.case].append(asking(row.messages[:-1]))
    return asked


def _facts(args: argparse.Namespace, found: Found, digests: list[str]) -> Json:
    """What the manifest records about the sources of the rows."""
    from gate.cases import loader, sealing
    from gate.system.hashing import sha256

    files = [*_books(args), *([args.answers] if args.answers else [])]
    files += [sealing.resolve(args.fixtures / "cases" / name) for name in loader.files(args.fixtures)]
    return {
        "version": 1,
        "command": _command(args),
        "reports": digests,
        "inputs": {str(path): sha256(path, fresh=True) for path in files},
        "misses": {
            "repaired": sorted(f"{miss.cases} {miss.case.id}" for miss in found.misses),
            "elsewhere": [{"case": other.case, "stage": other.stage, "mend": other.why} for other in found.elsewhere],
            "held out": found.held_out,
        },
    }


def _command(args: argparse.Namespace) -> list[str]:
    """The command line that repeats this repair."""
    options = {key: value for key, value in sorted(vars(args).items()) if key not in ("run", "reports", "plan")}
    command = ["gate", "repair", *map(str, args.reports)]
    for key, value in options.items():
        every = value if isinstance(value, list) else [] if value is None or value is False or value == "" else [value]
        for each in every:
            command += [f"--{key.replace('_', '-')}", *([] if each is True else [str(each)])]
    return command


def _books(args: argparse.Namespace) -> Sequence[Path]:
    return list(args.slots) if args.slots else sorted((args.fixtures / "slots").glob("*.toml"))


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a share from 0 to below 1")
    return value
