"""The replies of earlier runs, in one file that runs and xdist's workers share.

The key of a reply is made of the sha256 of the checkpoint's bytes, the runtime's versions, the machine, and the whole
request, sampling parameters included. Replies to sealed cases are never cached.
"""

from __future__ import annotations

import os
from pathlib import Path

from gate.system import platform
from gate.system.cache import Cache


def open_cache(about: object, *, fresh: bool, run: str) -> Cache:
    """Open the cache for one checkpoint on one runtime.

    `about`: JSON that identifies both. `fresh`: write replies, but return none of an earlier run. `run`: an id that
    all processes of a run share.
    """
    return Cache(path(), about, fresh=fresh, run=run)


def path() -> Path:
    """The cache's file; the environment variable GATE_REPLIES overrides it."""
    chosen = os.environ.get("GATE_REPLIES")
    return Path(chosen).expanduser().absolute() if chosen else platform.cache_folder() / "replies.sqlite"
