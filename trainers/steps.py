"""`gate train RECIPE`: runs every step from rows to a promoted checkpoint, each one printed command and one folder.

A step's marker is written last; a finished step is not run again unless its command or a file that it reads has
changed. The gate cannot be bypassed: the last step is `gate promote`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gate.checkpoints import checkpoint
from gate.errors import GateError
from gate.models.serving import supervisor
from gate.system import jsonl, platform
from gate.system.hashing import sha256
from gate.types import HELD_OUT
from trainers import advice, fit
from trainers import recipe as recipes
from trainers.cli import exit_status
from trainers.prepare.tool_repair import fixtures
from trainers.recipe import Recipe
from trainers.sft import folder_of

MARKER = ".done.json"
"""Hidden, so that it is not a part of the checkpoint in its folder (gate.checkpoints.checkpoint.files)."""
BEGUN = ".begun.json"
"""In the folder of a step that resumes: the fingerprint with which it was started."""
STOPPED = 130
VERDICT = (0, 1)
"""Exit statuses of `gate run` that are a verdict."""


class StepError(GateError):
    """A step failed; the results of the steps before it are kept."""

    status = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One command that fills one folder."""

    name: str
    folder: Path
    command: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    """Files on which it depends, in addition to the steps before it."""
    accept: tuple[int, ...] = (0,)
    resumes: bool = False
    """Does it resume from what an interrupted run of the same step has left?"""
    place: Path = field(default_factory=Path)
    """The folder in which it is run."""


def run(path: Path, *, anyway: str = "") -> int:
    """Run a recipe's steps. Raises GateError.

    `anyway` is the reason to train against advice that refuses; it is recorded.
    """
    recipe = recipes.read(path.resolve())
    base = folder_of(recipe.base)
    steps = list(plan(recipe, base))
    recipe.out.mkdir(parents=True, exist_ok=True)
    before = checkpoint.digest(checkpoint.identify(str(base)))
    for step in steps:
        before = _done(step, before) or _run(step, before)
        if step.name == "prepare":
            _advised(recipe, base, anyway)
    return 0


def show(path: Path) -> int:
    """Print a recipe's steps, its memory, and the advice on it; 1 if something is refused. Raises GateError."""
    recipe = recipes.read(path.resolve())
    base = folder_of(recipe.base)
    for step in plan(recipe, base):
        print(f"{step.name:16} {shlex.join(step.command)}")
    advices = advice.advise(recipe, base)
    print("", fit.planned(recipe, base), advice.table(advices), sep="\n\n")
    return 1 if any(each.level == "refuse" for each in advices) else 0


def plan(recipe: Recipe, base: Path) -> Iterator[Step]:
    """The steps of a recipe, in order."""
    out, project = recipe.out.resolve(), _project(recipe)
    python = platform.PYTHON
    gate = (*python, "-m", "gate")
    if recipe.export.gguf:
        yield Step("exportable", out / "exportable", (*python, "-m", "trainers.export", "--check", str(base)))
    yield Step(
        "prepare",
        out / "data",
        (*python, "-m", "trainers.prepare", str(recipe.path)),
        (recipe.path, *_data(recipe)),
    )
    graded_by = (project / "suites", project / "fixtures")

    def grade(name: str, path: Path) -> Step:
        runs = ("--gate-runs", str(out / "grades" / name), "--gate-registry", str(out / "registry"))
        options = ("--gate-attribution=off",) if name == "base" else ()
        command = (*gate, "run", str(path), "--gate-fresh", *runs, *options)
        return Step(f"grade {name}", out / "grades" / name, command, graded_by, accept=VERDICT, place=project)

    lint = (*gate, "preflight", str(base), "--train", str(out / "data"), "--fixtures", str(project / "fixtures"))
    yield Step("lint", out / "lint", lint)
    yield grade("base", base)
    yield Step("train", out / "train", (*python, "-m", "trainers.sft", str(recipe.path)), resumes=True)
    yield from _formed(recipe, base)
    paths = forms(recipe)
    for name, path in paths.items():
        against: tuple[str, ...] = () if name == "adapter" else ("--base", str(paths["fused"]))
        if name == "fused":
            against = ("--base", str(base), "--against", str(paths["adapter"]))
        yield Step(f"check {name}", out / f"checks/{name}", (*gate, "preflight", str(path), *against))
    if len(paths) > 1:
        hops = [str(path) for path in paths.values()]
        yield Step("parity", out / "checks/parity", (*gate, "parity", *hops, "--prompts", str(recipe.export.prompts)))
    for name, path in paths.items():
        yield grade(name, path)
    yield Step("compare", out / "compare", (*python, "-m", "trainers.steps", "compare", str(recipe.path)))
    if recipe.promote.slot:
        yield Step("promote", out / "promoted", (*python, "-m", "trainers.steps", "promote", str(recipe.path)))


