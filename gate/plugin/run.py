"""One run, top to bottom: prepare, serve, ask, verify, attribute, decide, write.

A stage is a function that reads and extends one state (gate.plugin.state.Run); pytest's hooks, in RunHooks, call them:

    prepare      at start: find the checkpoint, its judge, and what would make the run ask too little (prepare.py)
    serve        preflight, start the server, probe its determinism; nothing of it while answers are cached (hosting.py)
    ask          run the tests, their questions prefetched and batched (ask.py; what each was worth: score.py)
    verify       run again, one at a time, those whose answer was a miss or not sure (ask.py)
    gather       after each test, take from its report what ask and verify have put there
    attribute    ask the misses raw, and name the stage at which each went wrong (attribution.py)
    decide       the report and its verdict, with a judge's scores where there is one (decide.py)
    write        report.json

Under xdist ask and verify happen in the workers, and all else in the controller; without it one process does both.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.cases import loader
from gate.errors import GateError, ReportError
from gate.grading import latency
from gate.grading.early_stop import below
from gate.models import streaming
from gate.plugin import ask, attribution, heldout, hosting, pytest_internals
from gate.plugin.decide import decide, judge
from gate.plugin.state import Plan, Run, Scored, status, unpack
from gate.registry import slots
from gate.report import io as reports
from gate.report import terminal as render
from gate.report.shown import shown
from gate.types import HELD_OUT, Break, Case, Contract, Outcome, Report, Verdict


def serve(run: Run) -> None:
    """Make the run's folder, and the model ready to be asked. Raises UsageError when it cannot be."""
    try:
        run.forced = slots.forced(run.registry)
        run.folder = _made_folder(run.folder)
        host = hosting.serve(run, lazily=run.asking is not None)
    except (GateError, OSError) as error:
        raise pytest.UsageError(str(error)) from error
    if run.asking is None:
        run.handout = hosting.handout(run, host)
    else:
        ask.begin(run.asking, host)


def gather(run: Run, report: pytest.TestReport) -> None:
    """Take from a test's report, from this process or from a worker, what it carries of the stages ask and verify."""
    carried = unpack(report)
    if carried.plan is not None:
        _note_plan(run, carried.plan)
    if carried.broke is not None:
        run.breaks.append(carried.broke)
    if carried.scored is not None:
        _note_scored(run, carried.scored)
        if status(report) == "miss":
            pytest_internals.remember_failed(run.config, report.nodeid)  # for pytest it has passed
    elif hasattr(report, "wasxfail"):
        run.skips.append(Break(report.nodeid, "expected to fail: an xfail cannot be graded"))
    elif report.skipped:
        run.skips.append(Break(report.nodeid, _last_line(report)))
    elif not report.passed:
        run.breaks.append(Break(report.nodeid, _last_line(report)))


def look_back(run: Run) -> None:
    """After all is answered measure latency and attribute misses; whatever that does to a server changes no verdict."""
    if not hosting.alive(run):
        run.breaks.append(Break("server", f"died during the run; its log: {run.folder / 'server.log'}"))
    elif run.host is not None:
        if run.serving is not None:
            timeout = run.config.getoption("gate_timeout")
            run.streaming = streaming.probe(run.serving.server, _streamed(run), timeout=timeout)
        attribution.attribute(run)


def write(run: Run, report: Report) -> None:
    """Write the report. Raises ReportError when it cannot be."""
    reports.write(run.folder / "report.json", report)


def finish(run: Run) -> bool:
    """Decide and write, whatever has happened, and stop the server. Has the run failed?

    What was asked is written before a judge is asked: whatever comes then, it is not lost.
    """
    if run.host is None or run.bad_input:
        return False
    try:
        report = decide(run)
        write(run, report)
        if run.judge is not None and not run.stopped:
            write(run, judge(run, report, run.judge))
    except ReportError as error:
        run.verdict = Verdict(Outcome.INCOMPLETE, run.verdict.findings if run.verdict else (), (str(error),))
    finally:
        hosting.stop(run)
    return not _passed(run)


