"""What can make a run ask less than all of the suites, some of it without a trace: each is a gap."""

from __future__ import annotations

import pytest

from gate.plugin import heldout
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


def narrowed(config: pytest.Config) -> list[Break]:
    """The options of this run that can ask less than all. Raises UsageError for those that no grading allows."""
    if getattr(config.option, "reruns", None):
        raise pytest.UsageError("--reruns and --model do not go together: asking until it is right is no grading")
    heldout.refuse_talk(config)
    given = [name for name in NARROWING if config.getoption(name, None)]
    turned = [text for text in config.getoption("override_ini", None) or [] if text.startswith(COLLECTING)]
    return [Break("options", f"{NARROWING[name]} can ask less than all") for name in given] + [
        Break("options", f"-o {text} changes what is collected") for text in turned
    ]
