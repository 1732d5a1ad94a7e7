"""In every process that runs tests: a marker becomes a contract, and each of its cases a test item."""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader, sealing
from gate.errors import CaseError
from gate.plugin import marker
from gate.plugin.state import Asking, Plan
from gate.registry import contaminated, policy
from gate.registry.ledger import LedgerError
from gate.types import Case, Contract

CONTAMINATED = pytest.StashKey[dict[str, str]]()
FILES = pytest.StashKey[dict[str, loader.CaseFile]]()
"""Each is read once a process."""


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """All that is made while tests are collected stays, and walking through it doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def note_ignored(asking: Asking, path: Path) -> None:
    """Note a part of the suites that a conftest or an option hides, and not pytest's own norecursedirs."""
    usual = (*asking.config.getini("norecursedirs"), "__pycache__")
    if not any(fnmatch(path.name, pattern) for pattern in usual):
        asking.ignored.append(str(path))


def generate(asking: Asking, metafunc: pytest.Metafunc) -> None:
    """Make an item of each case of a marked test. Raises CollectError for what cannot be graded."""
    markers = list(metafunc.definition.iter_markers("gate"))
    if not markers:
        return
    try:
        contract, cases = _contract(asking, metafunc, markers)
    except (CaseError, LedgerError) as error:
        raise pytest.Collector.CollectError(f"gate: {metafunc.definition.nodeid}: {error}") from error
    asking.contracts[contract.test] = contract
    times = range(1, contract.repeats + 1)
    ids = [case.id if time == 1 else f"{case.id}~{time}" for time in times for case in cases]
    metafunc.parametrize("case", cases * contract.repeats, ids=ids)


def refuse_parameters(made: Any) -> None:
    """Refuse what would ask a case twice: a second parameter, from a mark or from a fixture. Raises CollectError."""
    for item in made if isinstance(made, list) else []:
        if isinstance(item, pytest.Function) and item.get_closest_marker("gate") and not _only_case(item):
            raise pytest.Collector.CollectError(f"gate: {item.nodeid}: a gated test takes no parameter but its cases")


def refuse_ungraded(items: list[pytest.Item]) -> None:
    """Refuse what would look graded and is not: a marker that gave no cases, subtests, `return` for `assert`.

    Raises UsageError.
    """
    for item in items:
        if not item.get_closest_marker("gate"):
            continue
        if not _only_case(item):
            raise pytest.UsageError(f"gate: {item.nodeid}: the gate marker does nothing here: use a plain function")
        if "subtests" in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"gate: {item.nodeid}: subtests cannot be graded: assert in the test itself")
        item.add_marker(pytest.mark.filterwarnings("error::pytest.PytestReturnNotNoneWarning"))


def plan(asking: Asking) -> Plan:
    """What this process has collected."""
    config = asking.config
    judges = policy.judges(config.rootpath, config.rootpath / config.getini("gate_suites"))
    return Plan(tuple(asking.contracts.values()), tuple(asking.ignored), judges)


def _contract(
    asking: Asking, metafunc: pytest.Metafunc, markers: list[pytest.Mark]
) -> tuple[Contract, tuple[Case, ...]]:
    if len(markers) > 1:
        raise CaseError("two gate markers: a test has one contract")
    if missing := {"model", "case"} - set(inspect.signature(metafunc.function).parameters):
        raise CaseError(f"a gated test takes `model` and `case`; this one lacks {' and '.join(sorted(missing))}")
    name = marker.named(markers[0].args)
    fixtures = asking.config.rootpath / asking.config.getini("gate_fixtures")
    files = asking.config.stash.setdefault(FILES, {})
    if name not in files:
        files[name] = loader.load(name, fixtures)
    contract = marker.contract(metafunc.definition.nodeid, name, files[name], markers[0].kwargs, fixtures)
    if sealing.resolve(fixtures / "cases" / name).name.endswith(sealing.SUFFIX):
        asking.sealed.add(contract.test)
    return contaminated.without(contract, files[name], _contaminated(asking.config)), files[name].cases


def _contaminated(config: pytest.Config) -> dict[str, str]:
    """The contaminated cases that the registry knows, read once."""
    if CONTAMINATED not in config.stash:
        registry = config.rootpath / Path(config.getoption("gate_registry"))
        config.stash[CONTAMINATED] = contaminated.recorded(registry)
    return config.stash[CONTAMINATED]


def _only_case(item: pytest.Item) -> bool:
    return set(item.callspec.params) == {"case"} if hasattr(item, "callspec") else False
