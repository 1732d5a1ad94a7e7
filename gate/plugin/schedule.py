"""In every process that runs tests: questions are asked ahead, several at once; what is not sure is asked again, alone.

A test whose answer is a miss, or a hit that is not sure (gate.models.batch_invariance), is not reported. When all have
been asked, it is run again, and its questions are asked one at a time; that is its result. Under xdist a lock keeps
those who ask alone from those who ask at once: each process holds it with the others until it has asked all of its
cases, and then by itself. It goes with a process that dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from gate.grading.early_stop import below
from gate.models import batch_invariance, prefetch
from gate.models.batch_invariance import Way
from gate.models.prefetch import Ahead, Wanted
from gate.models.session import Asking
from gate.plugin.heldout import unlogged
from gate.plugin.items import RESULT, case_of, gated, question_of, test_of, time_of
from gate.plugin.progress import progress
from gate.types import HELD_OUT, Contract, Question, Reply, Result

WANTED = pytest.StashKey[Wanted]()
TRIED, MOST = 16, 2 / 3
"""Screening ends where, of so many answers, more than this share must be asked again: that takes longer than asking
three at once saves. On two cores four at once saved a fifth (python -m benchmarks.settle)."""


class Screen:
    """Which questions are under way, and which tests wait to be asked again."""

    def __init__(self, config: pytest.Config, contracts: dict[str, Contract]) -> None:
        self._config, self._contracts = config, contracts
        self._asking: Asking | None = None
        self._ahead: Ahead | None = None
        self._lock: Path | None = None
        self._anew: Callable[[str], bool] = lambda _test: False
        self._planned: set[str] = set()
        self._taken: set[str] = set()
        self._later: list[pytest.Item] = []
        self._told: dict[pytest.Item, Sequence[pytest.TestReport]] = {}
        """What is told at the end, of held-out cases: by when it is told one would see which were asked again."""
        self._fresh: set[str] = set()
        """Keys of questions that one of those who ask them must have asked anew."""
        self._missed: dict[str, set[str]] = {}
        self._before: dict[str, Counter[str]] = {}
        self._settling = False
        self._singly = False
        """Is what is left asked alone, and not among others first?"""
        self._tried = self._doubted = 0
        """Open cases that were asked among others, and how many of these must be asked again."""

    def begin(self, asking: Asking, *, lock: Path | None, processes: int, anew: Callable[[str], bool]) -> None:
        """`lock`: of all processes of the run, None for a single one; `anew`: must a test's cases be asked anew?"""
        self._asking, self._lock, self._anew = asking, lock, anew
        at_once = max(1, asking.way.at_once // processes)
        if at_once > 1:
            self._ahead = Ahead(self._ask_ahead, at_once=at_once, abort=asking.abort)

    def first(self, missed: dict[str, Counter[str]]) -> None:
        """What earlier runs have missed, to be asked first."""
        self._before = missed

    def answerer(self, item: pytest.Item) -> Callable[[Question], Reply]:
        """What a test's `model` asks by: the first time that it asks something the answer may be there already."""
        times: Counter[str] = Counter()

        def answer(question: Question) -> Reply:
            if self._asking is None:
                raise RuntimeError("a gated test ran before the model was served")
            key = prefetch.key(question, time_of(item, self._contracts))
            times[key] += 1
            planned = self._ahead if times[key] == 1 and not self._settling else None
            if planned is not None and (given := planned.take(key)) is not None:
                self._taken.add(item.nodeid)
                return given
            time = f"{time_of(item, self._contracts)}.{times[key]}"
            with self._alone() if self._asking.way.name == "alone" else contextlib.nullcontext():
                settled = self._settling or self._singly
                return self._asking.answer(question, settled=settled, time=time, anew=self._anew(test_of(item)))

        return answer

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Within a test function, those with one prefix behind each other, and the longest first.

        With --gate-fail-fast before that those that earlier runs have missed, and their functions first.
        """
        groups: dict[str, int] = {}
        keys: dict[pytest.Item, tuple[int, ...]] = {}
        for item in items:
            if gated(item):
                each = self._wanted(item)
                place = (each.time, groups.setdefault(each.group, len(groups)), -prefetch.size(each.question))
                keys[item] = (-self._before.get(each.test, Counter())[case_of(item).id], *place)
        items.sort(key=lambda item: -self._before.get(test_of(item), Counter()).total() if item in keys else 0)
        places: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            if item in keys:
                places.setdefault(test_of(item), []).append(number)
        for numbers in places.values():
            own = sorted((items[number] for number in numbers), key=keys.__getitem__)
            for number, item in zip(numbers, own, strict=True):
                items[number] = item

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        if self._asking is None or self._config.option.collectonly:
            return (yield)
        try:
            with self._among():
                own = [item for item in session.items if gated(item)]
                self._fresh = {self._wanted(item).key for item in own if self._anew(test_of(item))}
                if self._lock is None:
                    self._plan(session.items)
                finished = yield
            with self._alone():
                self._settle(session, self._later)
            self._tell(session)
            return finished
        finally:
            if self._ahead is not None:
                self._ahead.stop()
            self._asking.keep()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if self._asking is None or not gated(item):
            return None
        if self._lock is not None and not self._settling:
            self._plan([each for each in (item, nextitem) if each is not None and each.nodeid not in self._planned])
        before = item.stash.get(RESULT, None)
        if before is not None:
            del item.stash[RESULT]
        with unlogged(case_of(item).split):
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        result = item.stash.get(RESULT, None)
        if item.nodeid in self._planned and item.nodeid not in self._taken and self._ahead is not None:
            self._ahead.forget(test_of(item))
        screened = item.nodeid in self._taken and not self._settling and case_of(item).split != HELD_OUT
        self._tried += screened
        if self._defers(result, reports):
            self._doubted += screened
            self._put_off(item, reports)
            return True
        if self._settling and before is not None and result is not None:
            self._compare(item, before, result, reports)
        if case_of(item).split == HELD_OUT and self._way.name == "settled":
            self._told[item] = reports
            self._plan_later(reports)
        else:
            self._log(item, reports)
        return True

    def _plan(self, items: Sequence[pytest.Item]) -> None:
        """Ask these ahead."""
        if self._ahead is not None:
            own = [item for item in items if gated(item)]
            self._planned.update(item.nodeid for item in own)
            self._ahead.plan([self._wanted(item) for item in own])

    def _ask_ahead(self, each: Wanted) -> Reply:
        if self._asking is None:
            raise RuntimeError("asked before there was a model")
        return self._asking.answer(each.question, time=f"{each.time}.1", anew=each.key in self._fresh)

    def _wanted(self, item: pytest.Item) -> Wanted:
        if WANTED not in item.stash:
            item.stash[WANTED] = prefetch.wanted(question_of(item), test_of(item), time=time_of(item, self._contracts))
        return item.stash[WANTED]

    def _defers(self, result: Result | None, reports: Sequence[pytest.TestReport]) -> bool:
        """Must it be asked again, alone, before its result can be told?"""
        if result is None or self._settling or self._way.name != "settled":
            return False
        if not all(report.passed and not hasattr(report, "gate_break") for report in reports):
            return False
        settled = all(reply.settled for reply in result.replies)
        return not settled and not (result.hit and batch_invariance.sure(result.replies, self._way.bound))

    def _put_off(self, item: pytest.Item, reports: Sequence[pytest.TestReport]) -> None:
        self._later.append(item)
        self._plan_later(reports)
        if self._lock is None and self._ahead is not None:
            if self._config.getoption("gate_fail_fast"):
                self._settle_doubts(item)
            if not self._singly and self._tried >= TRIED and self._doubted > MOST * self._tried:
                self._singly = True
                self._ahead.drop()
                progress(self._config)("asking the rest one at a time: most answers were not sure among others")

    def _plan_later(self, reports: Sequence[pytest.TestReport]) -> None:
        """What has been collected goes with the first report; this one will not be the first."""
        if any(hasattr(report, "gate_plan") for report in reports):
            self._config.pluginmanager.get_plugin("gate-ask").send_plan_again()  # type: ignore[union-attr]

    def _settle_doubts(self, item: pytest.Item) -> None:
        """Before all have been asked: where the misses put off, were they to stay, decide a test's outcome."""
        own = [each for each in self._later if test_of(each) == test_of(item)]
        lost = {each.case for one in own if (each := one.stash[RESULT]) and not each.hit and each.split != HELD_OUT}
        contract = self._contracts[test_of(item)]
        if self._ahead is not None and below(contract, lost | self._missed.get(contract.test, set())):
            self._later = [each for each in self._later if each not in own]
            with self._ahead.held():
                self._settle(item.session, own)

    def _settle(self, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        """Run tests again, of which each asks alone."""
        if not items:
            return
        if open_ := sum(case_of(item).split != HELD_OUT for item in items):
            progress(self._config)(f"asking {open_} cases again, alone: misses, and hits that were not sure")
        self._settling = True
        for item, nextitem in zip(items, [*items[1:], None], strict=True):
            _is_run(session, item)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        self._settling = False

    def _tell(self, session: pytest.Session) -> None:
        """Tell of the held-out cases, in the order in which they were collected."""
        for item in session.items:
            if item in self._told:
                _is_run(session, item)
                self._log(item, self._told.pop(item))

    def _compare(self, item: pytest.Item, before: Result, after: Result, reports: Sequence[pytest.TestReport]) -> None:
        """What asking alone has changed."""
        report = next(each for each in reports if each.when == "call")
        report.gate_turned = ("lost", "won")[after.hit] if before.hit != after.hit else ""  # type: ignore[attr-defined]
        both = zip(before.replies, after.replies, strict=False)
        if any(batch_invariance.refuted(among, alone, self._way.bound) for among, alone in both):
            what = f"an answer changed whose margin was above the bound of {self._way.bound:.3f} nats: --gate-alone"
            report.gate_break = json.dumps([test_of(item), what])  # type: ignore[attr-defined]

    def _log(self, item: pytest.Item, reports: Sequence[pytest.TestReport]) -> None:
        result = item.stash.get(RESULT, None)
        if result is not None and not result.hit and result.split != HELD_OUT:
            self._missed.setdefault(result.test, set()).add(result.case)
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    @property
    def _way(self) -> Way:
        if self._asking is None:
            raise RuntimeError("asked before there was a model")
        return self._asking.way

    @contextlib.contextmanager
    def _among(self) -> Iterator[None]:
        """Together with the other processes; in the way `alone` each question is asked by itself."""
        with _held(self._lock if self._way.name != "alone" else None, fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with _held(self._lock, fcntl.LOCK_EX):
            yield


def _is_run(session: pytest.Session, item: pytest.Item) -> None:
    """Tell xdist's worker which test runs: it looks whether a report is of the one that it was sent (remote.py)."""
    for plugin in session.config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            plugin.item_index = session.items.index(item)


@contextlib.contextmanager
def _held(path: Path | None, kind: int) -> Iterator[None]:
    """A lock on a file, shared or not; none where there is no file."""
    if path is None:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, kind)
        yield
