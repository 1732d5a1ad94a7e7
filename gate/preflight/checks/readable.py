"""P24: everything that a runtime reads of an artifact can be read."""

from __future__ import annotations

from collections.abc import Sequence

from gate.preflight.artifact import Artifact, Broken, read_json
from gate.preflight.checks.tokenizer import tokens
from gate.preflight.rule import rule

CONFIGURATIONS = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")


@rule("P24", "fail", kinds="adapter mlx", remedy="copy or convert it again: a file is missing, cut or damaged")
def everything_can_be_read(artifact: Artifact) -> Sequence[str]:
    """Configurations and weights are there, and can be read."""
    faults = []
    for name in CONFIGURATIONS:
        if name == "config.json" or (artifact.folder / name).exists():
            faults += _tried(lambda name=name: read_json(artifact.folder / name))
    faults += _tried(lambda: artifact.tensors)
    if artifact.checkpoint.adapter:
        faults += _tried(lambda: artifact.adapter_config) + _tried(lambda: artifact.base_tensors)
    return faults


@rule("P24", "fail", kinds="adapter mlx", remedy="take tokenizer.json and tokenizer_config.json from the base")
def the_tokenizer_loads(artifact: Artifact) -> Sequence[str]:
    """mlx-lm loads the tokenizer, and renders with its template, within the limits of time and memory."""
    try:
        tokens(artifact)
    except Broken as fault:
        return [str(fault)]
    return []


def _tried(read) -> list[str]:  # type: ignore[no-untyped-def]
    try:
        read()
    except Broken as fault:
        return [str(fault)]
    return []
