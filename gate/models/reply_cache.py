"""What a checkpoint has answered before, shared by runs and by xdist's workers.

A reply is known by the sha256 of the checkpoint's bytes, the runtime's versions, the machine, and all that was asked,
sampling parameters included. Nothing is kept of sealed cases.
"""

from __future__ import annotations

import os
from pathlib import Path

from gate.system import platform
from gate.system.cache import Cache


def opened(about: object, *, fresh: bool, run: str) -> Cache:
    """The replies of one checkpoint on one runtime, which `about` describes in JSON.

    `fresh`: replies are kept, and earlier ones not given. `run`: what the processes of one run have in common.
    """
    return Cache(place(), about, fresh=fresh, run=run)


def place() -> Path:
    """The cache's file; the environment variable GATE_REPLIES names another one."""
    chosen = os.environ.get("GATE_REPLIES")
    return Path(chosen).expanduser().absolute() if chosen else platform.cache_folder() / "replies.sqlite"
