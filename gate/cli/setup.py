"""`gate doctor` lists what this machine can serve; `gate fetch` fetches a demo model."""

from __future__ import annotations

import argparse
import platform
from typing import Any

from tabulate import tabulate

from gate import __version__
from gate.checkpoints import demo
from gate.errors import GateError
from gate.models.serving.process import versions
from gate.system import platform as machine

PACKAGES = ("mlx", "mlx-lm", "transformers", "openai", "pytest", "pytest-xdist")


def add_parsers(commands: Any) -> None:
    """Add `doctor` and `fetch` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "doctor",
        help="list what this machine can serve and train, and what is missing",
        description="List what is installed, which checkpoints can be served here, and what to install for the others.",
        epilog="example:\n  gate doctor\n\nexit status 1: nothing can be served here",
    )
    parser.set_defaults(run=_doctor)
    parser = commands.add_parser(
        "fetch",
        help="fetch a demo model into the user's cache folder",
        description="Fetch a model, check its digest, and print the paths of its MLX folder and its GGUF file.",
        epilog="example:\n  gate fetch smollm2 && pytest --model smollm2 suites/smoke",
    )
    parser.add_argument("name", choices=["smollm2"], help="smollm2: SmolLM2-135M-Instruct, 93 MB to fetch, Apache-2.0")
    parser.set_defaults(run=_fetch)


def examine() -> tuple[str, bool]:
    """A table of software and hardware, and whether any checkpoint can be served here."""
    mlx, mlx_works = _mlx()
    llama, llama_works = _llama()
    hardware = machine.hardware()
    rows = [
        ("pytest-gate", __version__, ""),
        ("python", platform.python_version(), ""),
        ("machine", f"{hardware.platform} {hardware.machine}", hardware.processor),
        ("memory", f"{hardware.memory / 2**30:.0f} GiB", f"{hardware.cores} cores"),
        *((name, version or "missing", "") for name, version in versions(*PACKAGES).items()),
        ("MLX device", *mlx),
        ("BLAS for MLX", *_blas()),
        ("llama-server", *llama),
        ("serve and train MLX", "yes" if mlx_works else "no", ""),
        ("serve GGUF", "yes" if llama_works else "no", ""),
    ]
    return tabulate(rows, ("what", "found", "note"), disable_numparse=True), mlx_works or llama_works


def _doctor(_: argparse.Namespace) -> int:
    table, able = examine()
    print(table)
    return 0 if able else 1


def _fetch(_: argparse.Namespace) -> int:
    for path in demo.fetch(progress=True):
        print(path)
    return 0


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
