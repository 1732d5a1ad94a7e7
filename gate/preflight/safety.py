"""P22: nothing in an artifact may run, lead out of its folder, or claim more than its file can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gate import tensors
from gate.checkpoint import files
from gate.preflight.artifact import Artifact, read_json
from gate.preflight.rule import NotPossible, rule
from gate.tensors import HeaderError
from gate.types import Json

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
    suspects = [name for name, path in files(artifact.checkpoint).items() if path.suffix.lower() in (*CODE, *PICKLES)]
    return [f"{name}: can run when it is loaded" for name in suspects]


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
    """What must be mended before a tokenizer or a template of the artifact is touched."""
    return [fault for look in (no_code_in_files, no_code_by_config, nothing_leads_out) for fault in look(artifact)]


def _folders(artifact: Artifact) -> list[Path]:
    """The folders whose files are the artifact."""
    own = artifact.checkpoint.path
    return [path for path in (own, artifact.base) if path is not None and path.is_dir()]


def _named(path: Path) -> Iterator[str]:
    try:
        config = read_json(path)
    except NotPossible:
        return  # not a configuration, or one that no loader can read either
    for key in ("auto_map", "model_file"):
        if config.get(key) is not None:
            yield f"{path.name}: {key} names code to import: {str(config[key])[:80]}"
    for key in IMPORTED.get(path.name, ()):
        value = config.get(key)
        if value is not None and not (isinstance(value, str) and MODULE.fullmatch(value)):
            yield f"{path.name}: {key} is {str(value)[:80]!r}, no plain name"


def _links(folder: Path) -> Iterator[str]:
    """Links out of the folder; a snapshot of the Hugging Face cache may link to its own blobs."""
    homes = [folder.resolve()]
    if folder.parent.name == "snapshots":
        homes.append((folder.parent.parent / "blobs").resolve())
    for path in folder.rglob("*"):
        target = path.resolve()
        if path.is_symlink() and not any(target.is_relative_to(home) for home in homes):
            yield f"{path.relative_to(folder)}: links out of the folder"
        elif path.is_symlink() and not path.exists():
            yield f"{path.relative_to(folder)}: links to nothing"


def _index(folder: Path) -> Iterator[str]:
    for path in folder.glob("*.index.json"):
        mapped: Json = read_json(path).get("weight_map") or {}
        for name in sorted({str(value) for value in mapped.values()}):
            if "/" in name or "\\" in name or not (folder / name).exists():
                yield f"{path.name}: names {name[:80]!r}, which is no file of the folder"


def _header(path: Path) -> Iterator[str]:
    try:
        if path.suffix == ".safetensors":
            tensors.safetensors(path)
        elif path.suffix == ".gguf":
            tensors.gguf(path)
    except (HeaderError, OSError) as error:
        yield str(error)
