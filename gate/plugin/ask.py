"""The stages `ask` and `verify`, in every process that runs tests.

Questions are asked before their tests run, several at once. A test whose answer is a miss, or a hit that is not sure
(gate.models.batch_invariance), is deferred: its report is not logged. When all have been asked it is run again, with
its questions asked one at a time; that is its result. Under xdist each process shares a file lock with the others until
it has asked all of its cases, and then takes it for itself. A process that dies gives the lock back.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from gate.grading.early_stop import below
from gate.models import batch_invariance, prefetch
from gate.models.client import Model
from gate.models.prefetch import Prefetch, Request
from gate.models.session import Host, Session
from gate.plugin import collect, failed_first, hosting, pytest_internals, score
from gate.plugin.heldout import unlogged
from gate.plugin.items import case_of, gated, state_of, test_of
from gate.plugin.pytest_internals import progress
from gate.plugin.state import Asking, carried, carry, pack
from gate.types import HELD_OUT, Break, Question, Reply, Result

TRIED, MOST = 16, 2 / 3
"""Batching ends where, of so many answers, more than this share must be verified: that takes longer than asking three
at once saves. On two cores four at once saved a fifth (python -m benchmarks.batch_invariance)."""


class AskHooks:
    """pytest's hooks in a process that runs tests; each calls a function of collect, score, or this module."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest) -> Model:
        """The model under test: `model.ask(case)`, `model.chat(messages, tools=…)`."""
        return Model(answerer(self.asking, request.node))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        with collect.without_garbage_collection():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> Generator[None, bool | None, bool | None]:
        if ignored := (yield):
            collect.note_ignored(self.asking, collection_path)
        return ignored

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        collect.generate(self.asking, metafunc)

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self) -> Generator[None, object, object]:
        made = yield
        collect.refuse_parameters(made)
        return made

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        collect.refuse_ungraded(items)
        failed_first.order(self.asking, items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        if self.asking.session is None or self.asking.config.option.collectonly:
            return (yield)
        try:
            with _locked(self.asking.lock if not _sequential(self.asking.session) else None, fcntl.LOCK_SH):
                _plan_all(self.asking, session.items)
                finished = yield
            with _locked(self.asking.lock, fcntl.LOCK_EX):
                verify(self.asking, session, self.asking.deferred)
            _log_withheld(self.asking, session)
            return finished
        finally:
            if self.asking.prefetch is not None:
                self.asking.prefetch.stop()
            self.asking.session.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if self.asking.session is None or not gated(item):
            return None
        ask(self.asking, self.asking.session, item, nextitem)
        return True

    def pytest_runtest_setup(self) -> None:
        self.asking.reasons = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        return score.explain(self.asking, left, right) if op == "==" else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        score.score(self.asking, item, call, report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before every other plugin: one of them sends it."""
        if not self.asking.plan_sent:
            self.asking.plan_sent = True
            carry(report, plan=collect.plan(self.asking))
        pack(report)

    def pytest_unconfigure(self) -> None:
        if self.asking.session is not None:
            self.asking.session.close()


def begin(asking: Asking, host: Host, *, processes: int = 1, lock: Path | None = None) -> None:
    """From now on there is a model to ask. `lock`: of all processes of the run, None for a single one."""
    cache = hosting.cache(asking.config, host.about) if host.about else None
    asking.session = Session(host, timeout=asking.config.getoption("gate_timeout"), cache=cache)
    asking.lock = lock
    if (concurrency := max(1, host.mode.at_once // processes)) > 1:
        asking.prefetch = _prefetch(asking, asking.session, concurrency)


def answerer(asking: Asking, item: pytest.Item) -> Callable[[Question], Reply]:
    """What a test's `model` asks by: the first time that it asks something the answer may be there already."""
    times: Counter[str] = Counter()

    def answer(question: Question) -> Reply:
        if asking.session is None:
            raise RuntimeError("a gated test ran before the model was served")
        state = state_of(item, asking.contracts)
        key = prefetch.key(question, state.request.repeat)
        times[key] += 1
        planned = asking.prefetch if times[key] == 1 and not asking.verifying else None
        if planned is not None and (reply := planned.take(key)) is not None:
            state.taken = True
            return reply
        repeat, fresh = f"{state.request.repeat}.{times[key]}", _needs_fresh(asking, test_of(item))
        with _locked(asking.lock if _sequential(asking.session) else None, fcntl.LOCK_EX):
            verified = asking.verifying or asking.sequential
            return asking.session.answer(question, verified=verified, repeat=repeat, fresh=fresh)

    return answer


def ask(asking: Asking, session: Session, item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a gated test; log its reports, or defer it until it can be verified, or withhold them until the end."""
    state = state_of(item, asking.contracts)
    if asking.lock is not None and not asking.verifying:
        _plan(asking, [each for each in (item, nextitem) if each is not None and not _planned(asking, each)])
    before, state.result = state.result, None
    with unlogged(case_of(item).split):
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if state.planned and not state.taken and asking.prefetch is not None:
        asking.prefetch.cancel(test_of(item))
    batched = state.taken and not asking.verifying and case_of(item).split != HELD_OUT
    asking.batched += batched
    if _unsure(asking, session, state.result, reports):
        asking.unsure += batched
        _defer(asking, item)
        return
    if asking.verifying and before is not None and state.result is not None:
        _compare(session, item, before, state.result, reports)
    if case_of(item).split == HELD_OUT and session.mode.name == "verified":
        asking.withheld[item] = reports
    else:
        _log(asking, item, reports)


def verify(asking: Asking, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
    """Run tests again, with nothing else under way: what they are answered now counts."""
    if not items:
        return
    if shown := sum(case_of(item).split != HELD_OUT for item in items):
        progress(asking.config)(f"asking {shown} cases again, one at a time: misses, and hits that were not sure")
    asking.verifying = True
    for item, nextitem in zip(items, [*items[1:], None], strict=True):
        pytest_internals.set_running(session, item)
        item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
    asking.verifying = False


def _prefetch(asking: Asking, session: Session, concurrency: int) -> Prefetch:
    def answer(each: Request) -> Reply:
        return session.answer(each.question, repeat=f"{each.repeat}.1", fresh=each.key in asking.fresh)

    return Prefetch(answer, concurrency=concurrency, abort=session.abort)


def _needs_fresh(asking: Asking, test: str) -> bool:
    """Must a test's answers be new ones? Of sealed cases nothing is cached, and seconds must be of today."""
    contract = asking.contracts[test]
    return test in asking.sealed or contract.within is not None or contract.slower is not None


def _plan_all(asking: Asking, items: Sequence[pytest.Item]) -> None:
    """A single process knows all tests that it will run; under xdist a worker knows the next one."""
    own = [item for item in items if gated(item)]
    asking.fresh = {state_of(item, asking.contracts).request.key for item in own if _needs_fresh(asking, test_of(item))}
    if asking.lock is None:
        _plan(asking, own)


def _plan(asking: Asking, items: Sequence[pytest.Item]) -> None:
    if asking.prefetch is not None:
        states = [state_of(item, asking.contracts) for item in items if gated(item)]
        for each in states:
            each.planned = True
        asking.prefetch.plan([each.request for each in states])


def _planned(asking: Asking, item: pytest.Item) -> bool:
    return gated(item) and state_of(item, asking.contracts).planned


def _unsure(asking: Asking, session: Session, result: Result | None, reports: Sequence[pytest.TestReport]) -> bool:
    """Must it be verified before its result can be reported?"""
    if result is None or asking.verifying or session.mode.name != "verified":
        return False
    if not all(report.passed and carried(report).broke is None for report in reports):
        return False
    verified = all(reply.verified for reply in result.replies)
    return not verified and not (result.hit and batch_invariance.sure(result.replies, session.mode.bound))


def _defer(asking: Asking, item: pytest.Item) -> None:
    asking.deferred.append(item)
    if asking.lock is not None or asking.prefetch is None:
        return
    if asking.config.getoption("gate_fail_fast"):
        _verify_decisive(asking, asking.prefetch, item)
    if not asking.sequential and asking.batched >= TRIED and asking.unsure > MOST * asking.batched:
        asking.sequential = True
        asking.prefetch.drain()
        progress(asking.config)("asking the rest one at a time: most answers were not sure in a batch")


def _verify_decisive(asking: Asking, prefetch: Prefetch, item: pytest.Item) -> None:
    """Verify at once where the misses deferred, were they to stay, decide a test's outcome."""
    own = [each for each in asking.deferred if test_of(each) == test_of(item)]
    results = [state_of(each, asking.contracts).result for each in own]
    lost = {each.case for each in results if each and not each.hit and each.split != HELD_OUT}
    contract = asking.contracts[test_of(item)]
    if below(contract, lost | asking.missed.get(contract.test, set())):
        asking.deferred = [each for each in asking.deferred if each not in own]
        with prefetch.paused():
            verify(asking, item.session, own)


def _compare(
    session: Session, item: pytest.Item, before: Result, after: Result, reports: Sequence[pytest.TestReport]
) -> None:
    """Let the report carry what asking again has changed."""
    report = next(each for each in reports if each.when == "call")
    if (scored := carried(report).scored) is not None and before.hit != after.hit:
        carry(report, scored=replace(scored, turned=("lost", "won")[after.hit]))
    both = zip(before.replies, after.replies, strict=False)
    bound = session.mode.bound
    if any(batch_invariance.refuted(batched, verified, bound) for batched, verified in both):
        what = f"an answer changed whose margin was above the bound of {bound:.3f} nats: --gate-sequential"
        carry(report, broke=Break(test_of(item), what))


def _log(asking: Asking, item: pytest.Item, reports: Sequence[pytest.TestReport]) -> None:
    result = state_of(item, asking.contracts).result
    if result is not None and not result.hit and result.split != HELD_OUT:
        asking.missed.setdefault(result.test, set()).add(result.case)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _log_withheld(asking: Asking, session: pytest.Session) -> None:
    """Log held-out cases in the order in which they were collected."""
    for item in session.items:
        if item in asking.withheld:
            pytest_internals.set_running(session, item)
            _log(asking, item, asking.withheld.pop(item))


def _sequential(session: Session) -> bool:
    """Does each question take the lock for itself?"""
    return session.mode.name == "sequential"


@contextlib.contextmanager
def _locked(path: Path | None, kind: int) -> Iterator[None]:
    """A lock on a file, shared or exclusive; none where there is no file."""
    if path is None:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, kind)
        yield
