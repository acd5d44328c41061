from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deltaworks.checkpoints import AdapterCheckpoint, UnsafeFormatError, open_checkpoint
from deltaworks.errors import FileError, MismatchError

MakeAdapter = Callable[..., tuple[Path, dict[str, torch.Tensor]]]


@pytest.fixture
def make_adapter(tmp_path: Path, tiny_base: Path) -> MakeAdapter:
    """Make an adapter with PEFT, its factors filled; give its folder and PEFT's merged weights."""

    def make(model: Any = None, **options: Any) -> tuple[Path, dict[str, torch.Tensor]]:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = model or AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
            tuned = get_peft_model(model, LoraConfig(**options))
            rng = torch.Generator().manual_seed(3)
            for name, value in tuned.named_parameters():
                if "lora_" in name or "modules_to_save" in name:
                    value.data.copy_(torch.randn(value.shape, generator=rng) * 0.1)
            tuned.save_pretrained(str(tmp_path / "adapter"))
            merged = tuned.merge_and_unload()
        return tmp_path / "adapter", {
            name: value.detach().clone() for name, value in merged.state_dict().items()
        }

    return make


def assert_merged_as_peft(adapter: Path, base: Path, theirs: dict[str, torch.Tensor]) -> int:
    """Compare every tensor; give how many differ from the base's."""
    changed = 0
    with open_checkpoint(base) as plain, open_checkpoint(adapter, base=base) as model:
        assert set(model.names) == set(plain.names)
        for name in model.names:
            ours = model.read(name)
            assert (tuple(ours.shape), str(ours.dtype)) == (
                model.info(name).shape,
                str(plain.read(name).dtype),
            )
            # PEFT adds in float32 and we in float64: at most one step of the dtype apart.
            near = 2**-7 if ours.dtype == torch.bfloat16 else 1e-5
            torch.testing.assert_close(
                ours, theirs[name].to(ours.dtype), rtol=near, atol=1e-6, msg=name
            )
            changed += not torch.equal(ours, plain.read(name))
            assert torch.equal(model.read(name, slice(1, 3)), ours[1:3])
    return changed


@pytest.mark.parametrize(
    ("options", "n_changed"),
    [
        ({"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8}, 4),
        ({"target_modules": ["q_proj"], "r": 4, "lora_alpha": 8, "use_rslora": True}, 2),
        (
            {
                "target_modules": ["q_proj", "down_proj"],
                "r": 4,
                "rank_pattern": {r"layers\.0\.self_attn\.q_proj": 2, "down_proj": 3},
                "alpha_pattern": {r"layers.1.mlp.down_proj": 5},
            },
            4,
        ),
        ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, 3),
        ({"target_modules": ["embed_tokens", "k_proj"], "r": 2}, 3),
    ],
    ids=["lora", "rslora", "patterns", "modules-to-save", "embeddings"],
)
def test_merged_weights_are_pefts(
    make_adapter: MakeAdapter, tiny_base: Path, options: dict[str, Any], n_changed: int
) -> None:
    adapter, theirs = make_adapter(**options)

    assert assert_merged_as_peft(adapter, tiny_base, theirs) == n_changed


def test_a_bias_of_b_is_added(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=32,
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(tmp_path / "qwen")

    adapter, theirs = make_adapter(model, target_modules=["q_proj"], r=2, lora_bias=True)

    assert assert_merged_as_peft(adapter, tmp_path / "qwen", theirs) == 2


def test_weights_stored_in_by_out_are_changed_the_right_way(
    make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32))
    model.save_pretrained(tmp_path / "gpt2")

    adapter, theirs = make_adapter(model, target_modules=["c_attn"], r=2, fan_in_fan_out=True)

    assert assert_merged_as_peft(adapter, tmp_path / "gpt2", theirs) == 1


def test_names_of_the_base_may_lack_the_models_prefix(
    make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32))
    model.save_pretrained(tmp_path / "gpt2")
    file = tmp_path / "gpt2" / "model.safetensors"
    short = {name.removeprefix("transformer."): x for name, x in load_file(file).items()}
    save_file(short, file)
    adapter, theirs = make_adapter(model, target_modules=["c_attn"], fan_in_fan_out=True)

    with open_checkpoint(adapter, base=tmp_path / "gpt2") as merged:
        ours = merged.read("h.0.attn.c_attn.weight")

    torch.testing.assert_close(ours, theirs["transformer.h.0.attn.c_attn.weight"])


