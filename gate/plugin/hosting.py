"""Who answers: the served model, or, as long as nothing new is asked, what is known of it from earlier runs."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import pytest

import gate
from gate.checkpoints import checkpoint
from gate.errors import CheckpointError
from gate.models import batch_invariance, determinism, reply_cache, runtime
from gate.models.batch_invariance import Way
from gate.models.runtime import Runtime, Serving, Start
from gate.models.session import Host
from gate.plugin import failed_first
from gate.plugin.preflight import Preflight
from gate.plugin.progress import progress
from gate.system import hashing, platform
from gate.system.cache import Cache
from gate.types import Check, Determinism, Graded, Json, Server

RUN = pytest.StashKey[str]()
"""By what the answers of this run are told from those of earlier ones, which promotion may refuse."""


class Hosting:
    """The model of one run, from its files to the end of its server."""

    def __init__(self, config: pytest.Config, folder: Callable[[], Path], preflight: Preflight) -> None:
        self._config, self._folder, self._preflight = config, folder, preflight
        self._checkpoint = preflight.artifact.checkpoint
        self._serving: Serving | None = None
        self.host: Host | None = None
        self.digest = ""
        self._touched: tuple[str, ...] = ()
        self.canary = determinism.NOT_MADE

    @property
    def server(self) -> Server | None:
        """The server that runs; None where nothing is served."""
        return self._serving.server if self._serving is not None else None

    @property
    def _runtime(self) -> Runtime:
        return runtime.serving(self._checkpoint.kind)

    def open(self, *, lazily: bool) -> Host:
        """How to ask it. With `lazily` it is served only when something new is asked, where its server is known.

        Raises GateError or OSError when it cannot be graded or served.
        """
        self._touched = checkpoint.touched(self._checkpoint)
        self.digest = checkpoint.digest(self._checkpoint)
        about = self._about()
        facts = self._facts(about) if about is not None and lazily else None
        if facts is None:
            self._preflight.look()
            server = self.serve()
            if checkpoint.touched(self._checkpoint) != self._touched:
                raise CheckpointError("the checkpoint's files changed while it was loaded: grade it again")
            self.host = Host(server, self._way(), about)
            self._keep(about)
        else:
            self._preflight.checks = msgspec.convert(facts["checks"], tuple[Check, ...])
            self.canary, server = msgspec.convert(facts["canary"], Determinism), Server(**facts["server"])
            self.host = Host(server, self._way(server), about, self.start)
        return self.host

    def serve(self) -> Server:
        """Start the server for the first time: look what preflight says of it, and how constant its answers are."""
        server = self.start()
        self._preflight.look(server)
        self.canary = determinism.probe(server, timeout=self._config.getoption("gate_timeout"))
        return server

    def start(self) -> Server:
        """The server, started where it does not run yet."""
        if self._serving is not None:
            return self._serving.server
        self._serving = self._runtime.start(self._checkpoint, self._start())
        return self._serving.server

    def stop(self) -> None:
        """End the server. Safe to call twice."""
        if self._serving is not None:
            serving, self._serving = self._serving, None
            serving.stop()

    def alive(self) -> bool:
        """Does the server live that was started? What was not started cannot have died."""
        return self._serving is None or self._serving.alive()

    def unchanged(self) -> bool:
        """Are the checkpoint's bytes those that were hashed, and was no file written since? Raises CheckpointError."""
        same = checkpoint.touched(self._checkpoint) == self._touched
        return same and checkpoint.digest(self._checkpoint) == self.digest

    def forget(self) -> None:
        """Remember no answer of these bytes: some may be of others."""
        if self.host is not None and self.host.about is not None:
            known(self._config, self.host.about).forget()

    def described_by(self) -> Graded:
        """What a report says of the checkpoint."""
        if self.host is None:
            raise CheckpointError("nothing was served")
        return checkpoint.described(self._checkpoint, self.host.server, digest=self.digest)

    def _way(self, server: Server | None = None) -> Way:
        option = self._config.getoption
        server = server or self.server
        if server is None:
            raise CheckpointError("nothing was served")
        at_once = option("gate_ahead") or max(server.at_once, processes(self._config))
        return batch_invariance.way(server, self.canary, alone=option("gate_alone"), at_once=at_once)

    def _start(self) -> Start:
        option = self._config.getoption
        several = processes(self._config)
        slots = option("gate_ahead") or (several if several > 1 else self._runtime.at_once)
        return Start(
            folder=self._folder(),
            timeout=option("gate_start_timeout"),
            context=option("gate_context"),
            parallel=1 if option("gate_alone") else slots,
            say=progress(self._config),
        )

    def _about(self) -> Json | None:
        """By what the answers of this checkpoint are known again; None where its bytes are not known."""
        kind = self._checkpoint.kind
        if not kind.verified:
            return None
        made: Json = {"digest": self.digest, "kind": kind.name, "runtime": self._runtime.versions()}
        return made | {
            "machine": asdict(platform.hardware()),
            "environment": platform.chosen(),
            "context": self._config.getoption("gate_context"),
            "gate": gate.__version__,
        }

    def _facts(self, about: Json) -> Json | None:
        """What was seen of it and its server when it was served last; None where preflight must look anew."""
        if not self._usual():
            return None
        store = known(self._config, about)
        found: Json | None = store.get(self._seen())
        store.close()
        return found

    def _keep(self, about: Json | None) -> None:
        seen = self.canary is not determinism.NOT_MADE and self.canary.equal is not None
        if about is not None and self.server is not None and seen and self._usual():
            server = asdict(replace(self.server, key="", url="http://127.0.0.1:9/v1"))
            checks = [asdict(check) for check in self._preflight.checks]
            store = known(self._config, about)
            store.put(self._seen(), {"server": server, "canary": asdict(self.canary), "checks": checks})
            store.close()

    def _usual(self) -> bool:
        """Does preflight read the checkpoint and the fixtures alone, and is it asked as it is without an option?"""
        artifact = self._preflight.artifact
        given = any(self._config.getoption(name) for name in ("gate_train", "gate_against", "gate_alone"))
        return not given and artifact.base == artifact.checkpoint.base

    def _seen(self) -> Json:
        """What preflight reads beside the checkpoint, how the server is started, and what the canary asks."""
        fixtures = self._config.rootpath / self._config.getini("gate_fixtures")
        paths = sorted(path for path in fixtures.rglob("*") if path.is_file())
        seen = {str(path.relative_to(fixtures)): hashing.sha256(path) for path in paths}
        return {"seen": seen, "slots": self._start().parallel, "canary": [determinism.PROMPTS, determinism.TOKENS]}


