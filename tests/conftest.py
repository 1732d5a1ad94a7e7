"""Fixtures of all tests."""

from __future__ import annotations

import pytest

from tests.project import Project

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


@pytest.fixture(params=[(), ("-n", "2")], ids=["alone", "n2"])
def how(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Every plugin behaviour is tried in one process and under xdist."""
    arguments: tuple[str, ...] = request.param
    return arguments
