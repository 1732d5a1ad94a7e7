"""Signatures of folders and files with a key of one's own: OpenSSF Model Signing, without a network (extra `sign`).

The signature is a Sigstore bundle over an in-toto statement of every file's sha256 (openssf.org, Model Signing v1.0).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from gate.errors import GateError

PASSWORD = "GATE_KEY_PASSWORD"
"""The environment variable with the private key's password, where it has one."""


class SignatureError(GateError):
    """Something could not be signed, or a signature is not of these bytes by this key."""


def sign(path: Path, signature: Path, key: Path) -> None:
    """Sign a folder or file with a private elliptic-curve key (PEM). Raises SignatureError."""
    _readable(key)
    from_model_signing = _model_signing()
    password = os.environ.get(PASSWORD)
    try:
        signer = from_model_signing.signing.Config().use_elliptic_key_signer(private_key=key, password=password)
        signer.set_hashing_config(_hashing(from_model_signing, path)).sign(path, signature)
    except (ValueError, TypeError, OSError) as error:
        raise SignatureError(f"{path}: could not be signed with {key}: {error} ({PASSWORD} is its password)") from error


def try_key(key: Path) -> None:
    """Sign a file of nothing: a key that is none is told before anything is recorded. Raises SignatureError."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "nothing").write_bytes(b"nothing")
        sign(place / "nothing", place / "nothing.sig", key)


def check(path: Path, signature: Path, key: Path) -> str:
    """Check a signature with the public key (PEM); files that are not signed do not count. Raises SignatureError."""
    _readable(key)
    from_model_signing = _model_signing()
    try:
        verifier = from_model_signing.verifying.Config().use_elliptic_key_verifier(public_key=key)
        verifier.set_hashing_config(_hashing(from_model_signing, path))
        verifier.set_ignore_unsigned_files(path.is_dir()).verify(path, signature)
    except Exception as error:  # what its parsers raise, too: no proof
        raise SignatureError(f"{signature.name}: {type(error).__name__}: {error}") from error
    return f"good, by {key}"


def available() -> bool:
    """Is the extra there?"""
    try:
        _model_signing()
    except SignatureError:
        return False
    return True


def _hashing(library: Any, path: Path) -> Any:
    """Hidden files are no part of a checkpoint (gate.checkpoints.checkpoint.files), nor are signatures part of what
    they sign."""
    beside = path.rglob("*") if path.is_dir() else []
    left = [each.relative_to(path) for each in beside if each.name.startswith(".") or each.suffix == ".sig"]
    return library.hashing.Config().set_allow_symlinks(True).set_ignored_paths(paths=left)


def _readable(key: Path) -> None:
    if not key.is_file():
        raise SignatureError(f"{key}: there is no such key; make one: openssl ecparam -name prime256v1 -genkey -noout")


def _model_signing() -> Any:
    try:
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        raise SignatureError("signatures need the extra: pip install 'pytest-gate[sign]'") from error
    return model_signing
