"""The command `gate`: imports the module of the command that is named, and no other.

A command is a module with `add_parsers(commands)`: one of this package, named in COMMANDS, or of another package,
named in its entry points of the group `gate.commands`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from gate.errors import GateError
from gate.system.text import lines

GROUP = "gate.commands"
COMMANDS = {
    **dict.fromkeys(("fetch", "doctor"), "gate.cli.setup"),
    "run": "gate.cli.run",
    "preflight": "gate.cli.preflight",
    "parity": "gate.cli.parity",
    **dict.fromkeys(("show", "decide", "compare", "judge"), "gate.cli.report"),
    **dict.fromkeys(
        ("promote", "current", "history", "rollback", "verify-ledger", "verify", "rounds"), "gate.cli.slots"
    ),
    "add": "gate.cli.add",
    "import": "gate.cli.import_",
    **dict.fromkeys(("lint-cases", "seal", "unseal"), "gate.cli.cases"),
    "new-persona": "gate.cli.new_persona",
    "proxy": "gate.cli.proxy",
    "repair": "gate.cli.repair",
}
"""The module of each command. Only the named one is imported, because some take a second to import."""
EPILOG = """\
examples:
  gate doctor                                     what this machine can serve
  gate run adapter                                grade a checkpoint, for CI; by hand: pytest --model adapter
  gate show runs/20260101-120000-adapter          its report
  gate promote adapter --slot hermes --report runs/20260101-120000-adapter

exit status of every command:
  0    done, and nothing is wrong
  1    done, and something is wrong: the verdict is not PASS, a promotion is refused, an error was found
  2    the command line is wrong, or (preflight) the files are unsafe to load
  4    the input is wrong; nothing was changed
  130  stopped by Ctrl-C
  141  the reader of a pipe has closed it
Only `gate run` has other statuses, one for each outcome of a run: gate run --help."""


class Command(argparse.ArgumentParser):
    """A parser that prints description and epilog with their line breaks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter} | settings)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status (EPILOG)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of tensors and files can be any bytes
    words = sys.argv[1:] if arguments is None else arguments
    try:
        args = _parser(words[0] if words else "").parse_args(words)
        return int(args.run(args))
    except GateError as error:
        print(lines(f"gate: {error}"), file=sys.stderr)
        return error.status
    except BrokenPipeError:  # `| head`: not 0, which a script could take for a pass
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("gate: stopped; nothing half-made is left", file=sys.stderr)
        return 130


def _parser(named: str) -> Command:
    """A parser of the named command; of all commands if none has that name."""
    parser = Command(prog="gate", description="A gate for small fine-tuned language models.", epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    modules = COMMANDS if named in COMMANDS else COMMANDS | _installed()
    for name in [modules[named]] if named in modules else dict.fromkeys(modules.values()):
        _module(name).add_parsers(commands)
    return parser


def _installed() -> dict[str, str]:
    """The modules of other packages' commands, from their entry points. They cannot replace the gate's own commands."""
    return {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.name not in COMMANDS}


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        if name in COMMANDS.values():
            raise
        raise GateError(f"{name}, which an entry point {GROUP} names, cannot be imported: {error}") from error
