"""Children that fork instead of starting Python: hundreds of tests run pytest, which imports for a second and more.

`Popen` is subprocess.Popen, except that it forks where it can: a server, one a test process, has imported what the
children need; for each command it forks, and the fork becomes that command, with its arguments, environment, folder,
streams, session and exit status. So do xdist's workers and the scripted server of such a run. What differs from a new
interpreter: modules are there already, and the seed of hash() is the server's. Where a fork cannot be what was asked
for (other options of Python, a PYTHON… variable that is read at its start), a process is started as ever.

On macOS, whose frameworks do not survive a fork, and with GATE_TEST_FORK=0, all of them are.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

ADDRESS = "GATE_TEST_FORKSERVER"
"""The variable with the path of the server's socket: children of children are forked too."""
ACROSS = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
"""Variables of Python that a fork can follow."""
SCRIPTED = "gate.models.serving.scripted_rules"
PRELOADED = (
    *("execnet.gateway", "xdist.remote", "xdist.dsession", "xdist.workermanage", "xdist.looponfail", "xdist.newhooks"),
    *("scipy.optimize", "scipy.special", "email.parser", "pdb", SCRIPTED),
)
SUPERVISOR = ("-I", "-S")
"""How gate.models.serving starts its supervisor, of which the scripted server is a child."""
Job = dict[str, Any]

_started: dict[str, str] = {}
"""The variables of Python with which the server was started."""
_supervising = False
"""Is this process a supervisor, whose child must be its own?"""


class Popen(subprocess.Popen[Any]):
    """A process, forked where that can be."""

    _server: socket.socket | None = None

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, *rest: Any) -> None:
        _, pass_fds, cwd, env, _, _, shell, *more = rest
        pipes, session = more[:6], more[11]
        environment = dict(os.environ if env is None else env)
        streams = [number if each == -1 else each for number, each in enumerate((pipes[0], pipes[3], pipes[5]))]
        options = [] if shell or executable or pass_fds else _options(args, environment)
        if not options or bool(preexec_fn) != _supervising:
            super()._execute_child(args, executable, preexec_fn, *rest)
            return
        job = {"options": options, "environment": environment, "folder": str(cwd or os.getcwd()), "session": session}
        if _supervising:
            self.pid = os.fork()
            if not self.pid:
                preexec_fn()
                _adopt(streams)
                _be(job)
        else:
            self._server, self.pid = _ask(job, streams)
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _wait(self, timeout: float | None) -> int:
        if self._server is None:
            return super()._wait(timeout)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            self._server.settimeout(timeout)
            try:
                self.returncode = _number(self._server)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            self._server.close()
        return self.returncode

    def _internal_poll(self, *arguments: Any, **named: Any) -> int | None:
        if self._server is None:
            return super()._internal_poll(*arguments, **named)  # type: ignore[misc, no-any-return]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._wait(0.0)
        return self.returncode


@contextlib.contextmanager
def running() -> Iterator[None]:
    """A server for this process and what it starts."""
    if sys.platform == "darwin" or os.environ.get("GATE_TEST_FORK") == "0":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="gate-fork-") as folder:
        _started.update(_of_python(os.environ))
        path = os.path.join(folder, "socket")
        quiet = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # a process with threads cannot fork safely
        command = [sys.executable, "-P", __file__, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=quiet) as server:
            server.stdout.readline()  # type: ignore[union-attr] - until it listens
            os.environ[ADDRESS] = path
            yield
            del os.environ[ADDRESS]


def main() -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[1])
    listening.listen(64)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _started.update(_of_python(os.environ))
    _preload()
    subprocess.Popen = Popen  # type: ignore[misc]
    gc.collect()
    gc.freeze()
    print("listening", flush=True)
    _serve(listening)


def _options(command: Sequence[Any], environment: Mapping[str, str]) -> list[str]:
    """What stands after `python` in a command that can be forked; else nothing."""
    if ADDRESS not in os.environ or isinstance(command, str) or os.fspath(command[0]) != sys.executable:
        return []
    options = [os.fspath(each) for each in command[1:]]
    if _supervising:
        forkable = options[:3] == ["-P", "-m", SCRIPTED]
    else:
        forkable = options[0][:2] == "-m" or options[:2] == ["-u", "-c"] or tuple(options[:2]) == SUPERVISOR
    return options if forkable and _of_python(environment) == _started else []


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("PYTHON") and name not in ACROSS}


