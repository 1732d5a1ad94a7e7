"""The stage `serve`: the model of a run, from its files to the end of its server.

While every answer is in the cache nothing is served, and what the report says of the server comes from the cache too.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

import gate
from gate.checkpoints import checkpoint
from gate.errors import CheckpointError
from gate.models import batch_invariance, determinism, reply_cache, runtime
from gate.models.runtime import Runtime, Start
from gate.models.session import Host
from gate.plugin import failed_first, pytest_internals
from gate.plugin.pytest_internals import progress
from gate.plugin.state import Run
from gate.registry import policy
from gate.system import hashing, platform
from gate.system.cache import Cache
from gate.system.text import lines
from gate.types import AskMode, Check, Determinism, Json, Server

RUN_ID = pytest.StashKey[str]()
"""What tells the answers of this run from those of earlier ones, which promotion may refuse."""


def serve(run: Run, *, lazily: bool) -> Host:
    """Make the model ready to be asked. With `lazily` it is started only when something must be asked, where its server
    is known from an earlier run.

    Raises GateError or OSError when it cannot be graded or served.
    """
    run.touched = checkpoint.touched(run.artifact.checkpoint)
    run.digest = checkpoint.digest(run.artifact.checkpoint)
    about = _about(run)
    facts = _facts(run, about) if about is not None and lazily else None
    if facts is None:
        _inspect(run)
        server = _start_and_probe(run)
        if checkpoint.touched(run.artifact.checkpoint) != run.touched:
            raise CheckpointError("the checkpoint's files changed while it was loaded: grade it again")
        run.host = Host(server, _mode(run, server), about)
        _keep_facts(run, server, about)
    else:
        run.checks = msgspec.convert(facts["checks"], tuple[Check, ...])
        run.probe, server = msgspec.convert(facts["probe"], Determinism), Server(**facts["server"])
        run.host = Host(server, _mode(run, server), about, partial(start, run))
    return run.host


def start(run: Run) -> Server:
    """The server, started where it does not run yet."""
    if run.serving is None:
        run.serving = _runtime(run).start(run.artifact.checkpoint, _start(run))
    return run.serving.server


def stop(run: Run) -> None:
    """End the server. Safe to call twice."""
    if run.serving is not None:
        serving, run.serving = run.serving, None
        serving.stop()


def alive(run: Run) -> bool:
    """Does the server live that was started? What was not started cannot have died."""
    return run.serving is None or run.serving.alive()


def unchanged(run: Run) -> bool:
    """Are the checkpoint's bytes those that were hashed, and was no file written since? Raises CheckpointError."""
    same = checkpoint.touched(run.artifact.checkpoint) == run.touched
    return same and checkpoint.digest(run.artifact.checkpoint) == run.digest


def forget(run: Run) -> None:
    """Delete every cached answer of these bytes: some may be of others."""
    if run.host is not None and run.host.about is not None:
        cache(run.config, run.host.about).forget()


def cache(config: pytest.Config, about: Json) -> Cache:
    """The cached answers of the model that `about` identifies."""
    timed = policy.read(config.rootpath).max_p95_seconds is not None  # seconds must be of this run
    return reply_cache.open_cache(about, fresh=config.getoption("gate_fresh") or timed, run=run_id(config))


def run_id(config: pytest.Config) -> str:
    """What the processes of this run have in common, and no other run."""
    return config.stash.setdefault(RUN_ID, uuid.uuid4().hex)


def handout(run: Run, host: Host) -> str:
    """What xdist's workers are told: the model, the run's folder and name, and what earlier runs have missed."""
    row = {"server": asdict(host.server), "mode": asdict(host.mode), "about": host.about, "folder": str(run.folder)}
    return json.dumps(row | {"run": run_id(run.config), "missed": failed_first.missed(run.config)})


def received(config: pytest.Config, text: str) -> tuple[Host, Path, dict[str, Counter[str]]]:
    """The model; the lock that keeps those who verify from those who ask at once; what earlier runs have missed."""
    row = json.loads(text)
    config.stash[RUN_ID] = row["run"]
    missed = {test: Counter(cases) for test, cases in row["missed"].items()}
    host = Host(Server(**row["server"]), AskMode(**row["mode"]), row["about"])
    return host, Path(row["folder"]) / "asking.lock", missed


