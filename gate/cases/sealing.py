"""Sealed case files: encrypted with a key that is kept outside the repository (`gate seal FILE`).

    fixtures/cases/hermes/exam.jsonl  ->  fixtures/cases/hermes/exam.jsonl.sealed

A suite goes on naming `hermes/exam.jsonl`. Its cases are held out, whatever they say: graded, told of in sums, their
text in no report and no log (gate.plugin.heldout). What encrypts is Fernet of the package `cryptography` (AES-128-CBC
with HMAC-SHA-256; extra `seal`): who changes a byte of it has no exam, nor who swaps two of them, for the first line of
what is encrypted is the file's place below fixtures/cases. Who holds the key can read it: keep it from
the machines, people and models that train.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from gate.errors import CaseError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SUFFIX = ".sealed"
HEAD = b"pytest-gate sealed 2\n"
UNBOUND = b"pytest-gate sealed 1\n"
"""What was sealed before says nothing of its place."""
KEY = "GATE_SEAL_KEY"
"""The environment variable with the path of the key."""


def key_path() -> Path:
    """Where the key lies: as GATE_SEAL_KEY says, else in the user's configuration."""
    return Path(os.environ.get(KEY) or Path(platformdirs.user_config_dir("pytest-gate")) / "seal.key")


def beside(path: Path) -> Path:
    """The sealed file of a case file."""
    return path.with_name(path.name + SUFFIX)


def resolve(path: Path) -> Path:
    """The case file itself, or the sealed one in its place."""
    return path if path.is_file() else beside(path)


def seal(path: Path, key: Path) -> Path:
    """Write the sealed file and, once it opens again, delete the plain one. Raises CaseError, and the plain stays."""
    sealed, text = beside(path), _read(path)
    if path.name.endswith(SUFFIX) or text.startswith((HEAD, UNBOUND)):
        raise CaseError(f"{path}: is sealed already")
    if sealed.exists():
        raise CaseError(f"{sealed}: is there already: open it first, or take another name")
    locker = _locker(_made(key))
    sealed.write_bytes(HEAD + locker.encrypt(_place(sealed) + text) + b"\n")
    if _opened(sealed, locker) != text:
        sealed.unlink()
        raise CaseError(f"{path}: could not be sealed: what was written does not open")
    path.unlink()
    return sealed


def unseal(path: Path, key: Path) -> Path:
    """Write the plain file and, once it is there whole, delete the sealed one: a project is graded with one of them."""
    plain = path.with_name(path.name.removesuffix(SUFFIX))
    if plain.exists():
        raise CaseError(f"{plain}: is there already")
    held = _opened(path, _locker(_read(key)))
    try:
        with plain.open(
            "xb"
        ) as stream:  # what a full disk leaves of it is named with the next try; the sealed one stays
            stream.write(held)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise CaseError(f"{plain}: cannot be written: {error.strerror}; {path} stays") from error
    if _read(plain) != held:
        raise CaseError(f"{plain}: is not what was sealed; {path} stays")
    path.unlink()
    return plain


def text(path: Path) -> str:
    """What a sealed file holds, kept in memory alone. Raises CaseError without a word of it."""
    key = key_path()
    if not key.is_file():
        raise CaseError(f"{path}: is sealed, and there is no key at {key} ({KEY} names another place)")
    try:
        return _opened(path, _locker(_read(key))).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: what was sealed is no UTF-8") from error


def _opened(path: Path, locker: Fernet) -> bytes:
    from cryptography.fernet import InvalidToken

    raw = _read(path)
    if not raw.startswith((HEAD, UNBOUND)):
        raise CaseError(f"{path}: is not a sealed case file")
    try:
        held = locker.decrypt(raw.partition(b"\n")[2].strip())
    except InvalidToken as error:
        raise CaseError(f"{path}: was changed, or the key is another one than it was sealed with") from error
    if raw.startswith(UNBOUND):
        return held
    place, newline, text = held.partition(b"\n")
    if place + newline != _place(path):
        raise CaseError(f"{path}: was sealed as {place.decode(errors='replace')}: it was moved or swapped; put it back")
    return text


def _place(path: Path) -> bytes:
    """The first line of what is encrypted: where the file stands below the folder `cases`, as a suite names it."""
    parts = Path(os.path.normpath(path.absolute())).parts
    begin = max((number for number, part in enumerate(parts[:-1], start=1) if part == "cases"), default=len(parts) - 1)
    return "/".join(parts[begin:]).encode() + b"\n"


def _locker(key: bytes) -> Fernet:
    from cryptography.fernet import Fernet

    try:
        return Fernet(key.strip())
    except ValueError as error:
        raise CaseError(f"the seal's key is none: 32 bytes in URL-safe base64 are expected ({KEY})") from error


def _made(key: Path) -> bytes:
    """The key, made where there is none; nobody else may read it."""
    try:
        from cryptography.fernet import Fernet
    except ImportError as error:
        raise CaseError("sealing needs the extra: pip install 'pytest-gate[seal]'") from error
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(Fernet.generate_key() + b"\n")
    return _read(key)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CaseError(f"{path}: cannot be read: {error.strerror}") from error
