"""P07 to P10, P13: the same prompt from every renderer, one BOS, the right stop token, whole markers, whole text."""

from __future__ import annotations

from collections.abc import Sequence

from gate.preflight import golden_conversations, tokenizer_facts
from gate.preflight.artifact import Artifact, NotApplicable, NotPossible, once
from gate.preflight.checks import safety
from gate.preflight.checks.chat_template import (
    DEFAULT,
    rendered,
    standing,
    template_is_harmless,
    templates,
)
from gate.preflight.rule import rule
from gate.system.text import parted
from gate.types import Json

LOCAL = "adapter mlx gguf"
CONTROL = 3
"""gguf.TokenType.CONTROL; 4 is USER_DEFINED"""


@rule(
    "P07",
    "fail",
    kinds="adapter mlx",
    remedy="convert again with the versions that will serve it; see P06 for the template",
)
def renderers_agree(artifact: Artifact) -> Sequence[str]:
    """transformers and mlx-lm make the same tokens of every golden conversation."""
    told = tokens(artifact)["renders"]
    differing = [name for name, render in told.items() if render["transformers"] != render["mlx_lm"]]
    broken = [
        f"{name}: {told[name]['text']['error']}" for name in ("user", "tools") if isinstance(told[name]["text"], dict)
    ]
    return [f"{name}: {difference(told[name]['transformers'], told[name]['mlx_lm'])}" for name in differing] + broken


@rule("P08", "fail", kinds="adapter mlx", remedy="set add_bos_token to false, or take the BOS out of the template")
def one_bos(artifact: Artifact) -> Sequence[str]:
    """A prompt begins with at most one BOS, and with one where the tokenizer adds one."""
    told = tokens(artifact)
    prompts = {name: render["mlx_lm"] for name, render in told["renders"].items() if isinstance(render["mlx_lm"], list)}
    doubled = [f"{name}: begins with {n} BOS" for name, ids in prompts.items() if (n := leading(ids, told["bos"])) > 1]
    missing = [
        f"{name}: begins with no BOS" for name, ids in prompts.items() if told["adds_bos"] and ids[:1] != [told["bos"]]
    ]
    return doubled + missing


@rule(
    "P09",
    "fail",
    kinds=LOCAL,
    remedy="set eos_token_id in generation_config.json (or the GGUF's eos/eot id) to that token",
)
def turn_ends_in_a_stop(artifact: Artifact) -> Sequence[str]:
    """The token that the template writes after an assistant's turn is one that the runtime stops at."""
    if artifact.is_gguf:
        return _gguf_stop(artifact)
    told = tokens(artifact)
    ending = told["ending"]
    if "error" in ending:
        return [f"the template cannot render an answer: {ending['error']}"]
    if ending["first"] is None:
        return ["the template writes nothing after an assistant's turn: the model cannot learn to stop"]
    if ending["first"] not in told["eos"]:
        return [f"turns end in {ending['text']!r} ({ending['first']}); the runtime stops at {told['eos']}"]
    return []


@rule(
    "P10",
    "fail",
    kinds="adapter mlx",
    remedy="restore added_tokens of tokenizer.json (or special_tokens_map) from the base",
)
def markers_are_tokens(artifact: Artifact) -> Sequence[str]:
    """Each marker of the template in the form <|…|>, and every other that the vocabulary knows, is one token."""
    text = "".join(standing(artifact.folder).values())
    used = {name: facts for name, facts in tokens(artifact)["markers"].items() if name in text}
    wanted = {name: facts for name, facts in used.items() if facts["known"] or name.startswith("<|")}
    return [f"{name} is {len(facts['ids'])} tokens" for name, facts in wanted.items() if len(facts["ids"]) != 1]


@rule(
    "P13",
    "fail",
    kinds="adapter mlx",
    remedy="take tokenizer.json from the base; its decoder must be one that mlx-lm streams right",
)
def text_comes_back(artifact: Artifact) -> Sequence[str]:
    """Every text of a torture corpus comes back from its tokens, also through mlx-lm's streaming detokenizer."""
    told = zip(golden_conversations.CORPUS, tokens(artifact)["corpus"], strict=True)
    # mlx-lm's detokenizer drops a space at the very beginning
    return [
        f"{text[:40]!r}: {facts['decoded'][:40]!r}, streamed {facts['streamed'][:40]!r}"
        for text, facts in told
        if facts["decoded"] != text or facts["streamed"].lstrip(" ") != text.lstrip(" ")
    ]


