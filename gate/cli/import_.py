"""`gate import FORMAT …`: imports cases and tools from other sources, checked before they are written."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gate.authoring.importers.result import Refused
from gate.authoring.satisfiable import unreachable
from gate.cases import loader
from gate.cli.options import add_fixtures
from gate.errors import CaseError
from gate.system import jsonl
from gate.system.text import clean, one_line
from gate.types import HELD_OUT, SPLITS, Json

Rows = Iterable[tuple[str, Json | Refused]]
"""(category, case or refusal) of each row."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
DESCRIPTION = """\
Import cases and tools from other sources into files under fixtures/, which a suite names in its marker.

Before anything is written, every case is loaded as a run would load it, and its own expected call must be a hit. A row
that cannot be imported is refused and counted with its reason. Half of the cases are held out, chosen by a hash of the
question, so that the same question stays on its side when the source grows."""
EPILOG = """\
examples:
  gate import xlam xlam_function_calling_60k.json     fixtures/cases/xlam/simple.jsonl, multiple.jsonl, …
  gate import openai train.jsonl -o support           fixtures/cases/support/…: the last turn is what is expected
  gate import bfcl --category simple_python           fixtures/cases/bfcl/simple_python.jsonl, from bfcl-eval
  gate import mcp 'python server.py' --name files     fixtures/tools/files.json: a case says "tools": "files"

exit status 1: nothing could be imported"""
MCP = """\
Write the tools that an MCP server lists to fixtures/tools/NAME.json. The server is asked for its list and nothing else.

A command is started without a shell and stopped afterwards, with all its child processes; it sees HOME, PATH and little
else of your environment. Its stderr is shown when it fails. Control and invisible characters are removed from
descriptions."""
MCP_EPILOG = """\
examples:
  gate import mcp 'npx -y some-server /some/folder' --name files
  gate import mcp 'env TOKEN=… some-server'
  gate import mcp https://127.0.0.1:8000/mcp           streamable HTTP"""


