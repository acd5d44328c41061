"""Synthetic Llama-type families from fixed seeds: a base and two fine-tunes of it, in bf16.

The largest ones hold the numbers of a smaller one again and again: drawing takes longer
than what is to be measured.

A fine-tune is the base plus a low-rank change plus a sparse heavy-tailed one; after
rounding to bf16 rather less than half of its numbers differ from the base's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Generator, Tensor

_SPREAD = 0.02
"""Standard deviation of the base's matrices."""
_RANK, _LOW_RANK, _SPARSE, _DENSITY = 8, 4.5e-5, 3e-4, 0.1
"""Low-rank part: rank, size. Sparse part: size, share of numbers."""
_MODELS = ("base", "expert-a", "expert-b")
_VERSION = 1
_PIECE = 1 << 24


@dataclass(frozen=True)
class Shape:
    """Measures of a Llama-type model."""

    hidden: int
    inner: int
    blocks: int
    vocabulary: int
    key_value: int


SIZES = {
    "tiny": Shape(64, 176, 2, 256, 64),
    "small": Shape(256, 688, 6, 8192, 256),
    "100m": Shape(640, 1728, 12, 32000, 640),
    "500m": Shape(1280, 3456, 21, 32000, 1280),
    "1b": Shape(2048, 5632, 22, 32000, 256),
    "3b": Shape(2560, 6912, 36, 32000, 2560),
}


_REPEATED = {"1b": "500m", "3b": "500m"}
"""Families whose numbers are those of a smaller one."""


@dataclass(frozen=True)
class Family:
    """Folders of a base and two fine-tunes."""

    base: Path
    experts: tuple[Path, Path]
    n_parameters: int

    @property
    def model_bytes(self) -> int:
        """Weight bytes of one model."""
        return 2 * self.n_parameters


def family(size: str, cache: Path) -> Family:
    """Give the family of a size; it is made the first time and kept in ``cache``.

    Its files are read once, so that the first contestant finds them in memory too.
    """
    shape = SIZES[size]
    folder = cache / f"family-{size}-{_VERSION}"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        smaller = family(_REPEATED[size], cache) if size in _REPEATED else None
        for number, name in enumerate(_MODELS):
            if smaller is None:
                _write(folder / name, shape, number)
            else:
                _repeat(folder / name, shape, (smaller.base, *smaller.experts)[number])
        (folder / "whole").touch()
    base, one, other = (folder / name for name in _MODELS)
    for path in folder.rglob("*.safetensors"):
        _read(path)
    count = sum(info.n_elements for info in _infos(shape))
    return Family(base, (one, other), count)


def _read(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(_PIECE):
            pass


def _infos(shape: Shape) -> Iterator[TensorInfo]:
    def matrix(name: str, rows: int, cols: int) -> TensorInfo:
        return TensorInfo(f"{name}.weight", (rows, cols), "BF16")

    def norm(name: str) -> TensorInfo:
        return TensorInfo(f"{name}.weight", (shape.hidden,), "BF16")

    yield matrix("model.embed_tokens", shape.vocabulary, shape.hidden)
    for block in range(shape.blocks):
        at = f"model.layers.{block}"
        yield matrix(f"{at}.self_attn.q_proj", shape.hidden, shape.hidden)
        yield matrix(f"{at}.self_attn.k_proj", shape.key_value, shape.hidden)
        yield matrix(f"{at}.self_attn.v_proj", shape.key_value, shape.hidden)
        yield matrix(f"{at}.self_attn.o_proj", shape.hidden, shape.hidden)
        yield matrix(f"{at}.mlp.gate_proj", shape.inner, shape.hidden)
        yield matrix(f"{at}.mlp.up_proj", shape.inner, shape.hidden)
        yield matrix(f"{at}.mlp.down_proj", shape.hidden, shape.inner)
        yield norm(f"{at}.input_layernorm")
        yield norm(f"{at}.post_attention_layernorm")
    yield norm("model.norm")
    yield matrix("lm_head", shape.vocabulary, shape.hidden)


def _write(folder: Path, shape: Shape, number: int) -> None:
    """Write the base (number 0) or a fine-tune; every tensor has streams of its own."""
    import torch

    from deltaworks.numerics.words import tensor_words

    infos = list(_infos(shape))
    config = json.dumps(_config(shape), indent=2).encode()
    with ModelWriter(folder, infos, side_files={"config.json": config}) as writer:
        for place, info in enumerate(infos):
            tensor = _base(info, torch.Generator().manual_seed(place))
            if number:
                rng = torch.Generator().manual_seed(1_000_000 * number + place)
                tensor = tensor.float() + _delta(info, rng)
            writer.write(info.name, tensor_words(tensor.bfloat16()))
        writer.commit(JobControl())


def _repeat(folder: Path, shape: Shape, smaller: Path) -> None:
    """Write a model from the numbers of a smaller one, from its head for every matrix."""
    infos = list(_infos(shape))
    config = json.dumps(_config(shape), indent=2).encode()
    with (
        ModelWriter(folder, infos, side_files={"config.json": config}) as writer,
        open_checkpoint(smaller) as source,
    ):
        matrix, norm = (source.read_words(name) for name in ("lm_head.weight", "model.norm.weight"))
        for info in infos:
            words = np.resize(matrix if len(info.shape) > 1 else norm, info.n_elements)
            writer.write(info.name, words)
        writer.commit(JobControl())


def _base(info: TensorInfo, rng: Generator) -> Tensor:
    import torch

    if len(info.shape) == 1:
        return torch.ones(info.shape, dtype=torch.bfloat16)
    return (torch.randn(info.shape, generator=rng) * _SPREAD).bfloat16()


def _delta(info: TensorInfo, rng: Generator) -> Tensor:
    import torch

    if len(info.shape) == 1:
        return torch.zeros(info.shape)
    rows, cols = info.shape
    left = torch.randn(rows, _RANK, generator=rng)
    right = torch.randn(_RANK, cols, generator=rng)
    delta = (left @ right).mul_(_LOW_RANK / _RANK**0.5)
    heavy = torch.randn(info.shape, generator=rng).pow_(3)
    is_moved = torch.rand(info.shape, generator=rng) < _DENSITY
    return delta.add_(heavy.mul_(is_moved), alpha=_SPARSE)


def _config(shape: Shape) -> dict[str, object]:
    heads = shape.hidden // 64
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.blocks,
        "num_attention_heads": heads,
        "num_key_value_heads": heads * shape.key_value // shape.hidden,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }


def facts(shape: Shape) -> dict[str, int]:
    """Give the measures as plain data."""
    return asdict(shape)
