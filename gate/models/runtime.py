"""The registry of runtimes: the software that serves checkpoints.

The gate's own runtimes are modules of gate.models.serving. A plugin declares a `Runtime` in a module of its own and
names it in the entry-point group `gate.runtimes`; `pytest --model` and every command of the gate then accept its kinds:

    [project.entry-points."gate.runtimes"]
    toy = "toy:RUNTIME"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gate.checkpoints import kinds
from gate.errors import ServeError
from gate.types import Checkpoint, Json, Kind, Raw, Say, Server

if TYPE_CHECKING:
    from gate.models.client import Client

MODULES = ("llama_cpp", "mlx", "openai_url", "scripted")
"""The gate's own runtimes; each module defines RUNTIME."""
UNKNOWN = "unknown"
"""The name of the runtime of any other server with the OpenAI API."""


@dataclass(frozen=True, slots=True)
class Start:
    """The settings of a run with which a runtime starts its server."""

    folder: Path
    """The run's folder, for logs."""
    timeout: float
    """Most seconds until the server's first answer."""
    context: int
    """Tokens of context a request may use (llama.cpp reserves them)."""
    parallel: int
    """Requests that will be sent at once."""
    say: Say
    """Shows progress; called repeatedly while the server starts."""
    key: str = "GATE_API_KEY"
    """The environment variable with a URL's API key; a judge has another one than the candidate."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server, and how to stop it."""

    server: Server
    stop: Callable[[], None]
    alive: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class RawView:
    """How to get raw completions: without the server's parser and grammar (gate.models.raw_completion)."""

    render: Callable[[Client, Path | None, list[Json]], list[Json]]
    """Renders the prompts of chat requests: {"prompt": text} or {"problem": why} for each. The folder holds the
    checkpoint's tokenizer; None behind a URL."""
    ask: Callable[[Client, Raw, bool], tuple[Raw, list[int]]]
    """Completes a prompt: the answer, and its token ids where `decode` makes the text. The flag: outside of a batch."""
    decode: Callable[[Path, list[list[int]]], list[str]] | None = None
    """Decodes the token ids of all answers with the tokenizer in a folder; None where the server returns text."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Software that serves checkpoints."""

    name: str
    """Its name in reports; only results of the same runtime are compared."""
    kinds: tuple[Kind, ...]
    """The kinds of checkpoint that it serves; each kind has one runtime."""
    start: Callable[[Checkpoint, Start], Serving]
    """Starts a server, and returns after its first answer. Raises ServeError."""
    versions: Callable[[], Json]
    """The version of each package that affects its answers, None for a missing one. A new version invalidates cached
    replies. Raises ServeError where the runtime itself is missing."""
    raw: RawView | None = None
    """None where the server does not reveal the prompts that it renders: then no miss is attributed to a stage."""
    at_once: int = 1
    """Requests that it decodes together by default."""
    constrained: bool = True
    """May it decode tool calls under a grammar?"""
    seeded_sequential: bool = False
    """Does it compute a request with a seed by itself, and batch one without?"""
    counts_cached: bool = False
    """Does its usage count the prompt's tokens that were in the cache?"""
    any_of_best: bool = False
    """With log-probabilities, may it report any of the most likely tokens as the generated one?"""
    closing: str = ""
    """The model's error that makes a healthy server close the connection; empty where there is no such error."""


def by_name(name: str) -> Runtime:
    """The runtime of this name; the unknown one where there is none."""
    registered = {runtime.name: runtime for runtime in runtimes()}
    return registered.get(name) or registered[UNKNOWN]


def for_kind(kind: Kind) -> Runtime:
    """The runtime that serves a kind of checkpoint. Raises ServeError where there is none."""
    for runtime in runtimes():
        if kind in runtime.kinds:
            return runtime
    raise ServeError(f"no runtime serves a checkpoint of kind {kind}")


@cache
def runtimes() -> tuple[Runtime, ...]:
    """The gate's runtimes, then those of plugins. Raises ServeError where two have the same name."""
    own = [import_module(f"gate.models.serving.{name}").RUNTIME for name in MODULES]
    registered = {runtime.name: runtime for runtime in own}
    for plugin in kinds.plugins():
        if not isinstance(plugin, Runtime):
            raise ServeError(f"the entry-point group {kinds.GROUP} names {plugin!r}, which is not a Runtime")
        if plugin.name in registered:
            raise ServeError(f"two installed runtimes are named {plugin.name}: uninstall one of them")
        registered[plugin.name] = plugin
    return tuple(registered.values())


def unseeded(sampling: Json) -> Json:
    """Sampling parameters without the seed."""
    return {name: value for name, value in sampling.items() if name != "seed"}
