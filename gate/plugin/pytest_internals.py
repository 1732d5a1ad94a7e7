"""All access to pytest's and xdist's own plugins by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gate.system.text import clean


def terminal(config: pytest.Config) -> Any:
    """pytest's terminal reporter; None where there is none."""
    return config.pluginmanager.get_plugin("terminalreporter")


def progress(config: pytest.Config) -> Callable[[str], None]:
    """A function that prints each new state on a line; on a terminal the text after its ` …` is updated in place."""
    reporter = terminal(config)
    last = ""
    if reporter is not None:
        reporter.ensure_newline()
        if reporter._tw.width_of_current_line:  # xdist's letters do not count for ensure_newline
            reporter.line("")

    def say(text: str) -> None:
        nonlocal last
        state = text.partition(" …")[0]
        if reporter is None or (state == last and not reporter.isatty):
            return
        if reporter.isatty:
            reporter.rewrite(f"gate: {clean(text)}", erase=True)
            if state != last and text == state:
                reporter.write_line("")
        else:
            reporter.write_line(f"gate: {clean(text)}")
        last = state

    return say


def is_worker(config: pytest.Config) -> bool:
    """Is this process one of xdist's workers?"""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Is this process the one that sends tests to xdist's workers?"""
    return config.pluginmanager.hasplugin("dsession")


def workers(config: pytest.Config) -> int:
    """How many workers xdist starts; 0 without it."""
    return len(config.getoption("tx", None) or [])


def remember_failed(config: pytest.Config, nodeid: str) -> None:
    """Let --lf and --ff run a test again that has passed for pytest."""
    if (plugin := config.pluginmanager.get_plugin("lfplugin")) is not None:
        plugin.lastfailed[nodeid] = True


def stop(config: pytest.Config, why: str) -> None:
    """End the run before its next test, in a single process or in xdist's controller."""
    if (controller := config.pluginmanager.get_plugin("dsession")) is not None:
        controller.shouldstop = why
    elif (session := config.pluginmanager.get_plugin("session")) is not None:
        session.shouldfail = why


def set_running(session: pytest.Session, item: pytest.Item) -> None:
    """Tell xdist's worker which test runs: it accepts reports of no other (xdist/remote.py)."""
    for plugin in session.config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            plugin.item_index = session.items.index(item)
