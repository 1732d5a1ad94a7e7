"""A checkpoint and its base, adapter and training rows, as checks read them: each fact is read once, on first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

from gate.checkpoints import checkpoint as checkpoints
from gate.checkpoints import tensors, untrusted
from gate.checkpoints.scan import Facts, scan
from gate.checkpoints.tensors import Gguf, HeaderError, Tensor
from gate.errors import CheckpointError, GateError
from gate.types import Checkpoint, Json, Server

T = TypeVar("T")


class NotApplicable(Exception):  # noqa: N818 - a state of a check, not an error
    """The check has no meaning for this artifact; says why."""


class NotPossible(Exception):  # noqa: N818
    """The check has a meaning and cannot be made; says what is missing."""


class Broken(NotPossible):
    """It cannot be made because the artifact itself cannot be read: told once, as a finding
    (gate.preflight.checks.readable)."""


def once(work: Callable[[Any], T]) -> Callable[[Any], T]:
    """Work out what a function says of an artifact, or its refusal to say anything, one time only."""

    @wraps(work)
    def read(artifact: Any) -> T:
        known = artifact.__dict__.setdefault(f"{work.__module__}.{work.__qualname__}", [])
        if not known:
            try:
                known.append((work(artifact), None))
            except (NotPossible, NotApplicable, GateError, OSError) as error:
                known.append((None, error))
        value, refusal = known[0]
        if refusal is not None:
            raise refusal
        return value  # type: ignore[no-any-return]

    return read


@dataclass(frozen=True, eq=False)
class Artifact:
    """What is checked, and what it is compared with."""

    checkpoint: Checkpoint
    base: Path | None = None
    """The folder of the model it was made from: an adapter's own, or given with --base."""
    against: Path | None = None
    """The adapter that was fused into it."""
    train: Path | None = None
    """Training rows: a .jsonl file or a folder of them."""
    fixtures: Path | None = None
    """The project's folder with cases/, for leakage."""
    server: Server | None = None
    """A server that has loaded the checkpoint; None before there is one."""
    unserved: str = ""
    """Why a server could not load it."""

    @property
    @once
    def folder(self) -> Path:
        """The model folder that is served: the checkpoint's own, or an adapter's base."""
        folder = self.base if self.checkpoint.adapter else self.checkpoint.path
        if folder is None or not folder.is_dir():
            raise NotApplicable("it is not a model folder")
        return folder

    @property
    @once
    def config(self) -> Json:
        return read_json(self.folder / "config.json")

    @property
    @once
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the checkpoint's own files: an adapter's, a folder's, a GGUF's."""
        path = self.checkpoint.path
        if path is None:
            raise NotApplicable("it has no files")
        if self.is_gguf:
            return self.gguf.tensors
        if not self.checkpoint.kind.weights:
            raise NotApplicable("it has no safetensors files")
        return weights(path, self.checkpoint.kind.weights)

    @property
    @once
    def facts(self) -> dict[str, Facts]:
        """What each of these tensors holds; reads every byte once."""
        return scanned(self.tensors)

    @property
    @once
    def base_tensors(self) -> dict[str, Tensor]:
        return weights(self.base_folder, "model*.safetensors")

    @property
    def base_folder(self) -> Path:
        """The folder of the model it was made from. Raises NotPossible."""
        if self.base is None:
            raise NotPossible("the base is not known: give it with --base DIR")
        return self.base

    @property
    def is_gguf(self) -> bool:
        path = self.checkpoint.path
        return path is not None and path.suffix == ".gguf" and not path.is_dir()

    @property
    @once
    def gguf(self) -> Gguf:
        if self.checkpoint.path is None or not self.is_gguf:
            raise NotApplicable("it is no GGUF file")
        return readable(partial(tensors.gguf, self.checkpoint.path))

    @property
    @once
    def adapter(self) -> Path:
        """The adapter's folder: the checkpoint itself, or the one given with --against."""
        found = self.checkpoint.adapter or self.against
        if found is None:
            raise NotPossible("the adapter is not known: give it with --against DIR")
        return found

    @property
    @once
    def adapter_config(self) -> Json:
        return read_json(self.adapter / "adapter_config.json")

    @property
    @once
    def adapter_tensors(self) -> dict[str, Tensor]:
        return weights(self.adapter, "adapters.safetensors")


def assembled(
    text: str, *, base: str | None, against: str | None, train: str | None, fixtures: Path, served_name: str = ""
) -> Artifact:
    """The artifact that options describe; for anything but an adapter, `base` is only compared with.

    Raises CheckpointError that names the option.
    """
    compared = base is not None and _whole(text)
    checkpoint = checkpoints.identify(text, base=None if compared else base, served_name=served_name)
    return Artifact(
        checkpoint,
        base=checkpoint.base or (_folder(base, "--base", "config.json") if compared else None),
        against=_folder(against, "--against", "adapter_config.json"),
        train=_there(train),
        fixtures=fixtures if fixtures.is_dir() else None,
    )


def _whole(text: str) -> bool:
    """Does it name a model that brings its own weights: the demo model, a GGUF, a folder that is not an adapter?"""
    folder = untrusted.folder_named(text)
    own = folder is not None and not (folder / "adapter_config.json").is_file()
    return own or text == "smollm2" or text.endswith(".gguf")


def _folder(text: str | None, option: str, file: str) -> Path | None:
    if text is None:
        return None
    folder = untrusted.folder_named(text)
    if folder is None or not (folder / file).is_file():
        raise CheckpointError(f"{option} {text}: there is no {file} in it")
    return folder.resolve()


def _there(text: str | None) -> Path | None:
    if text is None:
        return None
    path = untrusted.path_named(text)
    if path is None:
        raise CheckpointError(f"--train {text}: there is no such file or folder")
    return path


def weights(folder: Path, pattern: str) -> dict[str, Tensor]:
    """The tensors of a folder's files as mlx-lm merges them: later files win. Raises NotPossible."""
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob(pattern)):
        found |= readable(partial(tensors.safetensors, path))
    if not found:
        raise Broken(f"{folder.name} has no {pattern}: nothing would be loaded")
    return found


def scanned(found: dict[str, Tensor]) -> dict[str, Facts]:
    """The facts of tensors, file by file."""
    files: dict[Path, dict[str, Tensor]] = {}
    for name, tensor in found.items():
        files.setdefault(tensor.path, {})[name] = tensor
    return {name: facts for path, inside in files.items() for name, facts in scan(path, inside).items()}


def readable(read: Callable[[], T]) -> T:
    """What `read` returns; a header that cannot be read is told once, by the check of headers."""
    try:
        return read()
    except (HeaderError, OSError) as error:
        raise Broken(f"cannot be read: {error}") from error


def read_value(path: Path) -> Any:
    """A JSON file of a checkpoint's folder. Raises Broken that says what is wrong."""
    try:
        return untrusted.read_value(path)
    except CheckpointError as error:
        raise Broken(str(error)) from error


def read_json(path: Path) -> Json:
    """A JSON object of a checkpoint's folder. Raises Broken that says what is wrong."""
    value = read_value(path)
    if not isinstance(value, dict):
        raise Broken(f"{path.name} is not a JSON object")
    return value


def read_text(path: Path, limit: int) -> str:
    """A text of a checkpoint's folder. Raises Broken that says what is wrong."""
    try:
        return untrusted.read_text(path, limit)
    except CheckpointError as error:
        raise Broken(str(error)) from error
