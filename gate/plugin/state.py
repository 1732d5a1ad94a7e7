"""The state of a run, which its stages read and extend, and what a test's report carries between two processes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from gate.judge.run import Judge
from gate.models import determinism
from gate.models.prefetch import Prefetch
from gate.models.runtime import Serving
from gate.models.session import Host, Session
from gate.preflight.artifact import Artifact
from gate.registry.policy import Policy
from gate.types import (
    Break,
    Check,
    Contract,
    Determinism,
    Forced,
    Question,
    Report,
    Result,
    Streaming,
    Verdict,
)

FIELD = "gate"
"""The attribute of a TestReport, and the user property, that are ours."""
UNASKED = "the run ended before they were asked"
NOT_MEASURED = Streaming(0.0, why="not made: the run ended before")


@dataclass(frozen=True, slots=True)
class Scored:
    """A case's result, and what attribution needs of it."""

    result: Result
    question: Question | None = None
    """What was asked last; None where it is not asked raw."""
    turned: str = ""
    """What asking it again, by itself, has changed: lost, won, or nothing."""
    unattributed: str = UNASKED
    """Why it has no stage; empty where attribution has said what it can."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a process has collected. Every process of a run says the same."""

    contracts: tuple[Contract, ...]
    ignored: tuple[str, ...]
    """Paths below the suites that a conftest or an option hides."""
    judges: dict[str, str]
    """The digests of the files, outside of the suites, that decide what counts as a hit."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What rides on a TestReport from the process that asks to the one that owns the run."""

    scored: Scored | None = None
    broke: Break | None = None
    plan: Plan | None = None
    """On the first report of each process."""


@dataclass(slots=True)
class Asking:
    """The state of asking and verifying, in a process that runs tests."""

    config: pytest.Config
    missed_before: dict[str, Counter[str]]
    """What earlier runs have missed, test by test; it is asked first."""
    contracts: dict[str, Contract] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    sealed: set[str] = field(default_factory=set)
    """Tests whose cases lie in a sealed file."""
    plan_sent: bool = False
    reasons: list[str] = field(default_factory=list)
    """Why the last comparison of the running test failed."""
    session: Session | None = None
    """None before there is a model to ask."""
    lock: Path | None = None
    """Keeps those who verify from those who ask several at once; None in a single process."""
    prefetch: Prefetch | None = None
    """None where one question is asked at a time."""
    fresh: set[str] = field(default_factory=set)
    """Keys of requests that must not come from the cache, for one of the tests that make them."""
    missed: dict[str, set[str]] = field(default_factory=dict)
    """Cases that are known to be missed, test by test; none that is held out."""
    deferred: list[pytest.Item] = field(default_factory=list)
    """Tests that wait to be verified."""
    withheld: dict[pytest.Item, Sequence[pytest.TestReport]] = field(default_factory=dict)
    """Reports of held-out cases: the time at which they are logged would tell which were asked again."""
    verifying: bool = False
    sequential: bool = False
    """Is what is left asked one at a time, without being batched first?"""
    batched: int = 0
    unsure: int = 0
    """Cases, none of them held out, that were asked in a batch, and how many of these must be verified."""


@dataclass(slots=True)
class Run:
    """The state of a run, in the process that owns its server and its verdict."""

    config: pytest.Config
    asking: Asking | None
    """None in xdist's controller: each worker has one of its own."""
    began: datetime
    artifact: Artifact
    judge: Judge | None
    suites: dict[str, str]
    """The digests of the files that the suites consist of."""
    policy: Policy
    folder: Path
    registry: Path
    forced: tuple[Forced, ...] = ()
    """Promotions by force, which every later report shows."""
    touched: tuple[str, ...] = ()
    digest: str = ""
    checks: tuple[Check, ...] = ()
    serving: Serving | None = None
    """The server that runs; None where none does."""
    host: Host | None = None
    """None before the model can be asked."""
    probe: Determinism = determinism.NOT_RUN
    handout: str = ""
    """What xdist's workers are told (gate.plugin.hosting.received)."""
    contracts: dict[str, Contract] = field(default_factory=dict)
    scored: list[Scored] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    skips: list[Break] = field(default_factory=list)
    bad_input: bool = False
    """Was a suite or a case file refused?"""
    stopped: str = ""
    """Why --gate-fail-fast has ended the run."""
    streaming: Streaming = NOT_MEASURED
    attribution_seconds: float = 0.0
    report: Report | None = None
    verdict: Verdict | None = None
    """None before the run has ended, and where nothing was graded."""


RUN = pytest.StashKey[Run]()
"""The run, in the configuration of the process that owns it."""


def carried(report: pytest.TestReport) -> Carried:
    """What a report carries, in the process that made it."""
    found: Carried = report.__dict__.get(FIELD, Carried())
    return found


def carry(report: pytest.TestReport, **changes: object) -> None:
    """Let a report carry more. `changes`: fields of Carried."""
    report.__dict__[FIELD] = replace(carried(report), **changes)  # type: ignore[arg-type]


def pack(report: pytest.TestReport) -> None:
    """Make what a report carries one JSON string, which xdist can send."""
    if FIELD in report.__dict__:
        report.__dict__[FIELD] = json.dumps(msgspec.to_builtins(report.__dict__[FIELD]))


def unpack(report: pytest.TestReport) -> Carried:
    """Take what a report carries from it: no other plugin may show what is held out."""
    return msgspec.convert(json.loads(report.__dict__.pop(FIELD, "{}")), Carried)


def status(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Of a graded case's report in its call phase: hit, miss or held-out. Empty for any other."""
    if not isinstance(report, pytest.TestReport) or report.when != "call":
        return ""
    return next((str(value) for name, value in report.user_properties if name == FIELD), "")
