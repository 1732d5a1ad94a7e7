"""GGUF files that a conversion has spoilt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gate.preflight.artifact import Artifact
from gate.preflight.checks.chat_template import DEFAULT
from tests.mutations import mutation
from tests.mutations.gguf_file import GgufFile, rewritten
from tests.mutations.good import Good

TYPES = "tokenizer.ggml.token_type"
QUERY = "blk.4.attn_q.weight"
BOOL = 7


def broken(good: Good, change: Callable[[GgufFile], object]) -> Artifact:
    return good.artifact(rewritten(good.gguf, good.place / "broken.gguf", change))


def with_template(good: Good, change: Callable[[str], str]) -> Artifact:
    def edit(file: GgufFile) -> None:
        changed = change(file.text(DEFAULT))
        assert changed != file.text(DEFAULT)
        file.set_text(DEFAULT, changed)

    return broken(good, edit)


@mutation("template_is_there")
def lose_the_gguf_template(good: Good) -> Artifact:
    """No template in the GGUF: llama-server would use ChatML and say nothing."""
    return broken(good, lambda file: file.keys.pop(DEFAULT))


@mutation("template_is_the_bases")
def edit_the_gguf_template(good: Good) -> Artifact:
    """One character of the GGUF's template differs from the base's."""
    return with_template(good, lambda text: text.replace("answer in words.", "answer in words!"))


@mutation("server_agrees_with_the_base")
def prompt_another_system(good: Good) -> Artifact:
    """The GGUF's template puts other words into the system turn: other tokens than the base's prompt."""
    return with_template(good, lambda text: text.replace("a helpful AI assistant", "an AI assistant"))


@mutation("server_renders_alike")
def print_an_object(good: Good) -> Artifact:
    """The template prints a tool's parameters as they are: Python's text for jinja2, nothing for llama.cpp."""
    return with_template(good, lambda text: text.replace("+ (tool.parameters | tojson) }}", "}}{{- tool.parameters }}"))


@mutation("the_server_loads_it")
def use_what_the_engine_lacks(good: Good) -> Artifact:
    """The template uses a filter of jinja2 that llama.cpp's engine does not have."""
    return with_template(good, lambda text: text.replace("ns.system }}", "ns.system | center(40) }}"))


@mutation("turn_ends_in_a_stop")
def swap_the_gguf_eos(good: Good) -> Artifact:
    """The GGUF's eos is <|endoftext|>, turns end in <|im_end|>."""
    return broken(good, lambda file: file.set_number("tokenizer.ggml.eos_token_id", 0))


@mutation("gguf_markers_are_tokens")
def make_a_marker_text(good: Good) -> Artifact:
    """<|im_end|> is an ordinary token: text is split across it."""
    return broken(good, lambda file: file.set_in_array(TYPES, 2, 1))


@mutation("markers_keep_their_type")
def make_a_marker_user_defined(good: Good) -> Artifact:
    """<|im_end|> is USER_DEFINED in the GGUF and special in the base: it would be shown, not obeyed."""
    return broken(good, lambda file: file.set_in_array(TYPES, 2, 4))


@mutation("server_adds_one_bos")
def double_the_gguf_bos(good: Good) -> Artifact:
    """add_bos_token, and a template that writes the BOS twice."""

    def edit(file: GgufFile) -> None:
        file.set_number("tokenizer.ggml.add_bos_token", True, BOOL)
        file.set_text(DEFAULT, "{{- bos_token }}" + file.text(DEFAULT))

    return broken(good, edit)


@mutation("server_reads_the_same_tokens")
def lose_a_merge(good: Good) -> Artifact:
    """The first of 48,900 merges of the GGUF's tokenizer is missing."""
    return broken(good, lambda file: file.drop_first("tokenizer.ggml.merges"))


@mutation("server_knows_tools")
def forget_the_gguf_tools(good: Good) -> Artifact:
    """The GGUF's template renders neither tools nor calls."""
    turn = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    return with_template(good, lambda _: f"{{% for m in messages %}}{turn}{{% endfor %}}<|im_start|>assistant\n")


@mutation("server_parses_its_calls")
def encode_the_gguf_arguments_twice(good: Good) -> Artifact:
    """The GGUF's template writes arguments as a string of JSON."""
    call = "tool_call.arguments | tojson"
    return with_template(good, lambda text: text.replace(call, f"{call} | tojson"))


@mutation("architecture_is_the_bases")
def change_the_gguf_rope(good: Good) -> Artifact:
    """rope base 10,000 for 100,000."""
    return broken(good, lambda file: file.set_number("llama.rope.freq_base", 10_000.0))


@mutation("no_tensor_is_lost")
def lose_a_gguf_tensor(good: Good) -> Artifact:
    """A norm of one block is missing."""
    return broken(good, lambda file: file.tensors.pop("blk.9.ffn_norm.weight"))


@mutation("numbers_are_the_bases")
def shift_a_gguf_norm(good: Good) -> Artifact:
    """Norms one higher than in the base, as converters write them for other architectures."""

    def shift(file: GgufFile) -> None:
        tensor = file.tensors["blk.0.attn_norm.weight"]
        tensor[2] = bytearray((np.frombuffer(tensor[2], "<f4") + 1).tobytes())

    return broken(good, shift)


@mutation("numbers_are_the_bases")
def do_not_permute(good: Good) -> Artifact:
    """Query rows in the order of the original, which llama.cpp's rope takes for interleaved ones."""

    def restore(file: GgufFile) -> None:
        shape, _, data = file.tensors[QUERY]
        rows = np.frombuffer(bytes(data), np.uint8).reshape(shape[1], -1)
        heads = rows.reshape(9, shape[1] // 9 // 2, 2, -1).swapaxes(1, 2)
        file.tensors[QUERY][2] = bytearray(heads.reshape(rows.shape).tobytes())

    return broken(good, restore)


@mutation("numbers_are_the_bases")
def swap_two_matrices(good: Good) -> Artifact:
    """The up projections of two blocks have changed places."""

    def swap(file: GgufFile) -> None:
        one, other = (file.tensors[f"blk.{block}.ffn_up.weight"] for block in (5, 6))
        one[2], other[2] = other[2], one[2]

    return broken(good, swap)


@mutation("numbers_are_finite")
def nan_in_a_gguf_scale(good: Good) -> Artifact:
    """The scale of one block of 32 weights is NaN."""
    return broken(good, lambda file: file.tensors[QUERY][2].__setitem__(slice(0, 2), b"\xff\x7f"))
