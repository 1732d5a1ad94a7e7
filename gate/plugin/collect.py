"""In every process that runs tests: cases become test items, items ask the model, and each is scored."""

from __future__ import annotations

import gc
import inspect
import json
from collections import Counter
from collections.abc import Generator
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from gate.cases import expected, sealing
from gate.cases import loader as cases
from gate.errors import CaseError
from gate.models.client import Model
from gate.models.session import Asking, Host
from gate.plugin import attribution, heldout, hosting, marker
from gate.plugin.items import RESULT, case_of, test_of
from gate.plugin.schedule import Screen
from gate.registry import contaminated, policy
from gate.registry.ledger import LedgerError
from gate.system.jsonl import plain
from gate.types import Case, Contract, Reply, Result

SHORT = 300
"""Characters of a message or a reason that a report keeps beside the full replies."""


class Ask:
    """Collects gated tests from their markers, gives them `model` and `case`, and puts a Result on each report."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._fixtures = config.rootpath / config.getini("gate_fixtures")
        self._files: dict[str, cases.CaseFile] = {}
        self._contracts: dict[str, Contract] = {}
        self._ignored: list[str] = []
        self._plan_sent = False
        self._reasons: list[str] = []
        self._raw = attribution.mode(config)
        self._asking: Asking | None = None
        self._sealed: set[str] = set()
        """Tests whose cases lie in a sealed file."""
        self._screen = Screen(config, self._contracts)
        config.pluginmanager.register(self._screen, "gate-screen")
        if worker := getattr(config, "workerinput", None):
            host, lock = hosting.received(worker["gate_host"])
            self.host(host, processes=worker["workercount"], lock=lock)
        told = json.loads(worker["gate_before"]) if worker else hosting.before(config)
        self._screen.first({test: Counter(cases) for test, cases in told.items()})

    def host(self, host: Host, *, processes: int = 1, lock: Path | None = None) -> None:
        """From now on there is a model to ask."""
        known = hosting.known(self._config, host.about) if host.about else None
        self._asking = Asking(host, timeout=self._config.getoption("gate_timeout"), known=known)
        self._screen.begin(self._asking, lock=lock, processes=processes, anew=self.anew)

    def anew(self, test: str) -> bool:
        """Must a test's cases be asked anew? Of sealed ones nothing is kept, and seconds must be of today."""
        contract = self._contracts[test]
        return test in self._sealed or contract.within is not None or contract.slower is not None

    @cached_property
    def _burned(self) -> dict[str, str]:
        return contaminated.known(self._config.rootpath / Path(self._config.getoption("gate_registry")))

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest) -> Model:
        """The model under test: `model.ask(case)`, `model.chat(messages, tools=…)`."""
        return Model(self._screen.answerer(request.node))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Look for no garbage meanwhile: all that is made stays, and walking through it doubles the time."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            return (yield)
        finally:
            gc.freeze()
            if enabled:
                gc.enable()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> Generator[None, bool | None, bool | None]:
        """Note a part of the suites that a conftest or an option hides, and not pytest's own norecursedirs."""
        ignored = yield
        usual = (*self._config.getini("norecursedirs"), "__pycache__")
        if ignored and not any(fnmatch(collection_path.name, pattern) for pattern in usual):
            self._ignored.append(str(collection_path))
        return ignored

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        markers = list(metafunc.definition.iter_markers("gate"))
        if not markers:
            return
        try:
            contract, found = self._contract(metafunc, markers)
            times = range(1, contract.repeats + 1)
        except (CaseError, LedgerError) as error:
            raise pytest.Collector.CollectError(f"gate: {metafunc.definition.nodeid}: {error}") from error
        self._contracts[contract.test] = contract
        ids = [case.id if time == 1 else f"{case.id}~{time}" for time in times for case in found]
        metafunc.parametrize("case", found * contract.repeats, ids=ids)

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self) -> Generator[None, Any, Any]:
        """Refuse what would ask a case twice: a second parameter, from a mark or from a fixture."""
        made = yield
        for item in made if isinstance(made, list) else []:
            if isinstance(item, pytest.Function) and item.get_closest_marker("gate") and not _only_case(item):
                raise pytest.Collector.CollectError(
                    f"gate: {item.nodeid}: a gated test takes no parameter but its cases"
                )
        return made

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse what would look graded and is not: a marker that gave no cases, subtests, `return` for `assert`."""
        for item in items:
            if not item.get_closest_marker("gate"):
                continue
            if not _only_case(item):
                raise pytest.UsageError(f"gate: {item.nodeid}: the gate marker does nothing here: use a plain function")
            if "subtests" in getattr(item, "fixturenames", ()):
                raise pytest.UsageError(f"gate: {item.nodeid}: subtests cannot be graded: assert in the test itself")
            item.add_marker(pytest.mark.filterwarnings("error::pytest.PytestReturnNotNoneWarning"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if not self._plan_sent:
            judges = policy.judges(self._config.rootpath, self._config.rootpath / self._config.getini("gate_suites"))
            contracts = plain(tuple(self._contracts.values()))
            plan = {"contracts": contracts, "ignored": self._ignored, "judges": judges}
            report.gate_plan = json.dumps(plan)  # type: ignore[attr-defined]
            self._plan_sent = True
        if call.when == "call" and item.get_closest_marker("gate"):
            self._score(item, call, report)
        if item.get_closest_marker("gate") and case_of(item).split == heldout.HELD and (broke := heldout.hide(report)):
            report.gate_break = json.dumps([test_of(item), broke])  # type: ignore[attr-defined]
        return report

    def send_plan_again(self) -> None:
        """The report that had it will not be sent."""
        self._plan_sent = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        wanted, got = (left, right) if isinstance(left, _EXPECTED) else (right, left)
        if op != "==" or not isinstance(wanted, _EXPECTED):
            return None
        self._reasons = wanted.reasons(got)
        return ["the answer is not what the case expects:", *self._reasons]

    def pytest_runtest_setup(self) -> None:
        self._reasons = []

    def pytest_unconfigure(self) -> None:
        if self._asking is not None:
            self._asking.close()

    def _contract(self, metafunc: pytest.Metafunc, markers: list[pytest.Mark]) -> tuple[Contract, tuple[Case, ...]]:
        if len(markers) > 1:
            raise CaseError("two gate markers: a test has one contract")
        if missing := {"model", "case"} - set(inspect.signature(metafunc.function).parameters):
            raise CaseError(f"a gated test takes `model` and `case`; this one lacks {' and '.join(sorted(missing))}")
        name = marker.named(markers[0].args)
        if name not in self._files:
            self._files[name] = cases.load(name, self._fixtures)
        file = self._files[name]
        contract = marker.contract(metafunc.definition.nodeid, name, file, markers[0].kwargs, self._fixtures)
        if sealing.there(self._fixtures / "cases" / name).name.endswith(sealing.SUFFIX):
            self._sealed.add(contract.test)
        return contaminated.without(contract, file, self._burned), file.cases

    def _score(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """A failed assertion is a miss; another exception stays what it is, a break; a skip stays a skip."""
        if report.skipped or hasattr(report, "wasxfail") or (report.failed and call.excinfo is None):
            return
        if call.excinfo is not None and not call.excinfo.errisinstance(AssertionError):
            return
        assert_failed = call.excinfo is not None
        model = item.funcargs["model"]  # type: ignore[attr-defined]
        if not isinstance(model, Model):
            report.outcome, report.longrepr = "failed", "another fixture stands in for `model`: nothing was asked"
            return
        if model.broken or not model.replies:
            report.outcome = "failed"
            report.longrepr = (
                "; ".join(model.broken) or "the test asked the model nothing: it must call model.ask(case)"
            )
            return
        reasons = self._reasons or _lines(call) if assert_failed else []
        result = _result(item, tuple(model.replies), reasons, assert_failed=assert_failed)
        item.stash[RESULT] = result
        report.outcome, report.longrepr = "passed", None
        report.gate = json.dumps(plain(result))  # type: ignore[attr-defined]
        report.gate_hit = result.hit  # type: ignore[attr-defined]
        if result.split != heldout.HELD and (self._raw == "all" or (self._raw == "misses" and not result.hit)):
            report.gate_question = json.dumps(plain(model.questions[-1]))  # type: ignore[attr-defined]
        told = heldout.HELD if result.split == heldout.HELD else "hit" if result.hit else "miss"
        item.user_properties[:] = [each for each in item.user_properties if each[0] != "gate"] + [("gate", told)]


_EXPECTED = (expected.ExpectedCalls, expected.ExpectedAnswer)


def _result(item: pytest.Item, replies: tuple[Reply, ...], reasons: list[str], *, assert_failed: bool) -> Result:
    case = case_of(item)
    why = [reply.fault for reply in replies if reply.fault]
    why += [f"a call arrived as text: {_short(json.dumps(leak))}" for reply in replies for leak in reply.leaks]
    why += reasons
    return Result(
        test=test_of(item),
        case=case.id,
        split=case.split,
        hit=not why and not assert_failed,
        parsed=_parsed(case, replies, hit=not why and not assert_failed),
        why=tuple(_short(line) for line in why),
        asked=_short(next((m["content"] or "" for m in reversed(case.messages) if m["role"] == "user"), "")),
        expect=case.expect,
        replies=replies,
    )


def _parsed(case: Case, replies: tuple[Reply, ...], *, hit: bool) -> bool:
    """Would the case be a hit if the calls written as text counted as calls?"""
    if hit or not case.expect.get("calls") or len(replies) != 1 or not replies[0].leaks or replies[0].fault:
        return hit
    return not expected.compare(case.expect, replies[0].calls + replies[0].leaks, case.tools)


def _only_case(item: pytest.Item) -> bool:
    return set(item.callspec.params) == {"case"} if hasattr(item, "callspec") else False


def _lines(call: pytest.CallInfo[None]) -> list[str]:
    text = str(call.excinfo.value) if call.excinfo else ""
    told = [line.strip() for line in text.splitlines()[:8] if line.strip() and "Use -v to get" not in line]
    return told or ["the assertion failed"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
