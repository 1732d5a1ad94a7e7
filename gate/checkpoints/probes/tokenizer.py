"""Child: what a model folder's template, tokenizer and tool parser do, by transformers' and mlx-lm's own code.

Nothing of the folder is run as code: trust_remote_code stays off, and gate.preflight.checks.safety has looked first.
Source of each step: mlx_lm/server.py (_tokenize, handle_completion, ToolCallFormatter) of the installed version.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from mlx_lm.generate import TextStateMachine, make_text_state_machine
from mlx_lm.server import ToolCallFormatter, process_message_content
from mlx_lm.utils import load_config, load_tokenizer

from gate.system import sandbox
from gate.types import Json

SENTINEL = "zebra"
"""An answer that no template has a reason to change."""


def probe(request: Json) -> Json:
    """Facts of the folder: see gate.preflight.tokenizer_facts.Tokens."""
    folder = Path(request["folder"])
    tokenizer = load_tokenizer(folder, eos_token_ids=load_config(folder).get("eos_token_id"))
    inner = tokenizer._tokenizer
    vocabulary = tokenizer.get_vocab()
    return {
        "renders": {name: _both(tokenizer, *talk) for name, talk in request["conversations"].items()},
        "bos": inner.bos_token_id,
        "adds_bos": inner.bos_token_id is not None and inner("a")["input_ids"][:1] == [inner.bos_token_id],
        "eos": sorted(tokenizer.eos_token_ids),
        "ending": _tried(lambda: _ending(tokenizer)),
        "markers": {text: _marker(inner, text, vocabulary) for text in request["markers"]},
        "corpus": [_text(tokenizer, text) for text in request["corpus"]],
        "takes_tools": _tried(lambda: _takes_tools(tokenizer, request["tools"])),
        "parser": inner.init_kwargs.get("tool_parser_type") if tokenizer.has_tool_calling else None,
        "calls": {
            name: _tried(lambda t=talk: _served(tokenizer, t, request["tools"]))
            for name, talk in request["calls"].items()
        },
    }


def _both(tokenizer: Any, messages: list[Json], tools: list[Json]) -> Json:
    """A conversation's prompt by transformers alone and by mlx-lm: token ids, or {"error"}."""
    settings = {"tools": tools or None, "add_generation_prompt": True}
    thinking = {tokenizer._thinking_kwarg: tokenizer.has_thinking}  # what mlx_lm.server asks for
    render = tokenizer._tokenizer.apply_chat_template
    return {
        "transformers": _tried(
            lambda: render(_plain(messages), tokenize=True, return_dict=False, **settings, **thinking)
        ),
        "mlx_lm": _tried(lambda: tokenizer.apply_chat_template(_plain(messages), **settings)),
        "text": _tried(lambda: render(_plain(messages), tokenize=False, **settings, **thinking)),
    }


def _plain(messages: list[Json]) -> list[Json]:
    """The messages as mlx_lm.server hands them to the template: it parses arguments and empties null content."""
    copied = copy.deepcopy(messages)
    process_message_content(copied)
    return copied


def _ending(tokenizer: Any) -> Json:
    """What a template writes after an assistant's words: the text, its first token, and that token's text."""
    talk = [{"role": "user", "content": "Name an animal."}, {"role": "assistant", "content": SENTINEL}]
    text = tokenizer.apply_chat_template(talk, tokenize=False)
    tail = text.rpartition(SENTINEL)[2].strip()
    ids = tokenizer.encode(tail, add_special_tokens=False) if tail else []
    return {"tail": tail, "first": ids[0] if ids else None, "text": tokenizer.decode(ids[:1]) if ids else ""}


def _marker(inner: Any, text: str, vocabulary: dict[str, int]) -> Json:
    added = inner.added_tokens_decoder.get(vocabulary.get(text, -1))
    ids = inner.encode(text, add_special_tokens=False)
    return {"ids": ids, "known": text in vocabulary, "special": bool(added and added.special)}


def _text(tokenizer: Any, text: str) -> Json:
    """A text's ids, what they decode to, and what mlx-lm's streaming detokenizer makes of them."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    detokenizer = tokenizer.detokenizer
    for token in ids:
        detokenizer.add_token(token)
    detokenizer.finalize()
    return {"ids": ids, "decoded": tokenizer.decode(ids), "streamed": detokenizer.text}


def _takes_tools(tokenizer: Any, tools: list[Json]) -> bool:
    """Do the offered tools' names reach the prompt?"""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi."}], tools=tools, add_generation_prompt=True, tokenize=False
    )
    return all(tool["function"]["name"] in text for tool in tools)


def _served(tokenizer: Any, messages: list[Json], tools: list[Json]) -> list[Json]:
    """The calls that mlx_lm.server would make of a turn, were the model to write it as the template does."""
    before = tokenizer.apply_chat_template(_plain(messages[:-1]), tools=tools, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(_plain(messages), tools=tools)
    if whole[: len(before)] != before:
        before = tokenizer.apply_chat_template(_plain(messages[:-1]), tools=tools)
    if whole[: len(before)] != before:
        raise ValueError("the prompt is not a beginning of the whole conversation")
    texts = _tool_texts(tokenizer, whole[len(before) :])
    made = ToolCallFormatter(tokenizer.tool_parser, tools)(texts)
    return [{"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])} for call in made]


def _tool_texts(tokenizer: Any, ids: list[int]) -> list[str]:
    """What lies between the tool markers, found as the server finds it: over decoded text, token by token."""
    state, detokenizer = make_text_state_machine(tokenizer).make_state("normal"), tokenizer.detokenizer
    texts: list[str] = []
    tool, previous = "", "normal"
    for token in ids:
        if token in tokenizer.eos_token_ids:
            break
        detokenizer.add_token(token)
        state, segments = TextStateMachine.split(state, detokenizer.last_segment)
        for now, text in segments:
            tool += text if now == "tool" else ""
            if now == "normal" and previous == "tool":
                texts, tool = [*texts, tool], ""
            previous = now
    return [*texts, tool] if previous == "tool" and tool else texts


def _tried(function: Any) -> Any:
    """The function's value, or {"error"}: a template may refuse a conversation on purpose."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - templates and parsers raise whatever they like
        return {"error": f"{type(error).__name__}: {error}"[:300]}


if __name__ == "__main__":
    sandbox.answer(probe)
