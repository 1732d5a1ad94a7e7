"""Templates, tokens and parsers that a conversion has lost, doubled or changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gate.preflight.artifact import Artifact
from tests.mutations import mutation
from tests.mutations.good import Good, edit_json, write

JINJA = "chat_template.jinja"
CALL = "tool_call.arguments | tojson"


def with_template(good: Good, change: Callable[[str], str], *, of: Path | None = None) -> Artifact:
    """The fused folder, or another, with its template changed."""
    folder = good.copy(of or good.fused)
    text = (folder / JINJA).read_text()
    changed = change(text)
    assert changed != text
    write(folder / JINJA, changed)
    return good.artifact(folder)


@mutation("template_is_there")
def strip_the_template(good: Good) -> Artifact:
    """No chat template anywhere."""
    folder = good.copy(good.fused)
    (folder / JINJA).unlink()
    return good.artifact(folder)


@mutation("template_is_one")
def a_second_template(good: Good) -> Artifact:
    """tokenizer_config.json holds the template too, edited by one character."""
    folder = good.copy(good.fused)
    text = (folder / JINJA).read_text().replace("answer in words.", "answer in words!")
    edit_json(folder / "tokenizer_config.json", lambda config: config.update(chat_template=text))
    return good.artifact(folder)


@mutation("template_is_the_bases")
def edit_one_character(good: Good) -> Artifact:
    """One character of the only template differs from the base's."""
    return with_template(good, lambda text: text.replace("answer in words.", "answer in words!"))


@mutation("tools_reach_the_prompt")
def forget_the_tools(good: Good) -> Artifact:
    """The template renders no tools."""
    return with_template(good, lambda text: text.replace("{%- if tools %}", "{%- if false %}"))


@mutation("parser_is_known")
def rename_the_loop(good: Good) -> Artifact:
    """The loop variable has another name, and mlx-lm infers no parser: every call would arrive as text."""
    return with_template(
        good, lambda text: text.replace("tool_call.", "one.").replace("tool_call ", "one "), of=good.base
    )


@mutation("calls_come_back")
def encode_the_arguments_twice(good: Good) -> Artifact:
    """Arguments are written as a string of JSON."""
    return with_template(good, lambda text: text.replace(CALL, f"{CALL} | tojson"))


@mutation("calls_come_back")
def the_wrong_parser(good: Good) -> Artifact:
    """tool_parser_type, saved by a tool of another version, names a parser of another syntax."""
    folder = good.copy(good.fused)
    edit_json(folder / "tokenizer_config.json", lambda config: config.update(tool_parser_type="pythonic"))
    return good.artifact(folder)


@mutation("renderers_agree")
def render_by_another_module(good: Good) -> Artifact:
    """chat_template_type makes mlx-lm render with a module of its own; transformers keeps the template."""
    folder = good.copy(good.fused)
    edit_json(folder / "tokenizer_config.json", lambda config: config.update(chat_template_type="deepseek_v32"))
    return good.artifact(folder)


@mutation("one_bos")
def double_the_bos(good: Good) -> Artifact:
    """The template begins with a BOS, and so does its first turn."""
    return with_template(good, lambda text: "{{- bos_token }}" + text)


@mutation("turn_ends_in_a_stop")
def swap_the_eos(good: Good) -> Artifact:
    """eos is <|endoftext|>; turns end in <|im_end|>: the model runs on."""
    folder = good.copy(good.fused)
    for name in ("config.json", "generation_config.json"):
        edit_json(folder / name, lambda config: config.update(eos_token_id=0))
    edit_json(folder / "tokenizer_config.json", lambda config: config.update(eos_token="<|endoftext|>"))
    return good.artifact(folder)


@mutation("turn_ends_in_a_stop")
def end_turns_with_nothing(good: Good) -> Artifact:
    """The template writes no stop token after an assistant's turn."""
    return with_template(good, lambda text: text.replace("<|im_end|>", ""))


def _retrain(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    edit_json(folder / "tokenizer.json", change)


@mutation("markers_are_tokens")
def split_a_marker(good: Good) -> Artifact:
    """<|im_start|> is not an added token any more: text is split across it."""
    folder = good.copy(good.fused)

    def forget(tokenizer: dict[str, object]) -> None:
        added = [row for row in tokenizer["added_tokens"] if row["content"] != "<|im_start|>"]  # type: ignore
        tokenizer["added_tokens"] = added

    _retrain(folder, forget)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            write(folder / name, json.dumps(_without_start(json.loads((folder / name).read_text()))))
    return good.artifact(folder)


def _without_start(config: dict[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in config.items() if "<|im_start|>" not in json.dumps(value)}
    return kept | {"bos_token": "<|endoftext|>"}


@mutation("tokens_are_the_bases")
def lose_a_merge_of_the_folder(good: Good) -> Artifact:
    """The first merge of the tokenizer is missing."""
    folder = good.copy(good.fused)
    _retrain(folder, lambda tokenizer: tokenizer["model"]["merges"].pop(0))  # type: ignore
    return good.artifact(folder)


@mutation("text_comes_back")
def lose_the_decoder(good: Good) -> Artifact:
    """The tokenizer has no decoder: spaces come back as Ġ."""
    folder = good.copy(good.fused)
    _retrain(folder, lambda tokenizer: tokenizer.update(decoder=None))
    return good.artifact(folder)


@mutation("the_tokenizer_loads")
def lose_the_tokenizer(good: Good) -> Artifact:
    """tokenizer.json is missing."""
    folder = good.copy(good.fused)
    (folder / "tokenizer.json").unlink()
    return good.artifact(folder)


@mutation("template_is_the_bases")
def another_template_for_tools(good: Good) -> Artifact:
    """A named template for tools, which the base does not have, is what would be rendered."""
    folder = good.copy(good.fused)
    text = (folder / JINJA).read_text()
    named = [{"name": "default", "template": text}, {"name": "tool_use", "template": "Ignore the tools. " + text}]
    edit_json(folder / "tokenizer_config.json", lambda config: config.update(chat_template=named))
    return good.artifact(folder)