def test_the_base_is_found_where_the_config_says(
    make_adapter: MakeAdapter, tiny_base: Path
) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])

    with open_checkpoint(adapter) as model:
        assert isinstance(model, AdapterCheckpoint)
        assert model.base is not None
        assert model.base.path == tiny_base
        assert model.config["model_type"] == "llama"
        assert "tokenizer.json" in model.side_files
        assert "adapter_config.json" not in model.side_files


def test_the_base_is_found_in_the_cache_that_holds_the_adapter(
    make_adapter: MakeAdapter,
    tiny_base: Path,
    cached_model: Callable[[Path, str, str], Path],
) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])
    name_base(adapter, "acme/tiny-base")
    base = cached_model(tiny_base, "acme/tiny-base", "1")
    cached = cached_model(adapter, "acme/tiny-lora", "2")

    with open_checkpoint(cached) as model:
        assert isinstance(model, AdapterCheckpoint)
        assert model.base is not None
        assert model.base.path == base


def name_base(adapter: Path, base: str) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    (adapter / "adapter_config.json").write_text(json.dumps(config))


def test_an_adapter_without_its_base_is_described_but_not_read(make_adapter: MakeAdapter) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"], r=4)
    name_base(adapter, "acme/elsewhere")

    with open_checkpoint(adapter / "adapter_model.safetensors") as model:
        assert isinstance(model, AdapterCheckpoint)
        name = "model.layers.0.self_attn.q_proj.weight"
        assert model.info(name).shape == (32, 32)
        assert model.n_adapter_parameters == 2 * 4 * (32 + 32)
        with pytest.raises(MismatchError, match="its base model 'acme/elsewhere' is not known"):
            model.read(name)


def test_adapters_in_a_circle_open_without_a_base(make_adapter: MakeAdapter) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])
    other = adapter.with_name("other")
    other.mkdir()
    for file in adapter.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    name_base(adapter, str(other))
    name_base(other, str(adapter))

    with open_checkpoint(adapter) as model:
        assert model.kind == "adapter"


def test_a_base_of_other_shapes_is_refused(
    make_adapter: MakeAdapter, tiny_base: Path, tmp_path: Path
) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])
    other = tmp_path / "other.safetensors"
    names = [f"model.layers.{block}.self_attn.q_proj.weight" for block in (0, 1)]
    save_file({name: torch.zeros(8, 8) for name in names}, other)

    with pytest.raises(MismatchError, match=r"shape \(8, 8\) in the base, \(32, 32\) in the adap"):
        open_checkpoint(adapter, base=other)


def test_a_base_without_the_layers_is_refused(make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])
    save_file({"x": torch.zeros(8)}, tmp_path / "other.safetensors")

    with pytest.raises(MismatchError, match="2 tensors of the adapter have no place in the base"):
        open_checkpoint(adapter, base=tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "type 'IA3'"),
        ({"init_lora_weights": "pissa_niter_16"}, "which changes the base"),
        ({"layer_replication": [[0, 2]]}, "layer replication"),
        ({"r": 0}, "r is 0"),
        ({"r": "many"}, "r is 'many'"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"rank_pattern": {"(": 3}}, "no regular expression"),
        ({"rank_pattern": [3]}, "rank_pattern is"),
        ({"r": 3}, "the config says rank 3"),
    ],
)
def test_adapters_that_are_not_base_plus_sba_are_refused(
    make_adapter: MakeAdapter, tiny_base: Path, options: dict[str, Any], text: str
) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | options))

    with pytest.raises(FileError, match=text.replace("(", r"\(")):
        open_checkpoint(adapter, base=tiny_base)


@pytest.mark.parametrize("rename", [("lora_A", "lora_magnitude_vector"), ("lora_A.weight", "x")])
def test_an_adapter_with_strange_or_missing_factors_is_refused(
    make_adapter: MakeAdapter, tiny_base: Path, rename: tuple[str, str]
) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])
    file = adapter / "adapter_model.safetensors"
    save_file({name.replace(*rename): x for name, x in load_file(file).items()}, file)

    with pytest.raises(FileError, match=r"kind of LoRA that is not read|only one of A and B"):
        open_checkpoint(adapter, base=tiny_base)


def test_a_pickled_adapter_is_not_opened(make_adapter: MakeAdapter) -> None:
    adapter, _ = make_adapter(target_modules=["q_proj"])
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")

    with pytest.raises(UnsafeFormatError, match="unsafe format"):
        open_checkpoint(adapter)
