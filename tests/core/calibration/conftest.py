"""Small random models of several architectures, and texts as token ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaworks.calibration import Sequences
from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint

_SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "max_position_embeddings": 64,
}


@pytest.fixture
def random_model(tmp_path: Path) -> Callable[..., Checkpoint]:
    """Write a random model of an architecture and open it."""

    def make(kind: str, **facts: Any) -> Checkpoint:
        import torch
        from safetensors.torch import save_file
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.for_model(kind, **{**_SMALL, **facts})
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        folder = tmp_path / kind
        folder.mkdir()
        described = json.loads(config.to_json_string(use_diff=False))
        described["architectures"] = [type(model).__name__]
        (folder / "config.json").write_text(json.dumps(described))
        weights = {}
        known: set[int] = set()
        for name, value in model.state_dict().items():
            if value.data_ptr() not in known:
                known.add(value.data_ptr())
                weights[name] = value.clone()
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return open_checkpoint(folder)

    return make


@pytest.fixture
def few_texts() -> Sequences:
    """Token ids of several lengths, none padded."""
    import torch

    rng = torch.Generator().manual_seed(3)
    ids = tuple(
        tuple(torch.randint(3, 90, (length,), generator=rng).tolist())
        for length in (20, 20, 33, 7, 33, 50)
    )
    return Sequences(ids, (0,) * len(ids), "random tokens")
