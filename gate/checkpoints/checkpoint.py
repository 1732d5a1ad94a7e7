"""What a path is, which files it stands for, and the digest of exactly those bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gate.checkpoints import demo, tensors
from gate.errors import CheckpointError
from gate.system import hashing
from gate.system.hashing import sha256
from gate.types import Checkpoint, Graded, Server

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf")
JSON_LIMIT = 64 * 2**20
"""Bytes of a JSON file that is read; the largest tokenizer.json has some 35 MB."""
KINDS = (
    "an adapter folder (adapters.safetensors and adapter_config.json), an MLX folder (config.json and *.safetensors), "
    "a .gguf file, http(s)://…/v1, smollm2, scripted:FILE, or a hub id (org/name)"
)


class Hashed(NamedTuple):
    """What a file's bytes are."""

    sha256: str
    size: int


def identify(text: str, *, base: str | None = None, served_name: str = "") -> Checkpoint:
    """Say what `--model` names. Raises CheckpointError that says what was found and what would do."""
    if base and not (Path(text) / "adapter_config.json").is_file():
        raise CheckpointError(f"--base belongs to an adapter, and {text} is none (it has no adapter_config.json)")
    if re.match(r"https?://", text, re.IGNORECASE):
        return _url(text, served_name)
    if served_name:
        raise CheckpointError(f"--served-name belongs to a URL, and {text} is none")
    if text.startswith("scripted:"):
        return _scripted(Path(text.removeprefix("scripted:")))
    if text == "smollm2" and Path(text).exists():
        raise CheckpointError("smollm2 is the demo model's name and a path here: for the path, write ./smollm2")
    if text == "smollm2":
        return Checkpoint("mlx", "smollm2", demo.ensure(progress=True))
    path = path_named(text)
    if path is None:
        return _hub(text)
    return _folder(path.resolve(), base) if path.is_dir() else _file(path)


def is_folder(text: str) -> bool:
    """Is it a folder that is no adapter: one that brings its own weights?"""
    path = folder_named(text)
    return text == "smollm2" or (path is not None and not (path / "adapter_config.json").is_file())


def files(checkpoint: Checkpoint) -> dict[str, Path]:
    """Every file whose bytes are the checkpoint, by relative name; an adapter's base stands under `base/`.

    Hidden files are no part of it: Finder and version control write them, and no runtime reads them.
    """
    if checkpoint.path is None:
        return {}
    if checkpoint.path.is_file():
        return {part.name: part for part in _parts(checkpoint.path)}
    found, base = _tree(checkpoint.path, ""), _tree(checkpoint.base, "base/") if checkpoint.base else {}
    if twice := found.keys() & base.keys():
        raise CheckpointError(f"{checkpoint.path / min(twice)}: an adapter has no folder base/: it is its base's name")
    return found | base


def hashes(checkpoint: Checkpoint, *, fresh: bool = False) -> dict[str, Hashed]:
    """sha256 and size of each of the checkpoint's files by name; `fresh` hashes every byte again.

    Raises CheckpointError when a file cannot be read.
    """
    found = {}
    for name, path in sorted(files(checkpoint).items()):
        try:
            found[name] = Hashed(sha256(path, fresh=fresh), path.stat().st_size)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return found