@rule("P13", "fail", kinds="mlx", remedy="take tokenizer.json and tokenizer_config.json from the base")
def tokens_are_the_bases(artifact: Artifact) -> Sequence[str]:
    """The folder's tokenizer makes the same tokens of a torture corpus as the base's."""
    own, other = tokens(artifact)["corpus"], base_tokens(artifact)["corpus"]
    pairs = zip(golden_conversations.CORPUS, own, other, strict=True)
    return [
        f"{text[:40]!r}: {difference(one['ids'], two['ids'])}" for text, one, two in pairs if one["ids"] != two["ids"]
    ]


@rule(
    "P10", "fail", kinds="gguf", remedy="convert again: in the GGUF each marker must be a CONTROL or USER_DEFINED token"
)
def gguf_markers_are_tokens(artifact: Artifact) -> Sequence[str]:
    """Each marker of the template in the form <|…|> is a token of its own that text cannot be split across."""
    known, text = artifact.gguf.tokens, "".join(templates(artifact).values())
    return [
        f"{name} is not a control token"
        for name in tokenizer_facts.MARKERS
        if name.startswith("<|") and name in text and name not in known
    ]


@rule("P10", "fail", kinds="gguf", remedy="convert again from the folder with the right tokenizer")
def markers_keep_their_type(artifact: Artifact) -> Sequence[str]:
    """A marker that is special in the base's tokenizer is a CONTROL token in the GGUF, and the other way round."""
    known, text = artifact.gguf.tokens, "".join(templates(artifact).values())
    told = base_tokens(artifact)["markers"]
    shared = [name for name in tokenizer_facts.MARKERS if name in text and name in known and told[name]["known"]]
    pairs = {name: (known[name], (told[name]["ids"], told[name]["special"])) for name in shared}
    return [
        f"{name} is token {number}, control {type_ == CONTROL}; in the base {ids}, special {special}"
        for name, ((number, type_), (ids, special)) in pairs.items()
        if [number] != ids or (type_ == CONTROL) != special
    ]


@once
def tokens(artifact: Artifact) -> Json:
    """The tokenizer's facts of the folder that is served. Raises NotPossible where it is not safe to load it."""
    safety.require(artifact, "the tokenizer")
    if not standing(artifact.folder):
        raise NotPossible("there is no chat template")
    if template_is_harmless(artifact):
        raise NotPossible("the chat template is refused")
    return tokenizer_facts.probe(artifact.folder)


@once
def base_tokens(artifact: Artifact) -> Json:
    """The same of the folder it was made from. Raises NotPossible where that is not known, or not safe to load."""
    folder = artifact.base_folder
    safety.require(artifact, "the base's tokenizer")
    return tokenizer_facts.probe(folder)


def leading(ids: list[int], bos: int | None) -> int:
    """How many BOS a prompt begins with."""
    count = next((n for n, token in enumerate(ids) if token != bos), len(ids))
    return count if bos is not None else 0


def difference(one: object, other: object) -> str:
    """Where two lists of token ids part, in words."""
    if not isinstance(one, list) or not isinstance(other, list):
        return f"{str(one)[:100]} against {str(other)[:100]}"
    return f"{len(one)} against {len(other)} tokens, the first difference at token {parted(one, other)}"


def _gguf_stop(artifact: Artifact) -> Sequence[str]:
    """The marker right after an answer in the render, against the eos, eot and eom ids of the metadata."""
    render = rendered(artifact)[DEFAULT]["renders"].get("multi-turn") if templates(artifact) else None
    if not isinstance(render, str) or "Two?" not in render:
        raise NotApplicable("the template renders no assistant turn")
    tail = render.split("Two?", 2)[1].lstrip()
    stops = [artifact.gguf.texts.get(f"{name}_token_id", "") for name in ("eos", "eot", "eom")]
    if any(stop and tail.startswith(stop) for stop in stops):
        return []
    return [f"turns end in {tail[:20]!r}; the metadata stops at {[stop for stop in stops if stop]}"]
