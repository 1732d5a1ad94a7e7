"""A runtime: one module of serving/ that says which kinds of checkpoint it serves and how it is asked.

The gate's own are modules of gate.models.serving. A plugin declares a `Runtime` in a module of its own and names it in
the entry-point group `gate.runtimes`; `pytest --model` and every command of the gate then know it and its kinds:

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
"""The gate's own runtimes; each module has a RUNTIME."""
UNKNOWN = "unknown"
"""The name of a runtime of which nothing is known but that it speaks the OpenAI API."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a runtime is told about the run."""

    folder: Path
    """The run's folder; logs go here."""
    timeout: float
    """Seconds until the server must have answered."""
    context: int
    """Tokens of context a request may use (llama.cpp reserves them)."""
    parallel: int
    """Requests that come at once."""
    say: Say
    """Tell the person what is going on; called again and again while waiting."""
    key: str = "GATE_API_KEY"
    """The environment variable with the key of a URL: a judge's is another than the candidate's."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A model that answers, and how to end it."""

    server: Server
    stop: Callable[[], None]
    alive: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class RawView:
    """How a served model is asked raw: without the server's parser and grammar (gate.models.raw_completion)."""

    render: Callable[[Client, Path | None, list[Json]], list[Json]]
    """The prompts of chat requests: {"prompt": text} or {"problem": why} for each. The folder has the tokenizer."""
    ask: Callable[[Client, Raw, bool], tuple[Raw, list[int]]]
    """The answer to a prompt, and its tokens where `decode` makes the text; true: by itself, not in a batch."""
    decode: Callable[[Path, list[list[int]]], list[str]] | None = None
    """The texts of answers that came as tokens, all together; None where the server writes text."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Software that serves checkpoints."""

    name: str
    """As it stands in reports; only results of the same runtime are compared."""
    kinds: tuple[Kind, ...]
    """The kinds of checkpoint that it serves; no other runtime serves them."""
    start: Callable[[Checkpoint, Start], Serving]
    """Serve a checkpoint: the server has answered when this returns. Raises ServeError."""
    versions: Callable[[], Json]
    """Software by version, None for what is missing: what, beside the checkpoint's bytes, makes its answers. While it
    is the same, earlier answers are used again. Raises ServeError where the runtime itself is missing."""
    raw: RawView | None = None
    """None where the server does not tell the prompts that it renders: then no miss is attributed to a stage."""
    at_once: int = 1
    """Requests that it decodes together, where the user does not say otherwise."""
    constrained: bool = True
    """May it decode tool calls under a grammar?"""
    seeded_sequential: bool = False
    """Is a request with a seed computed by itself, and one without in a batch?"""
    counts_cached: bool = False
    """Does its usage count the prompt's tokens that were in the cache?"""
    any_of_best: bool = False
    """With log-probabilities, may it name any of the best tokens as the one that it generated?"""
    closing: str = ""
    """What the model did wrong when the server closes a connection and lives on; empty where that is no answer."""


def named(name: str) -> Runtime:
    """The runtime of this name; the unknown one where none has it."""
    found = {runtime.name: runtime for runtime in runtimes()}
    return found.get(name) or found[UNKNOWN]


def serving(kind: Kind) -> Runtime:
    """The runtime that serves a kind of checkpoint. Raises ServeError."""
    for runtime in runtimes():
        if kind in runtime.kinds:
            return runtime
    raise ServeError(f"no runtime serves a checkpoint of kind {kind}")


@cache
def runtimes() -> tuple[Runtime, ...]:
    """The gate's runtimes, then those of plugins. Raises ServeError where two have one name."""
    own = [import_module(f"gate.models.serving.{name}").RUNTIME for name in MODULES]
    found = {runtime.name: runtime for runtime in own}
    for plugin in kinds.plugins():
        if not isinstance(plugin, Runtime):
            raise ServeError(f"the entry-point group {kinds.GROUP} names {plugin!r}, which is no Runtime")
        if plugin.name in found:
            raise ServeError(f"two installed runtimes are named {plugin.name}: uninstall one of them")
        found[plugin.name] = plugin
    return tuple(found.values())


def unseeded(sampling: Json) -> Json:
    """Sampling parameters without the seed."""
    return {name: value for name, value in sampling.items() if name != "seed"}
