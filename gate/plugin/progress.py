"""Progress on the terminal before, between and after the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gate.plugin import pytest_internals
from gate.report import terminal as render


def progress(config: pytest.Config) -> Callable[[str], None]:
    """A function that prints each new state on a line; on a terminal the text after its ` …` is updated in place."""
    terminal = pytest_internals.terminal(config)
    last = ""
    if terminal is not None:
        terminal.ensure_newline()
        if terminal._tw.width_of_current_line:  # xdist's letters do not count for ensure_newline
            terminal.line("")

    def say(text: str) -> None:
        nonlocal last
        state = text.partition(" …")[0]
        if terminal is None or (state == last and not terminal.isatty):
            return
        if terminal.isatty:
            terminal.rewrite(f"gate: {render.clean(text)}", erase=True)
            if state != last and text == state:
                terminal.write_line("")
        else:
            terminal.write_line(f"gate: {render.clean(text)}")
        last = state

    return say
