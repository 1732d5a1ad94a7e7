"""What a path is, and the digest of exactly its bytes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gate.checkpoints import checkpoint as checkpoints
from gate.checkpoints import kinds
from gate.errors import CheckpointError
from gate.system import hashing
from gate.types import Checkpoint, Server


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_CACHE", str(tmp_path / "cache"))


def mlx(path: Path, weights: bytes = b"weights") -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def adapter(path: Path, base: object) -> Path:
    path.mkdir()
    (path / "adapter_config.json").write_text(json.dumps({"model": base}))
    (path / "adapters.safetensors").write_bytes(b"lora")
    return path


def test_a_folder_with_config_and_weights_is_an_mlx_model(tmp_path: Path) -> None:
    found = checkpoints.identify(str(mlx(tmp_path / "m")))
    assert (found.kind, found.name, found.path) == (kinds.MLX, "m", tmp_path / "m")


def test_an_adapter_takes_its_base_from_its_config_or_from_base(tmp_path: Path) -> None:
    base, other = mlx(tmp_path / "b"), mlx(tmp_path / "o")
    folder = str(adapter(tmp_path / "a", str(base)))
    assert checkpoints.identify(folder).base == base
    assert checkpoints.identify(folder, base=str(other)).base == other


def test_a_gguf_file_and_a_split_one(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(b"GGUF" + bytes([number]))
    found = checkpoints.identify(str(tmp_path / "m-00001-of-00002.gguf"))
    assert found.kind is kinds.GGUF
    assert list(checkpoints.files(found)) == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    with pytest.raises(CheckpointError, match="name its first part"):
        checkpoints.identify(str(tmp_path / "m-00002-of-00002.gguf"))
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(CheckpointError, match="this part of the split GGUF is missing"):
        checkpoints.identify(str(tmp_path / "m-00001-of-00002.gguf"))


@pytest.mark.parametrize("url", ["http://localhost:8080/v1", "https://models.example.com/v1/"])
def test_a_url_ends_in_v1(url: str) -> None:
    assert checkpoints.identify(url, served_name="x").url == url.rstrip("/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("empty", "neither adapter_config.json nor config.json"),
        ("ggufs", "name one of them"),
        ("weightless", "its weights are missing"),
        ("untrained", "did the training end"),
        ("broken", "cannot be read as JSON"),
        ("baseless", "names no base model"),
        ("lost", "give it with --base DIR"),
        ("chained", "is itself an adapter"),
        ("notes.txt", r"this file cannot be graded. Wanted: .*; a \.gguf file; "),
        ("here/gone", "there is no such path"),
        ("gone", "there is no such path"),
        ("http://localhost:8080", "http://localhost:8080/v1"),
    ],
)
def test_what_is_no_checkpoint_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "ggufs", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "ggufs/x.gguf").write_bytes(b"GGUF")
    (mlx(tmp_path / "weightless") / "model.safetensors").unlink()
    (adapter(tmp_path / "untrained", "b") / "adapters.safetensors").unlink()
    (adapter(tmp_path / "broken", "b") / "adapter_config.json").write_text("{")
    adapter(tmp_path / "baseless", None)
    adapter(tmp_path / "lost", "/gone/for/good")
    adapter(tmp_path / "chained", str(tmp_path / "lost"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CheckpointError, match=message):
        checkpoints.identify(text)


@pytest.mark.parametrize(
    ("more", "message"), [({"base": "b"}, "--base belongs"), ({"served_name": "n"}, "--served-name")]
)
def test_options_that_belong_to_another_kind_are_refused(tmp_path: Path, more: dict[str, str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        checkpoints.identify(str(mlx(tmp_path / "m")), **more)


def test_the_digest_changes_with_any_byte_any_name_and_the_base(tmp_path: Path) -> None:
    base = mlx(tmp_path / "b")
    model = checkpoints.identify(str(adapter(tmp_path / "a", str(base))))
    seen = {checkpoints.digest(model)}
    (base / "model.safetensors").write_bytes(b"weightz")
    seen.add(checkpoints.digest(model))
    (tmp_path / "a/adapters.safetensors").write_bytes(b"lorb")
    seen.add(checkpoints.digest(model))
    (base / "tokenizer.json").write_text("{}")
    seen.add(checkpoints.digest(model))
    (base / "tokenizer.json").rename(base / "tokenizer_config.json")
    seen.add(checkpoints.digest(model))
    assert len(seen) == 5


def test_hidden_files_are_no_part_of_a_checkpoint(tmp_path: Path) -> None:
    model = checkpoints.identify(str(mlx(tmp_path / "m")))
    before = checkpoints.digest(model)
    (tmp_path / "m/.DS_Store").write_text("x")
    (tmp_path / "m/.cache").mkdir()
    (tmp_path / "m/.cache/x").write_text("x")
    assert checkpoints.digest(model) == before


def test_a_linked_file_is_hashed_by_its_bytes(tmp_path: Path) -> None:
    """The Hugging Face cache keeps snapshots as links."""
    model = checkpoints.identify(str(mlx(tmp_path / "m")))
    before = checkpoints.digest(model)
    (tmp_path / "m/model.safetensors").rename(tmp_path / "blob")
    (tmp_path / "m/model.safetensors").symlink_to(tmp_path / "blob")
    assert checkpoints.digest(model) == before


def test_large_files_are_remembered_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"a" * (hashing.SMALL + 1))
    first = hashing.sha256(path)
    monkeypatch.setattr(hashing, "_hash", lambda _: pytest.fail("hashed again"))
    assert hashing.sha256(path) == first
    monkeypatch.undo()
    monkeypatch.setenv("GATE_CACHE", str(tmp_path / "cache"))
    stat = path.stat()
    path.write_bytes(b"b" * (hashing.SMALL + 1))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashing.sha256(path) != first, "the time of change can be set back; the time of the inode's change cannot"


def test_fresh_hashing_trusts_nothing_remembered(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"a" * (hashing.SMALL + 1))
    first = hashing.sha256(path)
    hashing.remember(hashing.key(path), "0" * 64)
    assert hashing.sha256(path) == "0" * 64
    assert hashing.sha256(path, fresh=True) == first


def test_a_broken_memory_of_hashes_costs_nothing_but_time(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"a" * (hashing.SMALL + 1))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/facts.sqlite").write_text("{half")
    assert len(hashing.sha256(path)) == 64


def test_a_urls_digest_is_what_its_server_tells_and_unverified() -> None:
    url = Checkpoint(kinds.URL, "x", url="http://localhost:1/v1")
    told = [Server(url.url, "x", "llama.cpp", {}, {"build_info": build}) for build in ("b1", "b2")]
    first, second = (checkpoints.described(url, server, digest="") for server in told)
    assert first.digest != second.digest
    assert first.verified is False


def test_files_behind_a_link_to_a_hidden_folder_count(tmp_path: Path) -> None:
    model = mlx(tmp_path / "model")
    (model / ".t").mkdir()
    (model / ".t/x.jinja").write_text("one")
    (model / "additional_chat_templates").symlink_to(".t", target_is_directory=True)
    before = checkpoints.digest(checkpoints.identify(str(model)))
    (model / ".t/x.jinja").write_text("two")
    assert checkpoints.digest(checkpoints.identify(str(model))) != before


def test_an_adapters_own_folder_base_cannot_hide_behind_its_base(tmp_path: Path) -> None:
    base = mlx(tmp_path / "base")
    folder = adapter(tmp_path / "adapter", str(base))
    (folder / "base").mkdir()
    (folder / "base/config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="it is its base's name"):
        checkpoints.digest(checkpoints.identify(str(folder)))