def digest_of(found: dict[str, Hashed]) -> str:
    """sha256 over the sorted lines `sha256 size name` of the files."""
    lines = [f"{each.sha256} {each.size} {name}\n" for name, each in sorted(found.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest(checkpoint: Checkpoint) -> str:
    """The checkpoint's digest; what is remembered of unchanged files counts. Raises CheckpointError."""
    return digest_of(hashes(checkpoint))


def touched(checkpoint: Checkpoint) -> tuple[str, ...]:
    """By what one sees that a file was written, even where it holds the same again. Raises CheckpointError."""
    try:
        return tuple(hashing.key(path) for _, path in sorted(files(checkpoint).items()))
    except OSError as error:
        raise CheckpointError(f"a file of the checkpoint is gone: {error}") from error


def described(checkpoint: Checkpoint, server: Server, *, digest: str) -> Graded:
    """What a report says of the checkpoint, whose files had this digest before they were served.

    A URL has no files: its digest is over what its server tells, and marked unverified.
    """
    size: int | None = None
    if checkpoint.kind == "url":
        digest = hashlib.sha256(json.dumps([server.model, server.told], sort_keys=True).encode()).hexdigest()
    else:
        size = sum(path.stat().st_size for path in files(checkpoint).values())
    return Graded(
        kind=checkpoint.kind,
        name=checkpoint.name,
        where=checkpoint.url or str(checkpoint.path),
        digest=digest,
        verified=checkpoint.kind != "url",
        bytes=size,
        family=family(checkpoint),
        base=str(checkpoint.base) if checkpoint.base else None,
    )


def family(checkpoint: Checkpoint) -> str:
    """The architecture of a model, by which one knows its kin; empty where it does not tell."""
    if checkpoint.kind == "gguf" and checkpoint.path is not None:
        return str(tensors.gguf(checkpoint.path).metadata.get("general.architecture") or "")
    folder = checkpoint.base or checkpoint.path
    config = _json(folder / "config.json") if folder is not None and checkpoint.kind in ("adapter", "mlx") else None
    return str(config.get("model_type") or "") if isinstance(config, dict) else ""


def _url(text: str, served_name: str) -> Checkpoint:
    url = text.rstrip("/")
    try:
        netloc = urlsplit(url).netloc
    except ValueError as error:
        raise CheckpointError(f"{text} is no URL: {error}") from error
    if "@" in netloc:
        raise CheckpointError("a key does not belong into a URL, which stands in reports: give it in GATE_API_KEY")
    if not url.endswith("/v1"):
        raise CheckpointError(f"{text}: give the OpenAI-compatible root, ending in /v1: {url}/v1")
    return Checkpoint("url", served_name or re.sub(r"^https?://", "", url), url=url, served_name=served_name)


def _scripted(path: Path) -> Checkpoint:
    if not path.is_file():
        raise CheckpointError(f"scripted:{path}: there is no such file")
    return Checkpoint("scripted", path.stem, path.resolve())


def _folder(path: Path, base: str | None) -> Checkpoint:
    if (path / "adapter_config.json").is_file():
        return _adapter(path, base)
    if not (path / "config.json").is_file():
        ggufs = sorted(p.name for p in path.glob("*.gguf"))
        hint = f" It holds GGUF files: name one of them ({', '.join(ggufs[:4])})." if ggufs else ""
        raise CheckpointError(f"{path} is no checkpoint: it has neither adapter_config.json nor config.json.{hint}")
    if not any(path.glob("*.safetensors")):
        raise CheckpointError(f"{path} has a config.json but no *.safetensors: its weights are missing")
    return Checkpoint("mlx", path.name, path)


def _adapter(path: Path, base: str | None) -> Checkpoint:
    config = _json(path / "adapter_config.json")
    if not (path / "adapters.safetensors").is_file():
        raise CheckpointError(f"{path} has an adapter_config.json but no adapters.safetensors: did the training end?")
    named = base or config.get("model")
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{path}/adapter_config.json names no base model: give it with --base DIR")
    return Checkpoint("adapter", path.name, path, base=_base(named, path, given=base is not None))


def read_value(path: Path) -> Any:
    """A JSON file that nobody has vouched for. Raises CheckpointError."""
    try:
        return json.loads(read_text(path, JSON_LIMIT))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot be read as JSON: {error}") from error


def read_text(path: Path, limit: int) -> str:
    """A text file of at most `limit` bytes: never a pipe, a device or more than that. Raises CheckpointError."""
    if not path.exists():
        raise CheckpointError(f"{path.name} is missing")
    if not path.is_file():
        raise CheckpointError(f"{path.name} is no regular file")
    try:
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise CheckpointError(f"{path.name} is larger than {limit // 2**20} MiB")
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}") from error


def path_named(text: str) -> Path | None:
    """The file or folder of this name; None where there is none, also for names that none can have."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, no such user, a NUL
        return None


def folder_named(text: str) -> Path | None:
    """The folder of this name, or None."""
    path = path_named(text)
    return path if path is not None and path.is_dir() else None


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
    _folder(folder, None)
    return folder.resolve()


def _file(path: Path) -> Checkpoint:
    if path.suffix != ".gguf":
        raise CheckpointError(f"{path} is a file, and the only file that can be graded is a .gguf. Wanted: {KINDS}")
    if (split := SPLIT.fullmatch(path.name)) and int(split["part"]) != 1:
        raise CheckpointError(f"{path} is part {int(split['part'])} of a split GGUF: name its first part")
    for part in _parts(path):
        if not part.is_file():
            raise CheckpointError(f"{part}: this part of the split GGUF is missing")
        with part.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise CheckpointError(f"{part} is no GGUF file: it does not begin with GGUF. Copy or convert it again")
    return Checkpoint("gguf", path.stem, path.absolute())


def _parts(path: Path) -> list[Path]:
    split = SPLIT.fullmatch(path.name)
    if split is None:
        return [path]
    count = int(split["parts"])
    return [path.with_name(f"{split['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)]


def _hub(text: str) -> Checkpoint:
    if not HUB_ID.fullmatch(text) or Path(text).parent.is_dir():
        raise CheckpointError(f"--model {text}: there is no such path. Wanted: {KINDS}")
    return Checkpoint("mlx", text.rpartition("/")[2], _snapshot(text, "the model"))


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
            f"{what}, {name}, is no local path, is not in the Hugging Face cache, and could not be fetched ({reason}). "
            f"Fetch it once while online (`hf download {name}`), or give a local folder"
        ) from error


def _tree(folder: Path, prefix: str) -> dict[str, Path]:
    """Every file that is not hidden, through links to folders as well, each folder once."""
    found, seen = {}, set()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in folders if os.path.realpath(Path(place) / name) not in seen]
        for path in (Path(place) / name for name in names if not name.startswith(".")):
            if path.is_file():
                found[prefix + path.relative_to(folder).as_posix()] = path
    return found


def _json(path: Path) -> Any:
    value = read_value(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: must be a JSON object")
    return value
