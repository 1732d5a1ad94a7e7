"""Artifacts that would run code, read other files, or make a reader allocate the world."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path

from gate.preflight.artifact import Artifact
from tests.mutations import mutation
from tests.mutations.good import Good, edit_json, write
from tests.mutations.templates import with_template

SENTINEL = "ran"
"""A file that appears in the mutation's place if any code of the artifact runs."""


def code(good: Good) -> str:
    return f"open({str(good.place / SENTINEL)!r}, 'w').close()\n"


@mutation("no_code_by_config")
def name_a_model_file(good: Good) -> Artifact:
    """config.json has a model_file, which older mlx-lm imports."""
    folder = good.copy(good.fused)
    (folder / "model.txt").write_text(code(good))
    edit_json(folder / "config.json", lambda config: config.update(model_file="model.txt"))
    return good.artifact(folder)


@mutation("no_code_by_config")
def name_an_auto_map(good: Good) -> Artifact:
    """tokenizer_config.json maps its class to code."""
    folder = good.copy(good.fused)
    auto = {"AutoTokenizer": ["evil.Evil", None]}
    edit_json(folder / "tokenizer_config.json", lambda config: config.update(auto_map=auto))
    return good.artifact(folder)


@mutation("no_code_by_config")
def import_by_model_type(good: Good) -> Artifact:
    """model_type is a path to a module elsewhere."""
    folder = good.copy(good.fused)
    edit_json(folder / "config.json", lambda config: config.update(model_type="..tool_parsers.mistral"))
    return good.artifact(folder)


@mutation("no_code_in_files")
def bring_a_module(good: Good) -> Artifact:
    """A Python file lies in the folder."""
    folder = good.copy(good.fused)
    (folder / "modeling.py").write_text(code(good))
    return good.artifact(folder)


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@mutation("no_code_in_files")
def bring_a_pickle(good: Good) -> Artifact:
    """pytorch_model.bin is a pickle that runs when it is loaded."""
    folder = good.copy(good.fused)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Runs(good.place / SENTINEL)))
    return good.artifact(folder)


@mutation("nothing_leads_out")
def link_out(good: Good) -> Artifact:
    """A file of the folder is a link to one elsewhere."""
    folder = good.copy(good.fused)
    (good.place / "elsewhere.json").write_text("{}")
    (folder / "extra.json").symlink_to(good.place / "elsewhere.json")
    return good.artifact(folder)


@mutation("nothing_leads_out")
def index_out(good: Good) -> Artifact:
    """The index of the weights names a file above the folder."""
    folder = good.copy(good.fused)
    index = {"weight_map": {"model.norm.weight": "../base/model.safetensors"}}
    write(folder / "model.safetensors.index.json", json.dumps(index))
    return good.artifact(folder)


@mutation("template_is_harmless")
def reach_for_python(good: Good) -> Artifact:
    """The template reaches for Python's own classes."""
    return with_template(good, lambda text: text + "{{ ''.__class__.__mro__ }}")


@mutation("template_is_harmless")
def read_another_file(good: Good) -> Artifact:
    """The template includes another file."""
    return with_template(good, lambda text: text + "{% include 'secrets.txt' %}")


@mutation("template_is_harmless")
def render_for_ever(good: Good) -> Artifact:
    """The template loops for longer than anyone waits."""
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    return with_template(good, lambda text: loop + text)


@mutation("template_is_harmless")
def render_the_world(good: Good) -> Artifact:
    """The template multiplies a text to gigabytes."""
    return with_template(good, lambda text: "{% set x = 'a' * 4000000000 %}{{ x | length }}" + text)


@mutation("template_is_harmless")
def break_the_syntax(good: Good) -> Artifact:
    """A block of the template is never closed."""
    return with_template(good, lambda text: text.replace("{%- endfor %}", "", 1))


def _header(path: Path, text: bytes, length: int | None = None) -> None:
    """A safetensors file of this header and nothing else."""
    path.unlink()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)


@mutation("headers_are_sound")
def claim_a_huge_header(good: Good) -> Artifact:
    """The safetensors header claims 2^60 bytes."""
    folder = good.copy(good.adapter)
    _header(folder / "adapters.safetensors", b"{}", length=2**60)
    return good.artifact(folder)


