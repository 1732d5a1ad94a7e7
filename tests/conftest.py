"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
import scipy.optimize
import scipy.special  # noqa: F401 - here, for pytester takes modules back, and native ones load but once

from gate.system import platform
from tests import forkserver
from tests.project import Project

pytest_plugins = ["pytester", "tests.taught"]

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A job in the background of a shell is started deaf to Ctrl-C, and so is what it starts."""
os.environ["GATE_CACHE"] = str(platform.cache_folder())
"""pytester gives each test a home of its own; the demo model stays in the user's cache all the same."""
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
"""Runs within tests are hundreds: without it each would compile the gate anew, which takes longer than most of them."""


def pytest_xdist_auto_num_workers() -> int:
    """With -n auto, one process more than there are cores: many tests wait for what they have started."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def _replies(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's models have answered is known to that test alone."""
    monkeypatch.setenv("GATE_REPLIES", str(tmp_path_factory.mktemp("replies") / "replies.sqlite"))


@pytest.fixture(scope="session")
def forks() -> Iterator[None]:
    """Runs of pytest within tests are forked from a Python that has imported what they need."""
    with forkserver.running():
        yield


@pytest.fixture
def project(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> Project:
    request.getfixturevalue("forks")
    return Project(pytester)


@pytest.fixture(params=[(), ("-n", "2")], ids=["alone", "n2"])
def how(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Every plugin behaviour is tried in one process and under xdist."""
    arguments: tuple[str, ...] = request.param
    return arguments
