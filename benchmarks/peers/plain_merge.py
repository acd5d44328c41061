"""A merge as one writes it in ten minutes: load everything, merge each tensor, save.

Usage: plain_merge.py CONFIG OUT, where CONFIG is a mergekit file.
"""

from __future__ import annotations

import sys
from math import acos, sin
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

Options = list[dict[str, float]]


def linear(_base: torch.Tensor, experts: list[torch.Tensor], own: Options) -> torch.Tensor:
    merged = sum(expert * one["weight"] for expert, one in zip(experts, own, strict=True))
    return torch.as_tensor(merged) / sum(one["weight"] for one in own)


def task_arithmetic(base: torch.Tensor, experts: list[torch.Tensor], own: Options) -> torch.Tensor:
    deltas = [(expert - base) * one["weight"] for expert, one in zip(experts, own, strict=True)]
    return base + torch.stack(deltas).sum(dim=0)


def slerp(base: torch.Tensor, experts: list[torch.Tensor], own: Options) -> torch.Tensor:
    other, t = experts[0], own[0]["t"]
    cosine = float(torch.nn.functional.cosine_similarity(base.flatten(), other.flatten(), dim=0))
    if abs(cosine) > 0.9995:
        return base * (1 - t) + other * t
    angle = acos(cosine)
    return base * (sin((1 - t) * angle) / sin(angle)) + other * (sin(t * angle) / sin(angle))


def ties(base: torch.Tensor, experts: list[torch.Tensor], own: Options) -> torch.Tensor:
    deltas = torch.stack([expert - base for expert in experts])
    weights = torch.tensor([one["weight"] for one in own]).reshape(-1, *[1] * base.dim())
    for delta, one in zip(deltas, own, strict=True):
        flat = delta.view(-1)
        keep = max(1, int(one["density"] * flat.numel()))
        dropped = torch.argsort(flat.abs(), descending=True, stable=True)[keep:]
        flat[dropped] = 0
    deltas *= weights
    elected = (deltas.sum(dim=0) >= 0).float() * 2 - 1
    agrees = deltas.sign() == elected
    divisor = (weights * agrees).sum(dim=0)
    divisor[divisor == 0] = 1
    return base + (deltas * agrees).sum(dim=0) / divisor


METHODS = {
    "linear": linear,
    "task_arithmetic": task_arithmetic,
    "slerp": slerp,
    "ties": ties,
}


def load(path: str) -> dict[str, torch.Tensor]:
    return load_file(Path(path) / "model.safetensors")


def main(config: Path, out: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(config.read_text())
    merge = METHODS[document["merge_method"]]
    base_path = document.get("base_model", "")
    entries = [entry for entry in document["models"] if entry["model"] != base_path]
    own = [{**document.get("parameters", {}), **entry.get("parameters", {})} for entry in entries]
    experts = [load(entry["model"]) for entry in entries]
    base = load(base_path) if base_path else experts[0]
    merged = {
        name: merge(base[name].float(), [expert[name].float() for expert in experts], own).to(
            base[name].dtype
        )
        for name in base
    }
    out.mkdir()
    save_file(merged, out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