@mutation("headers_are_sound")
def claim_a_huge_tensor(good: Good) -> Artifact:
    """A tensor claims 2^40 x 2^40 numbers in no bytes."""
    folder = good.copy(good.adapter)
    entry = {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}
    _header(folder / "adapters.safetensors", json.dumps({"a": entry}).encode())
    return good.artifact(folder)


@mutation("headers_are_sound")
def overlap_two_tensors(good: Good) -> Artifact:
    """Two tensors claim the same bytes."""
    folder = good.copy(good.adapter)
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    _header(folder / "adapters.safetensors", json.dumps({"a": entry, "b": entry}).encode().ljust(200) + b"1234", 200)
    return good.artifact(folder)


@mutation("headers_are_sound")
def cut_the_weights(good: Good) -> Artifact:
    """The last megabyte of the weights is missing, as after a broken download."""
    folder = good.copy(good.fused)
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: -(2**20)])
    return good.artifact(folder)


@mutation("headers_are_sound")
def cut_the_gguf(good: Good) -> Artifact:
    """Half of the GGUF is missing."""
    path = good.copy(good.gguf)
    os.truncate(path, path.stat().st_size // 2)
    return good.artifact(path)


def _patched(good: Good, at: int, data: bytes) -> Artifact:
    path = good.copy(good.gguf)
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)
    return good.artifact(path)


@mutation("headers_are_sound")
def claim_tensors_without_end(good: Good) -> Artifact:
    """The GGUF claims 2^60 tensors."""
    return _patched(good, 8, struct.pack("<Q", 2**60))


@mutation("headers_are_sound")
def claim_a_text_without_end(good: Good) -> Artifact:
    """The first key of the GGUF claims 2^62 bytes."""
    return _patched(good, 24, struct.pack("<Q", 2**62))


@mutation("template_is_harmless")
def hide_behind_tool_use(good: Good) -> Artifact:
    """The default template is the base's; the one for tools, in a file of its own, reaches for Python's classes."""
    folder = good.copy(good.fused)
    (folder / "additional_chat_templates").mkdir()
    text = (folder / "chat_template.jinja").read_text()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ ''.__class__ }}" + text)
    return good.artifact(folder)


@mutation("nothing_leads_out")
def wait_in_a_pipe(good: Good) -> Artifact:
    """A named pipe among the weights: who opens it waits for ever."""
    folder = good.copy(good.fused)
    os.mkfifo(folder / "model-2.safetensors")
    return good.artifact(folder)


@mutation("nothing_leads_out")
def blind_the_check_of_links(good: Good) -> Artifact:
    """A link out of the folder, and an index that is not JSON, so that whoever reads it first gives up."""
    folder = good.copy(good.fused)
    (folder / "notes.txt").symlink_to("/etc/hosts")
    (folder / "x.index.json").write_text('{"weight_map": ')
    return good.artifact(folder)


@mutation("no_code_by_config")
def hide_in_a_large_file(good: Good) -> Artifact:
    """A model_file in a config.json that is padded to more than anyone wants to read."""
    folder = good.copy(good.fused)
    config = json.loads((folder / "config.json").read_text()) | {"model_file": ".evil.py"}
    write(folder / "config.json", json.dumps(config) + " " * (65 * 2**20))
    return good.artifact(folder)


@mutation("no_code_in_files")
def hide_a_module(good: Good) -> Artifact:
    """A Python file whose name begins with a dot."""
    folder = good.copy(good.fused)
    (folder / ".evil.py").write_text(code(good))
    return good.artifact(folder)


@mutation("headers_are_sound")
def claim_endless_dimensions(good: Good) -> Artifact:
    """A shape of three thousand numbers of four thousand digits: multiplying them takes for ever."""
    folder = good.copy(good.adapter)
    entry = {"dtype": "F32", "shape": [10**4000 - 1] * 3000, "data_offsets": [0, 0]}
    _header(folder / "adapters.safetensors", json.dumps({"a": entry}).encode())
    return good.artifact(folder)
