"""Fake models: real safetensors files of a few bytes, written without torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltaworks.library.home import Home
from deltaworks.library.library import Library
from deltaworks.progress import JobControl

Tensors = dict[str, np.ndarray[Any, Any]]
WriteModel = Callable[..., Path]


def _write_weights(path: Path, tensors: Tensors) -> None:
    header: dict[str, Any] = {}
    at = 0
    for name, value in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [at, at + value.nbytes],
        }
        at += value.nbytes
    raw = json.dumps(header).encode()
    data = b"".join(value.astype("<f4").tobytes() for value in tensors.values())
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


@pytest.fixture
def write_model() -> WriteModel:
    """Write a model's folder: ``write_model(folder, tensors, card=..., config=...)``."""

    def write(
        folder: Path, tensors: Tensors, *, card: str = "", config: dict[str, Any] | None = None
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        _write_weights(folder / "model.safetensors", tensors)
        facts = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"} | (config or {})
        (folder / "config.json").write_text(json.dumps(facts))
        if card:
            (folder / "README.md").write_text(f"---\n{card}\n---\n# A card\n")
        return folder

    return write


@pytest.fixture
def weights() -> Callable[..., Tensors]:
    """Give random weights of two blocks: ``weights(seed, near=..., size=...)``."""

    def make(seed: int, near: Tensors | None = None, size: float = 0.1) -> Tensors:
        rng = np.random.default_rng(seed)
        names = [
            f"model.layers.{block}.{layer}.weight"
            for block in range(2)
            for layer in ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")
        ]
        drawn = {name: rng.standard_normal((24, 24)).astype(np.float32) for name in names}
        if near is None:
            return drawn
        return {name: near[name] + np.float32(size) * drawn[name] for name in names}

    return make


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """An empty library in a home of its own."""
    library = Library(Home(tmp_path / "home"))
    yield library
    library.close()


@pytest.fixture
def control() -> JobControl:
    return JobControl()
