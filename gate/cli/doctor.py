"""What this machine can serve and train, and the command that mends what is missing."""

from __future__ import annotations

import platform

from tabulate import tabulate

from gate import __version__
from gate.errors import GateError
from gate.models.serving.process import versions
from gate.system import platform as machine


def examine() -> tuple[str, bool]:
    """A table of what was found, and whether anything can be served here at all."""
    mlx, mlx_works = _mlx()
    llama, llama_works = _llama()
    hardware = machine.hardware()
    rows = [
        ("pytest-gate", __version__, ""),
        ("python", platform.python_version(), ""),
        ("machine", f"{hardware.platform} {hardware.machine}", hardware.processor),
        ("memory", f"{hardware.memory / 2**30:.0f} GiB", f"{hardware.cores} cores"),
        *((name, version or "missing", "") for name, version in _versions().items()),
        ("MLX device", *mlx),
        ("BLAS for MLX", *_blas()),
        ("llama-server", *llama),
        ("serve and train MLX", "yes" if mlx_works else "no", ""),
        ("serve GGUF", "yes" if llama_works else "no", ""),
    ]
    return tabulate(rows, ("what", "found", "note"), disable_numparse=True), mlx_works or llama_works


def _versions() -> dict[str, str | None]:
    return versions("mlx", "mlx-lm", "transformers", "openai", "pytest", "pytest-xdist")


def _mlx() -> tuple[tuple[str, str], bool]:
    try:
        return (machine.mlx_device(), ""), True
    except GateError as error:
        return ("does not work", str(error)[:200]), False


def _llama() -> tuple[tuple[str, str], bool]:
    path = machine.find_llama_server()
    if path is None:
        return ("missing", "brew install llama.cpp, or pip install 'pytest-gate[gguf]'"), False
    try:
        return (machine.llama_build(path), str(path)), True
    except GateError as error:
        return ("does not run", str(error)[:200]), False


def _blas() -> tuple[str, str]:
    if remedy := machine.blas_remedy():
        return "missing", remedy
    library = machine.blas()
    return ("found", str(library)) if library else ("not needed", "MLX computes with Metal")
