"""The stage `prepare`: what is graded, by whom, and what makes a run ask less than all of the suites.

Some of that leaves no trace in what pytest collects; each is a gap in the verdict.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from gate.errors import GateError
from gate.judge.run import Judge
from gate.plugin.state import Asking, Run
from gate.preflight.artifact import Artifact, assembled
from gate.registry import policy
from gate.registry.policy import Policy
from gate.types import Break

NARROWING = {
    "lf": "--lf",
    "stepwise": "--stepwise",
    "keyword": "-k",
    "markexpr": "-m",
    "deselect": "--deselect",
    "ignore": "--ignore",
    "ignore_glob": "--ignore-glob",
    "noconftest": "--noconftest",
    "inifilename": "-c",
}
"""pytest's options that can leave out tests, or what the suites' own files say of them."""
COLLECTING = ("python_", "norecursedirs", "collect_", "gate_")
"""Beginnings of settings that say what is collected; with `-o` they are turned for one run."""
TALKATIVE = {
    "usepdb": "--pdb",
    "trace": "--trace",
    "debug": "--debug",
    "setupshow": "--setup-show",
    "setupplan": "--setup-plan",
    "setuponly": "--setup-only",
    "fulltrace": "--full-trace",
}
"""pytest's options that show what a test sees, whatever its report hides."""


def prepare(config: pytest.Config, asking: Asking | None) -> Run:
    """Find the checkpoint and the judge, and hash the suites before anything is collected.

    Raises UsageError for what cannot be graded.
    """
    began, skips = datetime.now().astimezone(), _narrowed(config)
    suites = config.rootpath / config.getini("gate_suites")
    digests = policy.suites(suites) if suites.is_dir() else {}
    artifact = _artifact(config)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", artifact.checkpoint.name).strip("-")[:60]
    runs = config.invocation_params.dir / Path(config.getoption("gate_runs"))
    return Run(
        config=config,
        asking=asking,
        began=began,
        artifact=artifact,
        judge=_judge(config),
        suites=digests,
        policy=_policy(config),
        folder=runs / f"{began:%Y%m%d-%H%M%S}-{name}",
        registry=config.rootpath / Path(config.getoption("gate_registry")),
        skips=skips,
    )


def _narrowed(config: pytest.Config) -> list[Break]:
    """The options of this run that can ask less than all. Raises UsageError for those that no grading allows."""
    if getattr(config.option, "reruns", None):
        raise pytest.UsageError("--reruns and --model do not go together: asking until it is right is not a grading")
    _refuse_talk(config)
    given = [name for name in NARROWING if config.getoption(name, None)]
    turned = [text for text in config.getoption("override_ini", None) or [] if text.startswith(COLLECTING)]
    return [Break("options", f"{NARROWING[name]} can ask less than all") for name in given] + [
        Break("options", f"-o {text} changes what is collected") for text in turned
    ]


def _refuse_talk(config: pytest.Config) -> None:
    """Raises UsageError for options that would show single cases."""
    if given := [flag for name, flag in TALKATIVE.items() if config.getoption(name, None)]:
        raise pytest.UsageError(f"{given[0]} and --model do not go together: it shows held-out cases; script a model")


def _artifact(config: pytest.Config) -> Artifact:
    option = config.getoption
    try:
        return assembled(
            option("gate_model"),
            base=option("gate_base"),
            against=option("gate_against"),
            train=option("gate_train"),
            fixtures=config.rootpath / Path(config.getini("gate_fixtures")),
            served_name=option("gate_served_name"),
        )
    except GateError as error:
        raise pytest.UsageError(str(error)) from error


def _policy(config: pytest.Config) -> Policy:
    try:
        return policy.read(config.rootpath)
    except GateError as error:
        raise pytest.UsageError(str(error)) from error


def _judge(config: pytest.Config) -> Judge | None:
    """Who judges; None where nobody was named."""
    named = config.getoption("gate_judge")
    if named is None:
        return None
    try:
        return Judge.named(named, config.getoption("gate_judge_name"))
    except GateError as error:
        raise pytest.UsageError(f"--judge: {error}") from error
