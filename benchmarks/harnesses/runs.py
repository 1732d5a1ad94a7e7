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
"""Longest run."""
TAIL = 1500
"""Characters of its output that are shown where it failed."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took and asked."""

    name: str
    round: int
    seconds: float
    """From the start of its process to its end."""
    totals: Totals
    hits: int
    scored: int
    problem: str = ""
    """Why it counts for nothing; empty where it does."""


def run(harness: Harness, questions: Questions, checkpoint: Checkpoint, *, slots: int, number: int) -> Run:
    """Start a server, run the harness once, stop the server. The server's start is not in the time."""
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
            hits, scored, problem = 0, 0, problem or f"it told no hits: {error!r}"
        if not problem and found.missing and "--gate-fail-fast" not in harness.name:
            problem = f"{found.missing} of {len(questions.bodies)} cases were not asked as the gate asks them"
        return Run(harness.name, number, seconds, found, hits, scored, problem)


def _timed(harness: Harness, place: Place) -> tuple[float, str]:
    """Seconds, and what went wrong. The gate runs in its project, the others in a folder of their own."""
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
