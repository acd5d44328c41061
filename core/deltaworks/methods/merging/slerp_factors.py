"""Slerp's factors with mergekit's own roundings, which only its own sums give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.stored import Stored

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 1 << 20
_NO_LENGTH, _NEARLY_PARALLEL = 1e-8, 0.9995


def mergekit_factors(base: Stored, other: Stored, t: float) -> tuple[np.float32, np.float32]:
    """Give the factors of base and other as mergekit 0.1.5 computes them in float32."""
    import torch

    place = torch.tensor(t, dtype=torch.float32)
    lengths = [_length(one) for one in (base, other)]
    parts = []
    for span in spans(len(base), _CHUNK):
        left, right = (
            _numbers(one, span) / length for one, length in zip((base, other), lengths, strict=True)
        )
        parts.append((left * right).sum(dim=1, keepdim=True))
    dot = torch.stack(parts).sum(dim=0).clamp(-1, 1)
    is_linear = dot.abs() > _NEARLY_PARALLEL
    theta = torch.acos(torch.where(is_linear, 0, dot))
    sine = torch.sin(theta)
    keep = torch.where(is_linear, 1 - place, torch.sin((1 - place) * theta) / sine)
    take = torch.where(is_linear, place, torch.sin(place * theta) / sine)
    return np.float32(keep.item()), np.float32(take.item())


def _length(stored: Stored) -> Tensor:
    import torch

    parts = [
        torch.linalg.vector_norm(_numbers(stored, span), dim=1, keepdim=True)
        for span in spans(len(stored), _CHUNK)
    ]
    length = torch.linalg.vector_norm(torch.stack(parts), dim=0)
    return torch.where(length > _NO_LENGTH, length, 1)


def _numbers(stored: Stored, span: slice) -> Tensor:
    import torch

    values = np.empty((1, span.stop - span.start), dtype=np.float32)
    stored.into(span, values[0])
    return torch.from_numpy(values)
