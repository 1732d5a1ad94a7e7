"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal

import pytest

from gate import machine
from tests.project import Project

pytest_plugins = ["pytester", "tests.taught"]

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A job in the background of a shell is started deaf to Ctrl-C, and so is what it starts."""
os.environ["GATE_CACHE"] = str(machine.cache_folder())
"""pytester gives each test a home of its own; the demo model stays in the user's cache all the same."""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture(params=[(), ("-n", "2")], ids=["alone", "n2"])
def how(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Every plugin behaviour is tried in one process and under xdist."""
    arguments: tuple[str, ...] = request.param
    return arguments