def _ask(job: Job, streams: Sequence[int]) -> tuple[socket.socket, int]:
    """Let the server fork; the connection on which it says how that ends, and the process id."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(os.environ[ADDRESS])
    data = json.dumps(job).encode()
    socket.send_fds(server, [len(data).to_bytes(4, "big")], list(streams))
    server.sendall(data)
    return server, _number(server)


def _number(connection: socket.socket) -> int:
    return int.from_bytes(_exactly(connection, 4), "big", signed=True)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the fork server has ended")
        data += part
    return data


def _serve(listening: socket.socket) -> None:
    """Fork for each request, until the test process is no more."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    selector = selectors.DefaultSelector()
    for each in (listening, reading, 0):
        selector.register(each, selectors.EVENT_READ)
    waiting: dict[int, socket.socket] = {}
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if reading in ready:
            os.read(reading, 4096)
            _reap(waiting)
        if listening.fileno() in ready:
            asking, _ = listening.accept()
            head, streams, _, _ = socket.recv_fds(asking, 4, 3)
            job = json.loads(_exactly(asking, int.from_bytes(head, "big")))
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                _adopt(streams)
                os.closerange(3, max(streams) + 1)
                _be(job)
            for each in streams:
                os.close(each)
            asking.sendall(child.to_bytes(4, "big"))
            waiting[child] = asking
        if 0 in ready and not os.read(0, 4096):
            return


def _reap(waiting: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while child := (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with waiting.pop(child) as asking, contextlib.suppress(OSError):
                asking.sendall(os.waitstatus_to_exitcode(ended[1]).to_bytes(4, "big", signed=True))


def _preload() -> None:
    """Import what a run of pytest with the gate does, and for xdist's sake what such a run has seen."""
    import openai
    from _pytest.assertion.rewrite import AssertionRewritingHook
    from _pytest.config import default_plugins

    import gate.plugin

    for module in (*PRELOADED, *(f"_pytest.{name}" for name in default_plugins)):
        importlib.import_module(module)
    for each in pkgutil.iter_modules(gate.plugin.__path__, "gate.plugin."):
        importlib.import_module(each.name)
    with openai.OpenAI(base_url="http://127.0.0.1:9", api_key="none") as client:
        client.chat.completions  # noqa: B018 - openai imports the most of it here
    AssertionRewritingHook._warn_already_imported = lambda *_: None  # type: ignore[assignment] - gate has no assert


def _adopt(streams: Sequence[int]) -> None:
    """Make the streams those of this process."""
    copies = [os.dup(each) for each in streams]
    for number, each in enumerate(copies):
        os.dup2(each, number)
        os.close(each)


def _be(job: Job) -> None:
    """Be the command, to its end."""
    global _supervising
    if job["session"]:
        os.setsid()
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    run: Callable[[], object]
    options = job["options"]
    path = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    if _supervising := tuple(options[:2]) == SUPERVISOR:
        sys.argv = options[2:]
        run = lambda: runpy.run_path(sys.argv[0], run_name="__main__")  # noqa: E731
    elif options[0] == "-u":
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
        sys.argv, sys.path[:0] = ["-c", *options[3:]], ["", *path]
        run = lambda: exec(options[2], {"__name__": "__main__"})  # noqa: E731
    else:
        safe = options[0] == "-P"
        rest = options[1:] if safe else options
        name, arguments = (rest[1], rest[2:]) if rest[0] == "-m" else (rest[0][2:], rest[1:])
        sys.argv, sys.path[:0] = ["-m", *arguments], [*([] if safe else [os.getcwd()]), *path]
        run = lambda: runpy.run_module(name, run_name="__main__", alter_sys=True)  # noqa: E731
    sys.modules["xdist.plugin"]._sys_path[:] = sys.path  # what its workers get
    _end(_status(run))


def _status(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - a traceback and status 1, as of an interpreter
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> None:
    """End as an interpreter does, but without taking every module apart."""
    threading._shutdown()  # type: ignore[attr-defined] - joins the threads that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
