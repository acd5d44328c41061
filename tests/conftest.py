"""What every test may use: tiny real models, a home of its own, no network."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from torch import Tensor

TINY_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 1,
}


def tiny_tensors(seed: int) -> dict[str, Tensor]:
    """Two-layer Llama weights in bf16 under their Hugging Face names."""
    import torch

    rng = torch.Generator().manual_seed(seed)

    def matrix(rows: int, cols: int) -> Tensor:
        return (torch.randn(rows, cols, generator=rng) * 0.05).bfloat16()

    tensors = {"model.embed_tokens.weight": matrix(96, 32)}
    for block in range(2):
        at = f"model.layers.{block}"
        tensors |= {
            f"{at}.self_attn.q_proj.weight": matrix(32, 32),
            f"{at}.self_attn.k_proj.weight": matrix(16, 32),
            f"{at}.self_attn.v_proj.weight": matrix(16, 32),
            f"{at}.self_attn.o_proj.weight": matrix(32, 32),
            f"{at}.mlp.gate_proj.weight": matrix(48, 32),
            f"{at}.mlp.up_proj.weight": matrix(48, 32),
            f"{at}.mlp.down_proj.weight": matrix(32, 48),
            f"{at}.input_layernorm.weight": torch.ones(32).bfloat16(),
            f"{at}.post_attention_layernorm.weight": torch.ones(32).bfloat16(),
        }
    tensors["model.norm.weight"] = torch.ones(32).bfloat16()
    tensors["lm_head.weight"] = matrix(96, 32)
    return tensors


def moved(tensors: dict[str, Tensor], seed: int, size: float = 0.01) -> dict[str, Tensor]:
    """A fine-tune: every weight matrix of a block moved a little, the rest kept."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    return {
        name: (value.float() + size * torch.randn(value.shape, generator=rng)).bfloat16()
        if "_proj" in name
        else value.clone()
        for name, value in tensors.items()
    }


def save_model(folder: Path, tensors: dict[str, Tensor], *, shards: int = 1) -> Path:
    """Write a Hugging Face folder: weights, config and a small tokenizer."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(TINY_CONFIG, indent=2))
    (folder / "generation_config.json").write_text('{"eos_token_id": 0, "pad_token_id": 1}\n')
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": "<|end|>",
                "pad_token": "<|pad|>",
            }
        )
    )
    (folder / "README.md").write_text("# A tiny model\n")
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    names = list(tensors)
    weight_map = {}
    for number in range(shards):
        shard = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        mine = names[number::shards]
        save_file({name: tensors[name] for name in mine}, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(mine, shard)
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return folder


def _tokenizer() -> dict[str, Any]:
    """A character tokenizer of 96 entries: two special tokens, then printable ASCII."""
    vocabulary = {"<|end|>": 0, "<|pad|>": 1}
    vocabulary |= {chr(code): number for number, code in enumerate(range(32, 126), start=2)}
    special = [
        {
            "id": number,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for text, number in (("<|end|>", 0), ("<|pad|>", 1))
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": ""},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<|pad|>"},
    }


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model on disk. Never write to it."""
    return save_model(tmp_path_factory.mktemp("models") / "base", tiny_tensors(0))


@pytest.fixture(scope="session")
def tiny_expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tune of ``tiny_base`` on disk. Never write to it."""
    return save_model(tmp_path_factory.mktemp("models") / "expert", moved(tiny_tensors(0), 1))


@pytest.fixture(scope="session")
def tiny_expert2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another fine-tune of ``tiny_base``, in three shards. Never write to it."""
    folder = tmp_path_factory.mktemp("models") / "expert2"
    return save_model(folder, moved(tiny_tensors(0), 2), shards=3)


@pytest.fixture(scope="session")
def tiny_stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same shapes that descends from another base. Never write to it."""
    return save_model(tmp_path_factory.mktemp("models") / "stranger", tiny_tensors(99))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home for the application."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("DELTAWORKS_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection but those inside this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        local = self.family == socket.AF_UNIX or (
            isinstance(address, tuple) and address[0] in {"127.0.0.1", "::1", "localhost"}
        )
        if not local:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
