"""The kinds of checkpoint, and how what `--model` names is recognized as one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from gate.checkpoints import demo, tensors
from gate.checkpoints.untrusted import folder_named, path_named, read_object
from gate.errors import CheckpointError
from gate.types import Checkpoint, Kind, Named

GROUP = "gate.runtimes"
"""The entry-point group in which a plugin names its runtimes (gate.models.runtime)."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf")


@runtime_checkable
class ServesKinds(Protocol):
    """What this room needs to know of a runtime."""

    @property
    def kinds(self) -> tuple[Kind, ...]: ...


@cache
def kinds() -> tuple[Kind, ...]:
    """Every kind, those of plugins first. Raises CheckpointError where two have one name: a report tells it alone."""
    found = (*(kind for runtime in plugins() for kind in runtime.kinds), *KINDS)
    names = [kind.name for kind in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CheckpointError(f"two installed runtimes serve checkpoints of kind {min(twice)}: uninstall one of them")
    return found


@cache
def plugins() -> Sequence[ServesKinds]:
    """The runtimes of installed plugins. Raises CheckpointError for one that cannot be loaded."""
    return tuple(_loaded())


def parts(path: Path) -> list[Path]:
    """The files of a split GGUF by the name of its first; any other file alone."""
    split = SPLIT.fullmatch(path.name)
    if split is None:
        return [path]
    count = int(split["parts"])
    return [path.with_name(f"{split['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)]


def is_url(text: str) -> bool:
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def _loaded() -> Iterator[ServesKinds]:
    for each in metadata.entry_points(group=GROUP):
        try:
            found = each.load()
        except Exception as error:
            raise CheckpointError(f"the plugin {each.name} ({each.value}) cannot be loaded: {error!r}") from error
        if not isinstance(found, ServesKinds):
            raise CheckpointError(f"the plugin {each.name} ({each.value}) is not a gate.models.runtime.Runtime")
        yield found


def _url(named: Named) -> Checkpoint | None:
    if not is_url(named.text):
        return None
    url = named.text.rstrip("/")
    try:
        netloc = urlsplit(url).netloc
    except ValueError as error:
        raise CheckpointError(f"{named.text} is not a URL: {error}") from error
    if "@" in netloc:
        raise CheckpointError("a key does not belong into a URL, which stands in reports: give it in GATE_API_KEY")
    if not url.endswith("/v1"):
        raise CheckpointError(f"{named.text}: give the OpenAI-compatible root, ending in /v1: {url}/v1")
    name = named.served_name or re.sub(r"^https?://", "", url)
    return Checkpoint(URL, name, url=url, served_name=named.served_name)


def _scripted(named: Named) -> Checkpoint | None:
    if not named.text.startswith("scripted:"):
        return None
    path = Path(named.text.removeprefix("scripted:"))
    if not path.is_file():
        raise CheckpointError(f"{named.text}: there is no such file")
    return Checkpoint(SCRIPTED, path.stem, path.resolve())


def _adapter(named: Named) -> Checkpoint | None:
    folder = folder_named(named.text)
    if folder is None or not (folder / "adapter_config.json").is_file():
        return None
    path = folder.resolve()
    config = read_object(path / "adapter_config.json")
    if not (path / "adapters.safetensors").is_file():
        raise CheckpointError(f"{path} has an adapter_config.json but no adapters.safetensors: did the training end?")
    base = named.base or config.get("model")
    if not isinstance(base, str) or not base:
        raise CheckpointError(f"{path}/adapter_config.json names no base model: give it with --base DIR")
    return Checkpoint(ADAPTER, path.name, path, base=_base(base, path, given=named.base is not None))


def _base(named: str, adapter: Path, *, given: bool) -> Path:
    """An adapter's base. What the adapter names by itself is looked for here alone: files do not start downloads."""
    folder = folder_named(named)
    if folder is None:
        if not HUB_ID.fullmatch(named) or len(named) > 200:
            raise CheckpointError(
                f"{adapter} wants the base {named[:200]!r}, and there is none: give it with --base DIR"
            )
        folder = _snapshot(named, f"the base of the adapter {adapter}", fetch=given)
    if (folder / "adapter_config.json").is_file():
        raise CheckpointError(f"{adapter}: its base {folder} is itself an adapter: give a model with --base DIR")
    _check_model(folder)
    return folder.resolve()


def _gguf(named: Named) -> Checkpoint | None:
    path = path_named(named.text)
    if path is None or path.is_dir() or path.suffix != ".gguf":
        return None
    if (split := SPLIT.fullmatch(path.name)) and int(split["part"]) != 1:
        raise CheckpointError(f"{path} is part {int(split['part'])} of a split GGUF: name its first part")
    for part in parts(path):
        if not part.is_file():
            raise CheckpointError(f"{part}: this part of the split GGUF is missing")
        with part.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise CheckpointError(f"{part} is no GGUF file: it does not begin with GGUF. Copy or convert it again")
    return Checkpoint(GGUF, path.stem, path.absolute())


def _mlx(named: Named) -> Checkpoint | None:
    """A folder, the demo model, or a hub id."""
    text = named.text
    if text == "smollm2" and Path(text).exists():
        raise CheckpointError("smollm2 is the demo model's name and a path here: for the path, write ./smollm2")
    if text == "smollm2":
        return Checkpoint(MLX, "smollm2", demo.ensure(progress=True))
    if folder := folder_named(text):
        path = folder.resolve()
        _check_model(path)
        return Checkpoint(MLX, path.name, path)
    if path_named(text) is not None or not HUB_ID.fullmatch(text) or Path(text).parent.is_dir():
        return None
    return Checkpoint(MLX, text.rpartition("/")[2], _snapshot(text, "the model"))


def _check_model(path: Path) -> None:
    """Raises CheckpointError for a folder without a configuration and weights."""
    if not (path / "config.json").is_file():
        ggufs = sorted(p.name for p in path.glob("*.gguf"))
        hint = f" It holds GGUF files: name one of them ({', '.join(ggufs[:4])})." if ggufs else ""
        raise CheckpointError(f"{path} is not a checkpoint: it has neither adapter_config.json nor config.json.{hint}")
    if not any(path.glob("*.safetensors")):
        raise CheckpointError(f"{path} has a config.json but no *.safetensors: its weights are missing")


def _snapshot(name: str, what: str, *, fetch: bool = True) -> Path:
    """The local snapshot of a hub id, fetched when it is not there and may be. Source of the names: mlx_lm/utils.py."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.tiktoken", "*.txt"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except LocalEntryNotFoundError as error:
        if not fetch:
            raise CheckpointError(
                f"{what}, {name}, is not in the Hugging Face cache: fetch it (`hf download {name}`) or give --base DIR"
            ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise CheckpointError(
            f"{what}, {name}, is not a local path or in the Hugging Face cache, and could not be fetched ({reason}). "
            f"Fetch it once while online (`hf download {name}`), or give a local folder"
        ) from error


def _model_type(checkpoint: Checkpoint) -> str:
    folder = checkpoint.tokenizer
    return str(read_object(folder / "config.json").get("model_type") or "") if folder is not None else ""


def _architecture(checkpoint: Checkpoint) -> str:
    path = checkpoint.path
    return str(tensors.gguf(path).metadata.get("general.architecture") or "") if path is not None else ""


ADAPTER = Kind(
    "adapter",
    "an adapter folder (adapters.safetensors and adapter_config.json)",
    _adapter,
    family=_model_type,
    weights="adapters.safetensors",
    tokenizer=True,
)
MLX = Kind(
    "mlx",
    "an MLX folder (config.json and *.safetensors), smollm2, a hub id (org/name)",
    _mlx,
    family=_model_type,
    weights="model*.safetensors",
    tokenizer=True,
)
GGUF = Kind("gguf", "a .gguf file", _gguf, family=_architecture)
URL = Kind("url", "http(s)://…/v1", _url, verified=False)
SCRIPTED = Kind("scripted", "scripted:FILE", _scripted, preflight=False)
KINDS = (URL, SCRIPTED, ADAPTER, GGUF, MLX)
