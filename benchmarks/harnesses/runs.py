"""One timed run of one harness, against a fresh server, through the relay."""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.harnesses.harnesses import Harness, Place
from benchmarks.harnesses.questions import Questions
from benchmarks.harnesses.relay import relaying
from benchmarks.harnesses.servers import served
from benchmarks.harnesses.totals import Totals, totals
from benchmarks.harnesses.traffic import exchanges
from gate.types import Checkpoint

SECONDS = 4 * 3600.0
"""Timeout of a run."""
TAIL = 1500
"""Characters of a failed run's output that are shown."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of one run."""

    name: str
    round: int
    seconds: float
    """From the start to the end of its process."""
    totals: Totals
    hits: int
    scored: int
    problem: str = ""
    """Why the run does not count; empty if it counts."""


def run(harness: Harness, questions: Questions, checkpoint: Checkpoint, *, slots: int, number: int) -> Run:
    """Start a server with `slots` slots, run the harness once as round `number`, stop the server.

    The time does not include the server's start.
    """
    with tempfile.TemporaryDirectory(prefix="harness-") as name, served(checkpoint, slots=slots) as server:
        port = urlsplit(server.url).port or 0
        with relaying(port) as relay:
            url = f"http://127.0.0.1:{relay.port}/v1"
            place = Place(questions, url, server.model, server.key, Path(name))
            seconds, problem = _timed(harness, place)
        found = totals(exchanges(relay.connections), questions.bodies)
        try:
            hits, scored = harness.hits(place)
        except (OSError, ValueError, KeyError) as error:
            hits, scored, problem = 0, 0, problem or f"it reported no hits: {error!r}"
        if not problem and found.missing and "--gate-fail-fast" not in harness.name:
            problem = f"{found.missing} of {len(questions.bodies)} cases were not asked as the gate asks them"
        return Run(harness.name, number, seconds, found, hits, scored, problem)


def _timed(harness: Harness, place: Place) -> tuple[float, str]:
    """Seconds, and the error if there was one. The gate runs in its project, the others in a folder of their own."""
    folder = place.questions.project if harness.name.startswith("gate") else place.folder
    log, environment = place.folder / "log.txt", harness.environment(place)
    begun = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            harness.command(place),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait(timeout=SECONDS)
        finally:
            process.kill()
            process.wait()
    seconds = time.perf_counter() - begun
    if status in harness.fine:
        return seconds, ""
    return seconds, f"ended with {status}: {log.read_text(errors='replace')[-TAIL:]}"
