"""What is known of a tensor from its header, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

DTYPE_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
"""Bytes an element of every dtype we read, by its safetensors name."""

FLOATING = frozenset({"F16", "BF16", "F32", "F64"})


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, shape and dtype of a stored tensor.

    Args:
        name: parameter name.
        shape: as stored.
        dtype: safetensors name, a key of ``DTYPE_BYTES``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def n_elements(self) -> int:
        """Count of numbers; 1 for a scalar."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return self.n_elements * DTYPE_BYTES[self.dtype]

    @property
    def is_floating(self) -> bool:
        """Whether deltas of it make sense."""
        return self.dtype in FLOATING
