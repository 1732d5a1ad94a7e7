"""Each harness: how one run of it is started, and where it says how many cases were right."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.harnesses import installing
from benchmarks.harnesses.questions import Questions

NAMES = ("gate", "openai", *installing.PINS)
"""In the order of a round."""
TEMPLATES = Path(__file__).with_name("peers")
QUIET = {
    "NO_PROXY": "127.0.0.1,localhost",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
    "DEEPEVAL_NO_INSPECT_PROMPT": "1",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    "PROMPTFOO_DISABLE_SHARING": "1",
}
"""Nothing is sent anywhere but to the relay."""
PATIENT = {
    "DEEPEVAL_DISABLE_TIMEOUTS": "1",
    "DEEPEVAL_PER_TASK_TIMEOUT_SECONDS_OVERRIDE": "3600",
    "REQUEST_TIMEOUT_MS": "3600000",
}
"""deepeval and promptfoo give up on a slow machine otherwise: after some three minutes all in all, five a request."""


OTHERS_OFF = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")
"""Plugins that the tests of the gate itself bring: a user's environment has none of the last two."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run asks, and where it may write."""

    questions: Questions
    url: str
    model: str
    key: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Harness:
    """One of those that are compared."""

    name: str
    version: str
    command: Callable[[Place], Sequence[str]]
    hits: Callable[[Place], tuple[int, int]]
    """Hits and cases scored, once it has run. Raises OSError, ValueError or KeyError if it reported none."""
    fine: tuple[int, ...] = (0,)
    """Exit statuses that mean that it ran: misses are no error."""

    def environment(self, place: Place) -> dict[str, str]:
        """The variables of the run's process."""
        sampling = json.dumps(place.questions.sampling)
        asked = {"REQUESTS": str(place.questions.rows), "URL": place.url, "MODEL": place.model, "SAMPLING": sampling}
        keys = {"OPENAI_API_KEY": place.key or "none", "GATE_API_KEY": place.key}
        written = {
            "GATE_REPLIES": str(place.folder / "replies.sqlite"),
            "HF_HOME": str(place.folder / "huggingface"),
            "XDG_DATA_HOME": str(place.folder / "data"),
            "PROMPTFOO_CONFIG_DIR": str(place.folder / "promptfoo"),
        }
        return dict(os.environ) | QUIET | PATIENT | asked | keys | written


def gate(options: Sequence[str]) -> Harness:
    """The gate by its URL, as README's `pytest --model http://…/v1` does it, with further options."""

    def command(place: Place) -> list[str]:
        plain = [sys.executable, "-m", "pytest", *OTHERS_OFF, "--model", place.url]
        plain += ["--gate-runs", str(place.folder / "runs"), "--gate-registry", str(place.folder / "registry")]
        return [*plain, "--rootdir", str(place.questions.project), *options]

    name = " ".join(["gate", *options])
    return Harness(name, metadata.version("pytest-gate"), command, _reported, fine=(0, 1))


def others(names: Sequence[str], folder: Path) -> tuple[list[Harness], dict[str, str]]:
    """The named ones, installed; and why those that could not be."""
    found, missing = [], {}
    for name in names:
        try:
            found.append(_other(name, folder))
        except installing.InstallError as error:
            missing[name] = str(error)
    return found, missing


def _other(name: str, folder: Path) -> Harness:
    if name == "openai":
        return _scripted(name, metadata.version("openai"), Path(sys.executable), "with_loop.py")
    if name == "promptfoo":
        return _promptfoo(installing.promptfoo(folder))
    program = installing.python(name, folder)
    return _scripted(name, installing.PINS[name], program, f"with_{name.removesuffix('-ai').replace('-', '_')}.py")


def _scripted(name: str, version: str, program: Path, template: str) -> Harness:
    def command(place: Place) -> list[str]:
        hits = str(place.folder / "hits.json")
        return [str(program), str(TEMPLATES / template), str(place.questions.rows), place.url, place.model, hits]

    return Harness(name, version, command, _told)


def _promptfoo(program: Sequence[str]) -> Harness:
    def command(place: Place) -> list[str]:
        config, output = str(TEMPLATES / "with_promptfoo.cjs"), str(place.folder / "output.json")
        return [*program, "eval", "-c", config, "--no-cache", "--no-table", "--no-progress-bar", "--output", output]

    return Harness("promptfoo", installing.PINS["promptfoo"], command, _counted, fine=(0, 100))


def _told(place: Place) -> tuple[int, int]:
    result = json.loads((place.folder / "hits.json").read_text(encoding="utf-8"))
    return result["hits"], result["asked"]


def _counted(place: Place) -> tuple[int, int]:
    """promptfoo ends with 100 where an assertion failed (docs/usage/command-line)."""
    stats = json.loads((place.folder / "output.json").read_text(encoding="utf-8"))["results"]["stats"]
    return stats["successes"], stats["successes"] + stats["failures"] + stats["errors"]


def _reported(place: Place) -> tuple[int, int]:
    (path,) = (place.folder / "runs").glob("*/report.json")
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return sum(result["hit"] for result in results), len(results)
