"""`gate parity`: compares the hops of one export, and names the hop where the model was lost."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.errors import CheckpointError
from gate.parity.compare import BOUND, TOKENS

if TYPE_CHECKING:
    from gate.types import Checkpoint

DESCRIPTION = f"""\
Ask every form of one model the same 24 short prompts, 12 of them with tools, one form after the other, and say
between which two forms the model was lost. Each HOP is an adapter folder, an MLX folder (fused, quantised), a .gguf
file or a URL ending in /v1; the first is the reference, and the others follow in the order of the export.

Two answers are the same if their first {TOKENS} greedy tokens are. Where two answers diverge, the first hop's margin
between its two best tokens decides: below the bound the flip is FRAGILE, as under any quantisation; else it is a FAULT.
A hop falls by too many faults, by prompts of different length (a doubled BOS, another chat template), by answers that
run on or stop early (another stop token), or by calls that are parsed differently (another tool parser)."""
EPILOG = """\
example:
  gate parity adapter fused fused-8bit model-Q8_0.gguf model-Q4_K_M.gguf

exit status 1: a hop fell, and the last line names it; 4: also if a hop cannot be served"""


def add_parsers(commands: Any) -> None:
    """Add `parity` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "parity",
        help="compare adapter, fused, quantised and GGUF on fixed prompts, and name the hop where the model was lost",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("hops", nargs="+", metavar="HOP", help="two or more; the first is the reference")
    parser.add_argument("--base", metavar="DIR", help="base of the adapters (default: from adapter_config.json)")
    parser.add_argument(
        "--served-name", metavar="NAME", default="", help="the name at a URL that serves several models"
    )
    parser.add_argument(
        "--bound", metavar="NATS", type=_bound, default=BOUND, help="margin below which a flip is fragile (%(default)s)"
    )
    parser.add_argument(
        "--prompts", metavar="N", type=_count, help="ask only N of the prompts, evenly spread: faster, proves less"
    )
    parser.add_argument("--json", action="store_true", help="print JSON with every differing answer, not the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and compare the hops; 0 if all hold, 1 if one fell. Raises GateError for bad input."""
    from gate.parity import table
    from gate.parity.ask import ask, prompts
    from gate.parity.verdict import legs
    from gate.system.progress import Progress

    checkpoints, questions = _identified(args), prompts(args.prompts)
    with Progress() as progress:
        hops = [ask(c, questions, name=name, say=progress) for name, c in checkpoints.items()]
    compared = legs(hops, bound=args.bound)
    if args.json:
        print(json.dumps(table.as_json(hops, compared, bound=args.bound), indent=2, ensure_ascii=False))
    else:
        print(table.text(hops, compared, bound=args.bound))
    return 1 if any(leg.fell for leg in compared) else 0


def _identified(args: argparse.Namespace) -> dict[str, Checkpoint]:
    """Every hop by a unique name. Raises CheckpointError before anything is served."""
    from gate.checkpoints.checkpoint import identify

    if len(args.hops) < 2:
        raise CheckpointError("gate parity compares: name two hops or more, the reference first")
    adapters = [hop for hop in args.hops if args.base and (Path(hop) / "adapter_config.json").is_file()]
    if args.base and not adapters:
        raise CheckpointError("--base belongs to an adapter, and none of the hops is one")
    checkpoints = [
        identify(
            hop,
            base=args.base if hop in adapters else None,
            served_name=args.served_name if hop.lower().startswith("http") else "",
        )
        for hop in args.hops
    ]
    return dict(zip(_names(checkpoints), checkpoints, strict=True))


def _names(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """The checkpoints' names; one that is not unique with its number."""
    names = [checkpoint.name for checkpoint in checkpoints]
    return [name if names.count(name) == 1 else f"{name} ({n})" for n, name in enumerate(names, start=1)]


def _bound(text: str) -> float:
    value = float(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text}: expected nats, above 0 and below 100")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 24:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 24")
    return value
