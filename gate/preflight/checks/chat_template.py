"""P06: one chat template, in all the places one can stand, and harmless."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gate.checkpoints.probe_cache import probed
from gate.preflight import golden_conversations
from gate.preflight.artifact import Artifact, NotPossible, once, read_json, read_text
from gate.preflight.rule import rule
from gate.system import sandbox
from gate.system.text import parted
from gate.types import Json

LOCAL = "adapter mlx gguf"
SECONDS, MEMORY = 10.0, 512 * 2**20
LIMIT = 2**20
"""Characters of a template; the longest real ones have some 30,000."""
DEFAULT = "tokenizer.chat_template"


@rule("P06", "refuse", kinds=LOCAL, remedy="copy chat_template.jinja from the base into the folder, or convert again")
def template_is_there(artifact: Artifact) -> Sequence[str]:
    """The artifact brings a chat template; without one llama-server falls back to ChatML and says nothing."""
    return [] if templates(artifact) else ["no chat template in any of the places one can stand"]


@rule("P06", "fail", kinds=LOCAL, remedy="keep the one the model was trained with, and delete or overwrite the others")
def template_is_one(artifact: Artifact) -> Sequence[str]:
    """All places where a chat template stands hold the same one."""
    found = templates(artifact)
    if len({text.strip() for text in found.values()}) < 2:
        return []
    return [f"{place}: {len(text)} characters, begins {text.strip()[:40]!r}" for place, text in found.items()]


@rule("P06", "fail", kinds="mlx gguf", remedy="copy the base's template, or give the base it was really trained with")
def template_is_the_bases(artifact: Artifact) -> Sequence[str]:
    """The chat template is the one of the base model, with which it was trained."""
    base = artifact.base_folder
    own, other = list(templates(artifact).values()), list(standing(base).values())
    if not own or not other:
        raise NotPossible("one of the two has no chat template")
    if own[0].strip() != other[0].strip():
        return [f"differs from that of {base.name} {_where(own[0].strip(), other[0].strip())}"]
    mine, theirs = every_template(artifact), {**standing(base), **named(base)}
    special = {text.strip(): place for place, text in mine.items() if place not in templates(artifact)}
    known = {text.strip() for text in theirs.values()}
    return [f"{place}: the base has no such template" for text, place in special.items() if text not in known]


@rule("P22", "refuse", kinds=LOCAL, remedy="use the base model's own template")
def template_is_harmless(artifact: Artifact) -> Sequence[str]:
    """The chat template compiles, reaches for nothing private, and renders within its limits of time and memory."""
    found = every_template(artifact)
    faults = [f"{place}: longer than {LIMIT} characters" for place, text in found.items() if len(text) > LIMIT]
    try:
        told = {} if faults else rendered(artifact)
    except sandbox.LimitError as error:
        return [f"rendering it {error}"]
    return faults + [f"{place}: {fault}" for place, facts in told.items() for fault in facts["lint"]]


@once
def templates(artifact: Artifact) -> dict[str, str]:
    """Every default chat template of the artifact by the place where it stands."""
    if not artifact.is_gguf:
        return standing(artifact.folder)
    found = artifact.gguf.metadata.get(DEFAULT)
    return {DEFAULT: found} if isinstance(found, str) and found.strip() else {}


@once
def every_template(artifact: Artifact) -> dict[str, str]:
    """Every chat template, the named ones too: `tool_use` is the one that is rendered when tools are offered."""
    if not artifact.is_gguf:
        return {**standing(artifact.folder), **named(artifact.folder)}
    metadata = artifact.gguf.metadata
    return {key: text for key, text in metadata.items() if key.startswith(DEFAULT) and isinstance(text, str)}


def standing(folder: Path) -> dict[str, str]:
    """A folder's default chat templates by file (transformers, tokenization_utils_base.py)."""
    found: dict[str, object] = {}
    if (folder / "chat_template.jinja").exists():
        found["chat_template.jinja"] = read_text(folder / "chat_template.jinja", 4 * LIMIT)
    found |= {place: value.get("default") for place, value in _configured(folder).items()}
    return {place: text for place, text in found.items() if isinstance(text, str) and text.strip()}


def named(folder: Path) -> dict[str, str]:
    """A folder's other chat templates: named in a list, or in files of additional_chat_templates/."""
    lists = _configured(folder).items()
    found = {f"{place}: {name}": text for place, value in lists for name, text in value.items() if name != "default"}
    for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        found[f"additional_chat_templates/{path.name}"] = read_text(path, 4 * LIMIT)
    return {place: text for place, text in found.items() if isinstance(text, str) and text.strip()}


def _configured(folder: Path) -> dict[str, dict[str, Any]]:
    """The templates in a folder's JSON files, by file and name."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("tokenizer_config.json", "chat_template.json", "processor_config.json"):
        if (folder / name).exists():
            value = read_json(folder / name).get("chat_template")
            rows = value if isinstance(value, list) else [{"name": "default", "template": value}]
            found[name] = {str(row.get("name")): row.get("template") for row in rows if isinstance(row, dict)}
    return found


@once
def rendered(artifact: Artifact) -> Json:
    """The golden conversations by every template of the artifact, in the sandbox. Raises sandbox.LimitError."""
    names = artifact.gguf.texts if artifact.is_gguf else {}
    special = {f"{name}_token": names.get(f"{name}_token_id", f"<{name}>") for name in ("bos", "eos")}
    request = {
        "templates": every_template(artifact),
        "conversations": golden_conversations.CONVERSATIONS,
        "turns": golden_conversations.TURNS,
        "tools": golden_conversations.CALL_TOOLS,
        "tokens": special,
    }
    return probed("template", request, None, seconds=SECONDS, memory=MEMORY)


def _where(one: str, other: str) -> str:
    at = parted(one, other)
    return f"from character {at}: {one[at : at + 30]!r} against {other[at : at + 30]!r}"
