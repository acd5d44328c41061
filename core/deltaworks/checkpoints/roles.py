"""What a tensor is for: the contract. See ``roles_of``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["linear", "embedding", "head", "norm", "bias", "router", "buffer", "other"]


@dataclass(frozen=True, slots=True)
class TensorRole:
    """A tensor's place in the network.

    Args:
        role: ``linear`` is a weight matrix inside a block, the only one that lossy
            compression treats by default.
        block: index of the block it is in; None outside blocks.
        layer: name inside the block without the index, ``self_attn.q_proj``.
        is_transposed: stored ``(in, out)``, as GPT-2's Conv1D is.
    """

    role: Role
    block: int | None = None
    layer: str = ""
    is_transposed: bool = False