def forms(recipe: Recipe) -> dict[str, Path]:
    """Each form of the trained model, and its path."""
    out = recipe.out.resolve()
    paths = {"adapter": out / "train/adapter"}
    if recipe.export.bits or recipe.export.gguf:
        paths["fused"] = out / "fused"
    paths |= {f"{bits}bit": out / f"{bits}bit" for bits in recipe.export.bits}
    return paths | {f"gguf-{name}": out / f"gguf/model-{name}.gguf" for name in _types(recipe)}


def report_of(recipe: Recipe, form: str) -> Path:
    """The newest report of a form. Raises StepError."""
    reports = sorted((recipe.out / "grades" / form).glob("*/report.json"))
    if not reports:
        raise StepError(f"{form}: was not graded")
    return reports[-1].resolve()


def _formed(recipe: Recipe, base: Path) -> Iterator[Step]:
    """Fuse, quantise, export."""
    out, python, paths = recipe.out.resolve(), platform.PYTHON, forms(recipe)
    if "fused" not in paths:
        return
    mlx_lm = (*python, "-m", "mlx_lm")
    fuse = (*mlx_lm, "fuse", "--model", str(base), "--adapter-path", str(paths["adapter"]), "--save-path")
    yield Step("fuse", out / "fused", (*fuse, str(out / "fused"), "--dequantize"))
    for bits in recipe.export.bits:
        convert = (*mlx_lm, "convert", "--hf-path", str(out / "fused"), "--mlx-path", str(out / f"{bits}bit"), "-q")
        yield Step(f"{bits} bit", out / f"{bits}bit", (*convert, "--q-bits", str(bits)))
    if recipe.export.gguf:
        types = [_policy(recipe, each) for each in recipe.export.gguf]
        command = (*python, "-m", "trainers.export", str(out / "fused"), str(out / "gguf"), *types)
        matrix = ("--rows", str(out / "data/train.jsonl")) if any("Q8" not in each for each in types) else ()
        yield Step("export", out / "gguf", (*command, *matrix))


def _run(step: Step, before: str) -> str:
    """Run a step in a fresh folder, and return its fingerprint. Raises StepError."""
    mark = _fingerprint(step, before)
    if step.folder.exists() and not (step.resumes and _recorded(step.folder / BEGUN) == mark):
        shutil.rmtree(step.folder)
    fills = step.name == "fuse" or step.name.endswith(" bit")  # mlx_lm creates the folder itself
    (step.folder.parent if fills else step.folder).mkdir(parents=True, exist_ok=True)
    if step.resumes:
        jsonl.write_whole(step.folder / BEGUN, json.dumps({"fingerprint": mark}))
    print(f"\n== {step.name}\n$ {shlex.join(step.command)}", flush=True)
    watched = supervisor.__file__
    environment = platform.model_environment(offline=True)
    command = [*platform.PYTHON, watched, *step.command]
    child = subprocess.Popen(command, env=environment, cwd=step.place, stdin=subprocess.PIPE, start_new_session=True)
    status = _waited(child)
    if status == STOPPED:
        raise KeyboardInterrupt
    if status not in step.accept:
        raise StepError(
            f"{step.name}: ended with {status}; the steps before it are kept, the same command resumes here"
        )
    mark = _fingerprint(step, before)  # an earlier step can have created what it reads
    jsonl.write_whole(step.folder / MARKER, json.dumps({"step": step.name, "fingerprint": mark, "status": status}))
    return mark


def _waited(child: subprocess.Popen[bytes]) -> int:
    """A step's exit status. Ctrl-C is passed on to it, so that it can save; a second one ends it."""
    interrupted = False
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            if interrupted and child.stdin is not None:
                child.stdin.close()  # the supervisor ends everything
            elif child.poll() is None:
                os.killpg(child.pid, signal.SIGINT)
            interrupted = True


