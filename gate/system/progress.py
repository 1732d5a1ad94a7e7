"""Progress of long commands on a terminal."""

from __future__ import annotations

import sys

from gate.system.text import clean


class Progress:
    """What is going on, on one line of standard error; a line each where that is not a terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            print(end="\r\033[K", file=sys.stderr, flush=True)

    def __call__(self, what: str) -> None:
        kind = what.partition("…")[0]  # "starting … 3 s" comes again with every second
        if self._terminal:
            print(f"\r\033[K{clean(what)[:110]}", end="", file=sys.stderr, flush=True)
        elif kind != self._last:
            print(clean(what), file=sys.stderr, flush=True)
        self._last = kind