def add_parsers(commands: Any) -> None:
    """Add `import` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "import",
        help="cases from BFCL, xLAM and OpenAI chat files, tools from an MCP server",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    formats = parser.add_subparsers(required=True, metavar="FORMAT")
    bfcl = _format(
        formats, "bfcl", "the Berkeley Function Calling Leaderboard's data", "--category simple_python", run=_bfcl
    )
    bfcl.add_argument("--from", dest="source", metavar="PATH", type=Path, help="bfcl-eval's wheel, or its folder")
    bfcl.add_argument("--category", metavar="NAME", action="append", default=[], help="only this one (repeatable)")
    xlam = _format(formats, "xlam", "rows with query, tools and answers", "xlam_function_calling_60k.json", run=_xlam)
    xlam.add_argument("file", metavar="FILE", type=Path, help="a JSON array, or JSON Lines")
    chat = _format(formats, "openai", "chat rows in OpenAI's fine-tuning form", "train.jsonl -o support", run=_openai)
    chat.add_argument("file", metavar="FILE", type=Path, help="JSON Lines with messages and tools")
    _add_mcp(formats)


def _format(formats: Any, name: str, content: str, example: str, *, run: Callable[[argparse.Namespace], int]) -> Any:
    parser = formats.add_parser(
        name,
        help=content,
        description=f"Import {content} as cases.",
        epilog=f"example:\n  gate import {name} {example}",
    )
    parser.add_argument(
        "-o", "--output", metavar="NAME", default=name, help="folder under cases/ (default %(default)s)"
    )
    parser.add_argument(
        "--split", choices=(*SPLITS, "half"), default="half", help="half (default): by a hash of the question"
    )
    _add_where(parser)
    parser.set_defaults(run=run)
    return parser


def _add_mcp(formats: Any) -> None:
    parser = formats.add_parser(
        "mcp",
        help="the tools of an MCP server",
        description=MCP,
        epilog=MCP_EPILOG,
    )
    parser.add_argument("server", metavar="COMMAND|URL", help="a command in one argument, or http(s)://…")
    parser.add_argument(
        "--name", metavar="NAME", default="", help="of the file under tools/ (default: the server's own)"
    )
    parser.add_argument("--timeout", metavar="S", type=float, default=30.0, help="seconds in all (default %(default)g)")
    _add_where(parser)
    parser.set_defaults(run=_mcp)


def _add_where(parser: Any) -> None:
    add_fixtures(parser, "cases/ and tools/")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def _bfcl(args: argparse.Namespace) -> int:
    from gate.authoring.importers.bfcl import run as bfcl

    rows = list(bfcl.read(args.source))
    if unknown := set(args.category) - {category for category, _ in rows}:
        names = ", ".join(dict.fromkeys(category for category, _ in rows))
        raise CaseError(f"--category {sorted(unknown)[0]}: unknown category; known are {names}")
    return _imported(((name, row) for name, row in rows if not args.category or name in args.category), args)


def _xlam(args: argparse.Namespace) -> int:
    from gate.authoring.importers import xlam

    return _imported(xlam.read(args.file), args)


def _openai(args: argparse.Namespace) -> int:
    from gate.authoring.importers import openai_chat as chat

    return _imported(chat.read(args.file), args)


def _mcp(args: argparse.Namespace) -> int:
    from gate.authoring.importers import mcp

    name, tools, refused = mcp.tools(args.server, seconds=args.timeout)
    name = _named(args.name or name, "--name")
    texts = {f"{name}.json": json.dumps(tools, ensure_ascii=False, indent=1) + "\n"} if tools else {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in _write(Path(folder) / "tools", texts, force=False):
            loader.tools(name, Path(folder))
    written = _write(args.fixtures / "tools", texts, force=args.force)
    print(tabulate([[name, len(tools), len(refused)]], ["server", "imported", "refused"], disable_numparse=True))
    _print_refused(refused, written)
    return 0 if tools else 1


def _imported(rows: Rows, args: argparse.Namespace) -> int:
    """Check, write and show cases; 1 if nothing could be imported."""
    name = _named(args.output, "-o")
    cases: dict[str, list[Json]] = {}
    refused: list[tuple[str, Refused]] = []
    for category, row in checked(rows, split=args.split):
        if isinstance(row, Refused):
            refused.append((category, row))
        else:
            cases.setdefault(category, []).append(row)
    texts = {f"{category}.jsonl": _lines(each) for category, each in cases.items()}
    written = _write(args.fixtures / "cases" / name, texts, force=args.force)
    print(_table(cases, Counter(category for category, _ in refused)))
    _print_refused([row for _, row in refused], written)
    return 0 if cases else 1


def checked(rows: Rows, *, split: str) -> Iterator[tuple[str, Json | Refused]]:
    """Each case with its split; a refusal instead of a duplicate or of a case that a run would refuse.

    `split` is one of SPLITS for all cases, or "half" for a split by a hash of the question.
    """
    seen: dict[str, str] = {}
    for category, row in rows:
        yield category, row if isinstance(row, Refused) else _checked(row, split, seen)


def _checked(row: Json, split: str, seen: dict[str, str]) -> Json | Refused:
    asked = _digest(row.get("messages"))
    side = SPLITS[int(asked, 16) % 2] if split == "half" else split
    case = {key: value for key, value in row.items() if key not in ("tags", "source", "split")}
    case |= {"split": side} | {key: row[key] for key in ("tags", "source") if key in row}
    where = str(row.get("source") or row.get("id"))
    question, named = f"{asked} {_digest(row.get('tools'))}", f"id {row.get('id')}"
    for key, why in ((question, "the same question with the same tools occurs twice"), (named, "its id occurs twice")):
        if key in seen:
            return Refused(where, why, f"first {seen[key]}")
    if refused := _fault(case, where):
        return refused
    seen[question] = seen[named] = where
    return case


def _fault(case: Json, where: str) -> Refused | None:
    """Why a run would not load this case, or would call its own expected calls a miss."""
    try:
        _lines([case]).encode()
        missed = unreachable(loader.parse(case, Path()))
    except UnicodeEncodeError as error:
        return Refused(where, "half of a surrogate pair, which is not text", f"U+{ord(error.object[error.start]):04X}")
    except CaseError as error:
        expected = "its tools do not allow the expected call"
        return Refused(
            where, expected if ": expect: " in str(error) else "the gate does not load this case", str(error)
        )
    return Refused(where, "its own expected call would be a miss", missed) if missed else None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _lines(rows: list[Json]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _named(name: str, option: str) -> str:
    if not _NAME.fullmatch(name):
        raise CaseError(f"{option} {name!r}: must begin with a letter or digit and hold only these and . _ -")
    return name


def _write(folder: Path, texts: dict[str, str], *, force: bool) -> list[Path]:
    """Write files, each atomically. Raises CaseError before writing any, if one exists and `force` is false."""
    paths = {folder / name: text for name, text in texts.items()}
    if not force and (existing := [path for path in paths if path.exists()]):
        raise CaseError(f"{existing[0]}: exists already: name another with -o or --name, or overwrite it with --force")
    try:
        if paths:
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            jsonl.write_whole(path, text)
    except OSError as error:
        raise CaseError(f"{folder}: cannot be written: {error.strerror}") from error
    return list(paths)


def _table(cases: dict[str, list[Json]], refused: Counter[str]) -> str:
    names = list(dict.fromkeys(chain(cases, refused)))
    rows: list[list[Any]] = [[name or "(unread)", *_counts(cases.get(name, [])), refused[name]] for name in names]
    rows.append(["all", *_counts(list(chain(*cases.values()))), refused.total()])
    align = ("left", "right", "right", "right")
    return tabulate(rows, ["category", "imported", "held out", "refused"], disable_numparse=True, colalign=align)


def _counts(rows: list[Json]) -> tuple[int, int]:
    return len(rows), sum(row["split"] == HELD_OUT for row in rows)


def _print_refused(refused: list[Refused], written: list[Path]) -> None:
    """Print each reason with its count and the first row that has it, then the files that were written."""
    first: dict[str, Refused] = {}
    for row in refused:
        first.setdefault(row.why, row)
    counts = Counter(row.why for row in refused).most_common()
    rows = [[n, _shown(why), _shown(first[why].where), _shown(first[why].detail)] for why, n in counts]
    if rows:
        head, align = ["refused", "because", "first", "found there"], ("right", "left", "left", "left")
        print("", tabulate(rows, head, disable_numparse=True, colalign=align), sep="\n")
    for path in written:
        print(f"wrote {clean(str(path))}")


def _shown(text: str) -> str:
    return clean(one_line(text, 160))