def _recorded(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("fingerprint"))
    except (OSError, ValueError):
        return ""


def _done(step: Step, before: str) -> str:
    """The fingerprint of a step that is done; empty if it must be run."""
    mark = _fingerprint(step, before)
    if _recorded(step.folder / MARKER) != mark:
        return ""
    print(f"== {step.name}: done before")
    return mark


def _fingerprint(step: Step, before: str) -> str:
    read = [path for each in step.reads for path in (sorted(each.rglob("*")) if each.is_dir() else [each])]
    files = [path for path in read if path.is_file() and "__pycache__" not in path.parts]
    inputs = [step.command, before, [sha256(path, fresh=True) for path in files]]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _advised(recipe: Recipe, base: Path, anyway: str) -> None:
    """Print the advice on this base and these rows, and record it. Raises StepError if it refuses, without `anyway`."""
    advices = advice.advise(recipe, base)
    print(advice.table(advices))
    refused = [each for each in advices if each.level == "refuse"]
    if refused and not anyway.strip():
        raise StepError(f"{refused[0].what}: {refused[0].why} (--anyway REASON)")
    record = {"advice": [asdict(each) for each in advices], "anyway": anyway}
    jsonl.write_whole(recipe.out / "advice.json", json.dumps(record, indent=1) + "\n")


def _data(recipe: Recipe) -> list[Path]:
    """The files of rows, and every file of tools and cases."""
    named = [recipe.data.get(key, []) for key in ("rows", "slots")]
    names = [name for each in named for name in ([each] if isinstance(each, str) else each)]
    folder = fixtures(recipe)
    paths = [recipe.path.parent / name for name in names] + sorted(folder.rglob("*.json*"))
    return [path for path in paths if path.is_file()]


def _project(recipe: Recipe) -> Path:
    """The folder with suites/ and fixtures/: the parent of the recipe's fixtures, or one generated from unseen rows."""
    if recipe.kind == "function_calling":
        return (recipe.out / "project").resolve()
    return fixtures(recipe).resolve().parent


def _types(recipe: Recipe) -> list[str]:
    return [each.partition("@")[0] for each in recipe.export.gguf]


def _policy(recipe: Recipe, type_: str) -> str:
    """A type with the absolute path of its policy file, which the recipe names relative to itself."""
    name, at, policy = type_.partition("@")
    return f"{name}@{(recipe.path.parent / policy).resolve()}" if at else type_


def main(arguments: list[str] | None = None) -> int:
    """`compare` every graded form with the base, or `promote` the recipe's form. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.steps")
    parser.add_argument("what", choices=("compare", "promote"))
    parser.add_argument("recipe", type=Path)
    args = parser.parse_args(arguments)
    work = _compare if args.what == "compare" else _promote
    return exit_status(lambda: work(recipes.read(args.recipe)))


def _compare(recipe: Recipe) -> int:
    from gate.cli.main import main as gate

    reports = [str(report_of(recipe, name)) for name in ("base", *forms(recipe))]
    status = gate(["compare", *reports])
    demands = [f"--better={test}" for test in recipe.promote.better] + [
        f"--kept={test}" for test in recipe.promote.kept
    ]
    if not demands:
        return status
    print("\nheld-out cases:")
    return gate(["compare", *reports, "--split", HELD_OUT, *demands])


def _promote(recipe: Recipe) -> int:
    from gate.registry.promote import Request, promote
    from gate.registry.slots import Slot

    path = forms(recipe)[recipe.promote.form]
    registry = recipe.out.resolve() / "registry"
    manifest = json.loads((recipe.out / "data/manifest.json").read_text(encoding="utf-8"))
    training = {f"data/{name}.jsonl": digest for name, digest in manifest["sha256"].items()}
    training |= {recipe.path.name: sha256(recipe.path, fresh=True)}
    request = Request(
        path=str(path),
        slot=Slot(recipe.promote.slot, registry),
        report=report_of(recipe, recipe.promote.form),
        project=_project(recipe),
        training=training,
    )
    promoted = promote(request)
    print(f"promoted: {recipe.promote.slot} line {promoted.number} ({promoted.path}, sha256 {promoted.digest[:12]})")
    print(f"head: {promoted.line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
