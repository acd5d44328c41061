"""Which tensors belong together: of expert and base, and of the expert itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.roles import TensorRole
from deltaworks.checkpoints.tensors import TensorInfo

MATRICES = (2, 3)
"""Dimensions of a matrix, and of a stack of them as experts of a mixture are stored."""
_TABLES = ("embedding", "head")
"""Roles of the tensors that models tie."""


def partner_of(info: TensorInfo, base: Checkpoint) -> tuple[TensorInfo | None, str]:
    """Give the base's tensor when a delta can be taken, or why none can."""
    if info.name not in base:
        return None, "not in the base"
    partner = base.info(info.name)
    shapes = f"shape {info.shape} here, {partner.shape} in the base"
    if partner.shape != info.shape:
        rows = _extra_rows(info, partner)
        return (partner, f"{rows}, {shapes}") if rows else (None, shapes)
    if not info.is_floating or not partner.is_floating:
        exact = partner if partner.dtype == info.dtype else None
        return exact, f"dtype {info.dtype} holds no deltas"
    return partner, ""


def _extra_rows(info: TensorInfo, partner: TensorInfo) -> str:
    """Say how many rows only one of two tensors has; empty when that is not all."""
    if len(info.shape) != len(partner.shape) or info.shape[1:] != partner.shape[1:]:
        return ""
    if not info.is_floating or info.dtype != partner.dtype:
        return ""
    if not info.n_elements or not partner.n_elements:
        return ""
    count = info.shape[0] - partner.shape[0]
    rows = "1 extra row" if abs(count) == 1 else f"{abs(count)} extra rows"
    return rows if count > 0 else f"{rows} in the base"


def twins_of(
    infos: Sequence[TensorInfo], roles: Mapping[str, TensorRole]
) -> dict[str, tuple[str, ...]]:
    """Name for embeddings and heads the earlier ones of the same shape and dtype.

    Reading tells which are equal; a config may call tensors tied that have moved apart.
    """
    tables = [
        info for info in infos if roles[info.name].role in _TABLES and len(info.shape) in MATRICES
    ]
    return {
        info.name: tuple(
            other.name
            for other in tables[:place]
            if (other.shape, other.dtype) == (info.shape, info.dtype)
        )
        for place, info in enumerate(tables)
    }