class RunHooks:
    """pytest's hooks in the process that owns the run; each calls a stage."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def pytest_report_header(self) -> str:
        graded = self.run.artifact.checkpoint
        return f"gate: {graded.kind} {graded.where}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Under xdist the workers need the server's address when they start."""
        if self.run.asking is None:
            serve(self.run)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self.run.handout:
            node.workerinput["gate"] = self.run.handout

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        if error:
            self.run.breaks.append(Break(f"worker {node.gateway.id}", f"crashed: {str(error).strip()[:200]}"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Between serving and deciding; whatever is no PASS fails the run, however pytest itself sees it."""
        run, option = self.run, self.run.config.option
        if option.collectonly:
            return (yield)
        if run.asking is not None and (option.continue_on_collection_errors or not session.testsfailed):
            serve(run)
        try:
            finished = yield
            look_back(run)
            return finished
        except BaseException as error:
            if run.stopped and type(error) is not KeyboardInterrupt:  # pytest's and xdist's own, for --gate-fail-fast
                return True
            words = "" if isinstance(error, KeyboardInterrupt) else f": {error}"
            run.breaks.append(Break("run", f"ended early: {type(error).__name__}{words}"))
            raise
        finally:
            session.testsfailed += finish(run)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.run.skips.append(Break(report.nodeid, _last_line(report)))
        elif report.failed:
            text = str(report.longrepr)
            self.run.bad_input |= text.startswith("gate: ")
            self.run.breaks.append(Break(report.nodeid or "collection", text.strip().splitlines()[-1][:300]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before every other plugin, which could show what is held out."""
        gather(self.run, report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """A suite's own words stay out of what pytest says of the interrupt: they could be a held-out case's."""
        if isinstance(excinfo.value, KeyboardInterrupt):
            excinfo.value.args = ()

    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> Any:
        return STATUS_WORDS.get(status(report))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.run.report is not None and self.run.verdict is not None:
            terminalreporter.section("gate")
            terminalreporter.write_line(render.summary(shown(self.run.report, self.run.verdict)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        if self.run.bad_input:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif (
            session.exitstatus == pytest.ExitCode.OK and not _passed(self.run) and not session.config.option.collectonly
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED  # for one, pytest.exit(returncode=0) in a test
        yield
        _print_verdict(self.run)

    def pytest_unconfigure(self) -> None:
        hosting.stop(self.run)


STATUS_WORDS = {
    "miss": ("miss", "m", ("MISS", {"yellow": True})),
    HELD_OUT: ("held out", "h", ("HELD OUT", {"cyan": True})),
}
"""How pytest counts and shows a graded case; a hit has passed."""


def _made_folder(plain: Path) -> Path:
    """A folder of its own, also for two runs that begin in the same second."""
    for number in itertools.count(2):
        folder = plain if number == 2 else plain.with_name(f"{plain.name}-{number - 1}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if not folder.is_dir():
                raise
    return folder


def _note_plan(run: Run, plan: Plan) -> None:
    """Note the contracts of tests, with this attempt at their held-out cases recorded, and what was hidden."""
    new = [contract for contract in plan.contracts if contract.test not in run.contracts]
    run.contracts |= {contract.test: contract for contract in _numbered(run, new)}
    run.suites |= plan.judges
    hidden = [Break(path, "was ignored at collection") for path in plan.ignored]
    run.skips += [each for each in hidden if each not in run.skips]


def _numbered(run: Run, contracts: list[Contract]) -> list[Contract]:
    """What a URL serves cannot be identified, so every run of it is another checkpoint."""
    identity = run.digest if run.artifact.checkpoint.kind.verified else run.folder.name
    try:
        return heldout.numbered(contracts, run.registry, identity)
    except (GateError, OSError) as error:
        run.breaks.append(Break("registry", f"this attempt at held-out cases could not be recorded: {error}"))
        return contracts


def _note_scored(run: Run, scored: Scored) -> None:
    """Note a result; with --gate-fail-fast stop where a test cannot meet its demands any more, by what is no secret."""
    cold = len(run.scored) < latency.COLD
    result = replace(scored.result, cold=cold)
    run.scored.append(replace(scored, result=result))
    if not run.config.getoption("gate_fail_fast") or result.hit or result.split == HELD_OUT:
        return
    own = [each.result for each in run.scored if each.result.test == result.test]
    missed = {each.case for each in own if not each.hit} - {each.case for each in own if each.split == HELD_OUT}
    if why := below(run.contracts[result.test], missed):
        run.stopped = f"{result.test}: {why}"
        pytest_internals.stop(run.config, run.stopped)


def _streamed(run: Run) -> list[Case]:
    """A few cases of the first test that has them, none of them held out."""
    fixtures = run.config.rootpath / run.config.getini("gate_fixtures")
    for contract in sorted(run.contracts.values(), key=lambda each: each.smoke):
        own = [case for case in loader.load(contract.cases, fixtures).cases if case.split != HELD_OUT]
        if len(own) > streaming.CASES:
            return own[: streaming.CASES + 1]
    return []


def _passed(run: Run) -> bool:
    return run.verdict is not None and run.verdict.outcome is Outcome.PASS


def _print_verdict(run: Run) -> None:
    terminal = pytest_internals.terminal(run.config)
    if terminal is not None and run.verdict is not None:
        good = _passed(run)
        line = render.verdict_line(run.verdict, run.folder / "report.json")
        terminal.write_line(line, bold=True, green=good, red=not good)


def _last_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What broke or was skipped, in one line: the message of the exception where there is one."""
    crash = getattr(report.longrepr, "reprcrash", None)
    where = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    text = crash.message if crash else str(where)
    return f"{report.when}: {text.strip().splitlines()[0][:300]}" if text.strip() else str(report.when)
