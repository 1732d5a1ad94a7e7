"""`gate preflight`: reports in seconds what is wrong with an artifact's files."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from gate.cli.options import add_fixtures
from gate.errors import CheckpointError, MissingError, ServeError
from gate.types import Check

if TYPE_CHECKING:
    from gate.preflight.artifact import Artifact

STATUS = {"": 0, "warn": 0, "fail": 1, "refuse": 2}
DESCRIPTION = """\
Read a checkpoint's files and report what is wrong with them: an adapter that is all zeros or incomplete, a fuse that
lost it, quantisation other than declared, a missing or second chat template, a wrong stop token, a parser that loses
calls, code that would run. Nothing is generated; a GGUF is loaded once by llama-server, to see how it renders the
template and parses calls. The same checks run before every `pytest --model PATH`."""
EPILOG = """\
examples:
  gate preflight adapter                                 with the base that adapter_config.json names
  gate preflight fused --base base --against adapter     did the fuse keep the adapter, and nothing else?
  gate preflight model.gguf --base fused                 compare tensors, tokens and template with its source
  gate preflight adapter --train data/                   do its training rows render, stop, leak a case?

exit status 0: sound, warnings allowed; 1: a check forbids promotion (fail); 2: a check forbids loading (refuse)"""


def add_parsers(commands: Any) -> None:
    """Add `preflight` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "preflight",
        help="report what is wrong with a checkpoint's files, without generating text",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("path", metavar="PATH", help="adapter folder, MLX folder, .gguf, http(s)://…/v1, smollm2")
    parser.add_argument("--base", metavar="DIR", help="the model it was made from")
    parser.add_argument("--against", metavar="ADAPTER", help="the adapter that was fused into it")
    parser.add_argument("--train", metavar="FILE", help="training rows: a .jsonl file, or a folder with train.jsonl …")
    add_fixtures(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, print, and return the status of the worst finding (STATUS). Raises CheckpointError for bad input."""
    from gate.preflight.artifact import assembled
    from gate.preflight.registry import worst
    from gate.preflight.table import counted, table
    from gate.system.text import lines

    began = time.monotonic()
    artifact = assembled(args.path, base=args.base, against=args.against, train=args.train, fixtures=args.fixtures)
    if not artifact.checkpoint.kind.preflight:
        raise CheckpointError(f"{args.path}: has no weights, no template and no parser: nothing to check")
    checks = _checks(artifact)
    if args.json:
        print(json.dumps([asdict(check) for check in checks], indent=1))
    else:
        incomplete = any(check.status == "not possible" for check in checks)
        sound = "sound as far as it could be checked" if incomplete else "sound"
        word = {"": sound, "warn": f"{sound}, with warnings", "fail": "FAIL", "refuse": "REFUSED"}[worst(checks)]
        print(lines(table(checks)), f"{word}: {counted(checks)}; {time.monotonic() - began:.1f} s", sep="\n\n")
    return STATUS[worst(checks)]


def _checks(artifact: Artifact) -> tuple[Check, ...]:
    """The results of checks on files and, unless these refuse the checkpoint, of checks that need a server."""
    from gate.models.serving.start import served
    from gate.preflight.registry import inspect, worst
    from gate.preflight.rule import RULES

    checks, kind = inspect(artifact), artifact.checkpoint.kind
    if worst(checks) == "refuse" or not any(rule.served and rule.applies(kind) for rule in RULES):
        return checks
    try:
        with served(artifact.checkpoint, _say, context=4096) as server:
            return checks + inspect(replace(artifact, server=server), asking=True)
    except ServeError as error:
        print(f"gate: not served: {error}", file=sys.stderr)
        unserved = "" if isinstance(error, MissingError) else str(error)
        return checks + inspect(replace(artifact, unserved=unserved), asking=True)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[Kgate: {text}", end="", file=sys.stderr, flush=True)
