"""P22: nothing in an artifact may run, lead out of its folder, or claim more than its file can hold."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gate.checkpoints import tensors
from gate.checkpoints.checkpoint import files
from gate.checkpoints.tensors import HeaderError
from gate.preflight.artifact import Artifact, NotPossible, read_json, read_value
from gate.preflight.rule import rule

LOCAL = "adapter mlx gguf"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".h5", ".keras")
"""Names of files that loaders unpickle or otherwise run."""
CODE = (".py", ".pyc", ".pyo", ".so", ".dylib", ".dll", ".sh", ".exe", ".pth")
MODULE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
IMPORTED = {"config.json": ("model_type",), "tokenizer_config.json": ("tool_parser_type", "chat_template_type")}
"""Values that mlx-lm makes the name of a module of its own that it imports (mlx_lm/utils.py, tokenizer_utils.py)."""


@rule("P22", "refuse", kinds=LOCAL, remedy="delete the file; weights belong into safetensors or GGUF")
def no_code_in_files(artifact: Artifact) -> Sequence[str]:
    """No file of the artifact is code or a pickle, which runs when it is loaded."""
    own = [Path(name) for name in files(artifact.checkpoint)]
    hidden = [path.relative_to(folder) for folder in _folders(artifact) for path in folder.rglob("*")]
    suspects = {str(path) for path in (*own, *hidden) if path.suffix.lower() in (*CODE, *PICKLES)}
    return [f"{name}: can run when it is loaded" for name in sorted(suspects)]


@rule(
    "P22", "refuse", kinds="adapter mlx", remedy="remove the key: mlx-lm knows the architecture, or it cannot be graded"
)
def no_code_by_config(artifact: Artifact) -> Sequence[str]:
    """No configuration names code to import: no auto_map, no model_file, no path where a module's name belongs."""
    return [fault for folder in _folders(artifact) for path in sorted(folder.glob("*.json")) for fault in _named(path)]


@rule(
    "P22", "refuse", kinds=LOCAL, remedy="copy the artifact with its links followed (`cp -RL`), from a source you trust"
)
def nothing_leads_out(artifact: Artifact) -> Sequence[str]:
    """No link and no index leads out of the artifact's folder."""
    return [fault for folder in _folders(artifact) for fault in (*_links(folder), *_index(folder))]


@rule("P22", "refuse", kinds=LOCAL, remedy="copy or convert the file again: it is cut, damaged or hostile")
def headers_are_sound(artifact: Artifact) -> Sequence[str]:
    """Every weight file's header is well-formed and claims no more than its file holds."""
    return [fault for path in files(artifact.checkpoint).values() for fault in _header(path)]


def dangers(artifact: Artifact) -> list[str]:
    """What must be fixed before a tokenizer or a template of the artifact is touched."""
    return [fault for look in (no_code_in_files, no_code_by_config, nothing_leads_out) for fault in look(artifact)]


def require(artifact: Artifact, what: str) -> None:
    """Let `what` be loaded only where nothing dangerous was found. Raises NotPossible."""
    if found := dangers(artifact):
        raise NotPossible(f"{what} is not loaded: {found[0]}")


def _folders(artifact: Artifact) -> list[Path]:
    """The folders whose files are the artifact."""
    own = artifact.checkpoint.path
    return [path for path in (own, artifact.base) if path is not None and path.is_dir()]


def _named(path: Path) -> Iterator[str]:
    try:
        config = read_value(path)
    except NotPossible as refusal:
        yield str(refusal)  # what we cannot read a loader may
        return
    if not isinstance(config, dict):
        if path.name in IMPORTED:
            yield f"{path.name} is not a JSON object"
        return
    for key in ("auto_map", "model_file"):
        if config.get(key) is not None:
            yield f"{path.name}: {key} names code to import: {str(config[key])[:80]}"
    for key in IMPORTED.get(path.name, ()):
        value = config.get(key)
        if value is not None and not (isinstance(value, str) and MODULE.fullmatch(value)):
            yield f"{path.name}: {key} is {str(value)[:80]!r}, no plain name"


def _links(folder: Path) -> Iterator[str]:
    """Links out of the folder, and what is neither file nor folder; a snapshot of the Hugging Face cache may link to
    its own blobs."""
    homes = [folder.resolve()]
    if folder.parent.name == "snapshots":
        homes.append((folder.parent.parent / "blobs").resolve())
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            yield f"{name}: links to nothing, or to itself"
            continue
        if not any(target.is_relative_to(home) for home in homes):
            yield f"{name}: links out of the folder"
        elif not target.is_file() and not target.is_dir():
            yield f"{name}: is not a regular file"


def _index(folder: Path) -> Iterator[str]:
    """Indexes that lead elsewhere, or name tensors that are not where they say."""
    for path in folder.glob("*.index.json"):
        try:
            mapped = read_json(path).get("weight_map")
        except NotPossible as refusal:
            yield str(refusal)
            continue
        if not isinstance(mapped, dict):
            yield f"{path.name}: its weight_map is not an object"
            continue
        yield from _mapped(folder, path.name, {str(name): str(file) for name, file in mapped.items()})


def _mapped(folder: Path, index: str, mapped: dict[str, str]) -> Iterator[str]:
    held: dict[str, set[str]] = {}
    for file in sorted(set(mapped.values())):
        if "/" in file or "\\" in file or not (folder / file).is_file():
            yield f"{index}: names {file[:80]!r}, which is not a file of the folder"
            continue
        with contextlib.suppress(HeaderError, OSError):  # told by the check of headers
            held[file] = set(tensors.safetensors(folder / file))
    lost = [name for name, file in mapped.items() if file in held and name not in held[file]]
    if lost:
        yield f"{index}: {len(lost)} tensors are not in the file it names, the first {lost[0][:80]}"


def _header(path: Path) -> Iterator[str]:
    try:
        if path.suffix == ".safetensors":
            tensors.safetensors(path)
        elif path.suffix == ".gguf":
            tensors.gguf(path)
    except (HeaderError, OSError) as error:
        yield str(error)
