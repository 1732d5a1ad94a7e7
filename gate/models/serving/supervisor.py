"""Runs a command that ends when the parent of this process does. Run by path; imports nothing of gate.

    python supervisor.py COMMAND…

The parent holds the writing end of this process's standard input. When the parent ends, however it ends, that pipe
closes, and this process ends its process group: first with SIGTERM, then with SIGKILL. This works on Linux and macOS;
prctl(PR_SET_PDEATHSIG) is Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


def main() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_restore)
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    return child.wait()


def _restore() -> None:
    """Restore the child's default handlers: an ignored signal stays ignored across exec."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _watch(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
