"""Real hops of SmolLM2: those that agree, and five ways to lose a model on its way to a GGUF.

Four prompts instead of 24, each hop asked once; what a fault is made of is deleted as soon as it has answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.checkpoints import checkpoint, demo
from gate.parity.answer import Hop
from gate.parity.ask import ask, prompts
from gate.parity.compare import Difference, compare
from gate.parity.verdict import legs, reasons, summary
from tests.taught import mlx_lm

pytestmark = pytest.mark.real

COUNT = 4


def hop(path: Path, name: str) -> Hop:
    return ask(checkpoint.identify(str(path)), prompts(COUNT), name=name, say=lambda _: None)


@pytest.fixture(scope="session")
def taught(adapter: Path) -> Hop:
    return hop(adapter, "adapter")


@pytest.fixture(scope="session")
def mlx(base: Path) -> Hop:
    return hop(base, "mlx")


@pytest.fixture(scope="session")
def good(gguf: Path) -> Hop:
    return hop(gguf, "gguf")


def edited(source: Path, target: Path, *, fields: dict[str, Any], rows: Callable[[str, Any], Any]) -> None:
    """A GGUF with some fields replaced, and with the rows of its tensors as `rows` gives them."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader = GGUFReader(source)
    writer = GGUFWriter(target, arch="llama")
    for field in reader.fields.values():
        if field.name not in fields and not field.name.startswith("GGUF.") and field.name != "general.architecture":
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for name, (value, kind) in fields.items():
        writer.add_key_value(name, value, GGUFValueType[kind])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, rows(tensor.name, tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def as_they_are(_: str, data: Any) -> Any:
    return data


def broken(
    gguf: Path,
    folder: Path,
    fields: dict[str, Any] | None = None,
    rows: Callable[[str, Any], Any] = as_they_are,
) -> Hop:
    path = folder / "broken.gguf"
    edited(gguf, path, fields=fields or {}, rows=rows)
    try:
        return hop(path, "broken")
    finally:
        path.unlink()


@pytest.mark.long
def test_adapter_fused_and_8_bit_agree(taught: Hop, fused: Path, eight_bit: Path) -> None:
    hops = [taught, hop(fused, "fused"), hop(eight_bit, "8bit")]
    compared = legs(hops)
    assert summary(hops, compared) == "no hop fell: adapter = fused = 8bit"
    assert compared[0].with_first.agreement == 1
    assert compared[0].with_first.divergence == pytest.approx(0, abs=1e-3)
    assert hops[2].bytes is not None
    assert hops[1].bytes is not None
    assert hops[2].bytes < hops[1].bytes / 3


@pytest.mark.long
def test_a_fuse_into_a_4_bit_base_that_erased_the_adapter(
    taught: Hop,
    adapter: Path,
    base: Path,
    tmp_path: Path,
) -> None:
    """mlx_lm fuse adds the adapter to weights that lie further apart than it moves them, and rounds them again."""
    mlx_lm(
        "convert",
        "--hf-path",
        str(base),
        "--mlx-path",
        str(tmp_path / "q"),
        "-q",
        "--q-bits",
        "4",
        "--dtype",
        "float32",
    )
    mlx_lm("fuse", "--model", str(tmp_path / "q"), "--adapter-path", str(adapter), "--save-path", str(tmp_path / "out"))
    hops = [taught, hop(tmp_path / "out", "4bit")]
    assert summary(hops, legs(hops)).startswith("fell between adapter and 4bit: ")


def test_the_gguf_of_the_same_weights_stands(mlx: Hop, good: Hop) -> None:
    comparison = compare(mlx, good)
    assert reasons(comparison) == ()
    assert not any(pair.longer for pair in comparison.pairs)
    assert comparison.divergence is not None


def test_a_gguf_whose_queries_and_keys_are_not_permuted(mlx: Hop, gguf: Path, tmp_path: Path) -> None:
    """llama.cpp wants the rows of each head interleaved; rows are whole in a quantised tensor too."""
    import numpy

    heads = {"attn_q": 9, "attn_k": 3}

    def straight(name: str, data: Any) -> Any:
        kind = name.split(".")[-2]
        return numpy.ascontiguousarray(demo.unpermute(data, heads[kind])) if kind in heads else data

    bad = broken(gguf, tmp_path, rows=straight)
    (leg,) = legs([mlx, bad])
    assert leg.fell_here
    assert "answers differ" in leg.fell[0]


def test_a_gguf_with_another_template(mlx: Hop, gguf: Path, tmp_path: Path) -> None:
    template = demo.template().replace("Tools:", "These are the tools at hand:")
    bad = broken(gguf, tmp_path, {"tokenizer.chat_template": (template, "STRING")})
    (leg,) = legs([mlx, bad])
    assert "2 of 4 prompts have another length" in leg.fell[0]
    assert leg.fell[0].endswith("the chat template renders tools in another way")


def test_a_doubled_bos(mlx: Hop, gguf: Path, tmp_path: Path) -> None:
    """The template writes bos_token before the <|im_start|> that is SmolLM2's BOS already."""
    bad = broken(gguf, tmp_path, {"tokenizer.chat_template": ("{{- bos_token }}" + demo.template(), "STRING")})
    (leg,) = legs([mlx, bad])
    assert leg.fell[0] == "4 of 4 prompts have another length (+1 tokens): a doubled BOS?"


def test_add_bos_token_alone_doubles_nothing_in_llama_server(good: Hop, gguf: Path, tmp_path: Path) -> None:
    """llama.cpp, common/chat.cpp: with add_bos it takes the template's own BOS away again."""
    same = broken(gguf, tmp_path, {"tokenizer.ggml.add_bos_token": (True, "BOOL")})
    comparison = compare(good, same)
    assert comparison.agreement == 1
    assert not any(pair.longer for pair in comparison.pairs)


def test_a_wrong_stop_token(mlx: Hop, base: Path, tmp_path: Path) -> None:
    """<|endoftext|> instead of <|im_end|>, as after an unlucky conversion."""
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).symlink_to(base / name)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        value = json.loads((base / name).read_text())
        value |= {"eos_token": "<|endoftext|>"} if "eos_token" in value else {"eos_token_id": 0}
        (tmp_path / name).write_text(json.dumps(value))
    (leg,) = legs([mlx, hop(tmp_path, "stop")])
    assert leg.with_first.counts[Difference.RAN_ON] >= 2
    assert "run on after the token that ended them: another stop token" in leg.fell[0]
