"""Kill a process at every instant at which it changes the disk: `python -m tests.killing MODULE FOLDER`.

MODULE has `life(folder)`, which yields the hash of each line that it was told is recorded, and `mend(folder)`, which
is what the next process does. State n is what a kill at the nth instant of `life` leaves; state n-m what a second kill,
at the mth instant of `mend`, leaves of that. The last state of each is that of a process which was not killed.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

CALLS = ("open", "ftruncate", "replace", "unlink", "mkdir")


def arm(nth: int) -> None:
    """Let this process be killed between the halves of a write, or after a call that changes the disk: at the nth."""
    instants = count(1)
    write = os.write

    def tick() -> None:
        if next(instants) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            value = call(*arguments, **named)
            tick()
            return value

        return run

    def in_halves(handle: int, data: bytes) -> int:
        done = write(handle, data[: len(data) // 2])
        tick()
        done += write(handle, data[done:])
        tick()
        return done

    for name in CALLS:
        setattr(os, name, around(getattr(os, name)))
    os.write = in_halves  # type: ignore[assignment]
    os.fsync = around(lambda _: None)  # type: ignore[assignment]


def killed(work: Callable[[Path], Iterable[str]], folder: Path, nth: int) -> bool:
    """Do the work in a child that is killed at the nth instant; False when it ended before that."""
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write = os.write
    child = os.fork()
    if not child:
        arm(nth)
        for line in work(folder):
            write(told, line.encode() + b"\n")
        os._exit(0)
    os.close(told)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise SystemExit(f"{folder}: the child ended with {status}")
    return status != 0


def main(module: str, folder: Path) -> None:
    scenario = importlib.import_module(module)
    for nth in count(1):
        state = folder / str(nth)
        state.mkdir(parents=True)
        on = killed(scenario.life, state, nth)
        for mth in count(1):
            second = folder / f"{nth}-{mth}"
            shutil.copytree(state, second)
            if not killed(scenario.mend, second, mth):
                break
        if not on:
            break


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