def processes(config: pytest.Config) -> int:
    """How many processes ask."""
    return max(1, len(config.getoption("tx", None) or []))


def known(config: pytest.Config, about: Json) -> Cache:
    """The store of answers of what is known by `about`."""
    return reply_cache.opened(about, fresh=config.getoption("gate_fresh"), run=run(config))


def run(config: pytest.Config) -> str:
    """What the processes of this run have in common, and no other run."""
    worker = getattr(config, "workerinput", {})
    return config.stash.setdefault(RUN, worker.get("gate_run") or uuid.uuid4().hex)


def given(host: Host, folder: Path) -> str:
    """What xdist's workers are told of the model, and of the run's folder."""
    row = {"server": asdict(host.server), "way": asdict(host.way), "about": host.about, "folder": str(folder)}
    return json.dumps(row)


def before(config: pytest.Config) -> dict[str, Counter[str]]:
    """With --gate-fail-fast: what earlier runs have missed."""
    if not config.getoption("gate_fail_fast"):
        return {}
    return failed_first.missed(config.invocation_params.dir / Path(config.getoption("gate_runs")))


def received(text: str) -> tuple[Host, Path]:
    """The model, and the lock that keeps those who ask alone from those who ask at once."""
    row = json.loads(text)
    return Host(Server(**row["server"]), Way(**row["way"]), row["about"]), Path(row["folder"]) / "asking.lock"