def _inspect(run: Run, server: Server | None = None) -> None:
    """Run preflight's checks of files, or those of a server. Raises CheckpointError where one refuses the artifact."""
    if not run.artifact.checkpoint.kind.preflight:
        return
    from gate.preflight.registry import inspect, worst
    from gate.preflight.table import counted, findings

    began, say = time.monotonic(), progress(run.config)
    say("preflight …")
    artifact = replace(run.artifact, server=server) if server else run.artifact
    checks = inspect(artifact, asking=server is not None)
    run.checks += checks
    if worst(checks) == "refuse":
        raise CheckpointError("preflight refuses it:\n\n" + lines("\n\n".join(findings(checks))))
    if server is None:
        say(f"preflight: {counted(checks)}; {time.monotonic() - began:.1f} s")


def _start_and_probe(run: Run) -> Server:
    """Start the server, run preflight's checks of it, and see whether its answers are deterministic."""
    server = start(run)
    _inspect(run, server)
    run.probe = determinism.probe(server, timeout=run.config.getoption("gate_timeout"))
    return server


def _mode(run: Run, server: Server) -> AskMode:
    option = run.config.getoption
    concurrency = option("gate_concurrency") or max(server.at_once, _processes(run))
    return batch_invariance.ask_mode(server, run.probe, sequential=option("gate_sequential"), concurrency=concurrency)


def _start(run: Run) -> Start:
    option = run.config.getoption
    slots = option("gate_concurrency") or (_processes(run) if _processes(run) > 1 else _runtime(run).at_once)
    return Start(
        folder=run.folder,
        timeout=option("gate_start_timeout"),
        context=option("gate_context"),
        parallel=1 if option("gate_sequential") else slots,
        say=progress(run.config),
    )


def _runtime(run: Run) -> Runtime:
    return runtime.for_kind(run.artifact.checkpoint.kind)


def _processes(run: Run) -> int:
    """How many processes ask."""
    return max(1, pytest_internals.workers(run.config))


def _about(run: Run) -> Json | None:
    """What identifies the answers of this checkpoint; None where its bytes are not known."""
    kind = run.artifact.checkpoint.kind
    if not kind.verified:
        return None
    return {
        "digest": run.digest,
        "kind": kind.name,
        "runtime": _runtime(run).versions(),
        "machine": asdict(platform.hardware()),
        "environment": platform.chosen(),
        "context": run.config.getoption("gate_context"),
        "gate": gate.__version__,
    }


def _facts(run: Run, about: Json) -> Json | None:
    """What was seen of the checkpoint and its server when it was served last; None where preflight must look again."""
    if not _usual(run):
        return None
    known = cache(run.config, about)
    found: Json | None = known.get(_conditions(run))
    known.close()
    return found


def _keep_facts(run: Run, server: Server, about: Json | None) -> None:
    if about is not None and run.probe.equal is not None and _usual(run):
        facts = {
            "server": asdict(replace(server, key="", url="http://127.0.0.1:9/v1")),
            "probe": asdict(run.probe),
            "checks": [asdict(check) for check in run.checks],
        }
        known = cache(run.config, about)
        known.put(_conditions(run), facts)
        known.close()


def _usual(run: Run) -> bool:
    """Does preflight read the checkpoint and the fixtures alone, and is it asked as it is without an option?"""
    given = any(run.config.getoption(name) for name in ("gate_train", "gate_against", "gate_sequential"))
    return not given and run.artifact.base == run.artifact.checkpoint.base


def _conditions(run: Run) -> Json:
    """What preflight reads beside the checkpoint, how the server is started, and what the determinism probe asks."""
    fixtures = run.config.rootpath / run.config.getini("gate_fixtures")
    paths = sorted(path for path in fixtures.rglob("*") if path.is_file())
    seen = {str(path.relative_to(fixtures)): hashing.sha256(path) for path in paths}
    return {"seen": seen, "slots": _start(run).parallel, "probe": [determinism.PROMPTS, determinism.TOKENS]}
