"""Tell the person at the terminal what is going on before, between and after the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gate.system.text import clean


def progress(config: pytest.Config) -> Callable[[str], None]:
    """A function that says each new state on a line; on a terminal what follows its ` …` counts up in place."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    said = ""
    if terminal is not None:
        terminal.ensure_newline()
        if terminal._tw.width_of_current_line:  # xdist's letters do not count for ensure_newline
            terminal.line("")

    def say(text: str) -> None:
        nonlocal said
        state = text.partition(" …")[0]
        if terminal is None or (state == said and not terminal.isatty):
            return
        if terminal.isatty:
            terminal.rewrite(f"gate: {clean(text)}", erase=True)
            if state != said and text == state:
                terminal.write_line("")
        else:
            terminal.write_line(f"gate: {clean(text)}")
        said = state

    return say
