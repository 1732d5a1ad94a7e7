"""Run a command that dies with the process that started this one. Run by path; imports nothing of gate.

    python supervisor.py COMMAND…

The parent holds the writing end of this process's standard input. When the parent ends, however it ends, that
pipe closes, and the whole process group goes: first asked (SIGTERM), then made (SIGKILL). This works on Linux
and macOS alike, where prctl(PR_SET_PDEATHSIG) is Linux only.
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
"""Seconds between asking and killing."""


def main() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_restore)
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    return child.wait()


def _restore() -> None:
    """An ignored signal stays ignored across exec: give the child the defaults back."""
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
