"""Deltas as one writes them in ten minutes, whole tensors in memory.

Usage: plain_delta.py pack KIND BASE EXPERT OUT
       plain_delta.py unpack KIND BASE DELTA OUT

KIND: xor-zstd (XOR of the two files' numbers, high and low bytes apart, zstd level 3, as
in ZipLLM's BitX), sign, dare, low-rank (matrices of the blocks; the rest as it is in the
expert), or copy (the expert, loaded and saved).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import zstandard
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
_DROP, _RANK_BITS = 0.9, 1.0


def load(path: Path) -> Tensors:
    return load_file(path / "model.safetensors")


def is_treated(name: str) -> bool:
    return "_proj" in name


def pack_xor(base: Tensors, expert: Tensors) -> Tensors:
    squeeze = zstandard.ZstdCompressor(level=3)
    packed: Tensors = {}
    for name, tensor in expert.items():
        differ = words(tensor) ^ words(base[name])
        for plane in (0, 1):
            blob = squeeze.compress(differ.view(np.uint8).reshape(-1, 2)[:, plane].tobytes())
            packed[f"{name}:{plane}"] = torch.frombuffer(bytearray(blob), dtype=torch.uint8)
    return packed


def unpack_xor(base: Tensors, packed: Tensors) -> Tensors:
    expand = zstandard.ZstdDecompressor()
    found: Tensors = {}
    for name, tensor in base.items():
        differ = np.empty((tensor.numel(), 2), dtype=np.uint8)
        for plane in (0, 1):
            blob = expand.decompress(packed[f"{name}:{plane}"].numpy().tobytes())
            differ[:, plane] = np.frombuffer(blob, dtype=np.uint8)
        bits = differ.view(np.uint16).reshape(-1) ^ words(tensor)
        found[name] = torch.from_numpy(bits.view(np.int16)).view(tensor.dtype).reshape(tensor.shape)
    return found


def words(tensor: torch.Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    return tensor.reshape(-1).view(torch.int16).numpy().view(np.uint16)


def pack_sign(delta: torch.Tensor) -> Tensors:
    bits = torch.from_numpy(np.packbits((delta > 0).numpy()))
    return {"bits": bits, "scale": delta.abs().mean().reshape(1)}


def unpack_sign(parts: Tensors, shape: torch.Size) -> torch.Tensor:
    bits = torch.from_numpy(np.unpackbits(parts["bits"].numpy(), count=shape.numel()))
    return ((bits.float() * 2 - 1) * parts["scale"]).reshape(shape)


def pack_dare(delta: torch.Tensor) -> Tensors:
    kept = torch.rand(delta.shape) >= _DROP
    mask = torch.from_numpy(np.packbits(kept.numpy()))
    return {"mask": mask, "values": (delta[kept] / (1 - _DROP)).bfloat16()}


def unpack_dare(parts: Tensors, shape: torch.Size) -> torch.Tensor:
    bits = np.unpackbits(parts["mask"].numpy(), count=shape.numel())
    delta = torch.zeros(shape)
    delta[torch.from_numpy(bits).bool().reshape(shape)] = parts["values"].float()
    return delta


def pack_low_rank(delta: torch.Tensor) -> Tensors:
    rows, cols = delta.shape
    rank = max(1, int(_RANK_BITS * rows * cols / (16 * (rows + cols))))
    left, sizes, right = torch.linalg.svd(delta, full_matrices=False)
    return {
        "left": (left[:, :rank] * sizes[:rank]).half().contiguous(),
        "right": right[:rank].half().contiguous(),
    }


def unpack_low_rank(parts: Tensors, _shape: torch.Size) -> torch.Tensor:
    return parts["left"].float() @ parts["right"].float()


Pack = Callable[[torch.Tensor], Tensors]
Unpack = Callable[[Tensors, torch.Size], torch.Tensor]
KINDS: dict[str, tuple[Pack, Unpack]] = {
    "sign": (pack_sign, unpack_sign),
    "dare": (pack_dare, unpack_dare),
    "low-rank": (pack_low_rank, unpack_low_rank),
}


def pack(kind: str, base: Tensors, expert: Tensors) -> Tensors:
    if kind == "copy":
        return {name: tensor.clone() for name, tensor in expert.items()}
    if kind == "xor-zstd":
        return pack_xor(base, expert)
    packed: Tensors = {}
    for name, tensor in expert.items():
        if not is_treated(name):
            packed[name] = tensor
            continue
        parts = KINDS[kind][0](tensor.float() - base[name].float())
        packed |= {f"{name}:{part}": value for part, value in parts.items()}
    return packed


def unpack(kind: str, base: Tensors, packed: Tensors) -> Tensors:
    if kind == "xor-zstd":
        return unpack_xor(base, packed)
    found: Tensors = {}
    for name, tensor in base.items():
        if name in packed:
            found[name] = packed[name]
            continue
        parts = {
            key.rpartition(":")[2]: value
            for key, value in packed.items()
            if key.startswith(f"{name}:")
        }
        delta = KINDS[kind][1](parts, tensor.shape)
        found[name] = (tensor.float() + delta).to(tensor.dtype)
    return found


def main(action: str, kind: str, base: Path, given: Path, out: Path) -> None:
    if action == "pack":
        needs_base = kind != "copy"
        save_file(pack(kind, load(base) if needs_base else {}, load(given)), out)
    else:
        out.mkdir()
        made = unpack(kind, load(base), load_file(given))
        save_file(made, out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:6]))
