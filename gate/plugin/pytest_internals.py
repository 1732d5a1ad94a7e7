"""All that the gate takes from plugins of pytest and of xdist by their names."""

from __future__ import annotations

from typing import Any

import pytest


def terminal(config: pytest.Config) -> Any:
    """pytest's terminal reporter; None where there is none."""
    return config.pluginmanager.get_plugin("terminalreporter")


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
