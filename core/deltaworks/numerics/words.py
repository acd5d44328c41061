"""Raw words of stored tensors: between file bytes, numpy and torch, without a copy where possible.

numpy knows no bfloat16 and no 8-bit floats; their words travel as ``uint16`` and ``uint8``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Words = np.ndarray[Any, Any]

NUMPY_DTYPE: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "F8_E4M3": np.dtype("<u1"),
    "F8_E5M2": np.dtype("<u1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F64": np.dtype("<f8"),
}
"""The numpy dtype that holds the words of a safetensors dtype."""

_TORCH_NAME = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "I64": "int64",
    "U64": "uint64",
    "F64": "float64",
}


def to_float32(words: Words, dtype: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Read words as numbers in float32.

    Args:
        words: any shape, in ``NUMPY_DTYPE[dtype]``.
        dtype: safetensors name.

    Returns:
        A float32 array of the same shape; exact for every float of up to 32 bits.
    """
    if dtype == "BF16":
        wide = words.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    if dtype == "F8_E4M3":
        return _e4m3_values()[words]
    if dtype == "F8_E5M2":
        return (words.astype(np.uint16) << 8).view(np.float16).astype(np.float32)
    return words.astype(np.float32)


@cache
def _e4m3_values() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Every value of the 8-bit float with 4 exponent bits: no infinity, one NaN a sign."""
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    normal = np.ldexp(1.0 + mantissa / 8, exponent - 7)
    value = np.where(exponent == 0, np.ldexp(mantissa / 8, -6), normal)
    value[(code & 127) == 127] = np.nan
    return np.where(code < 128, value, -value).astype(np.float32)


def from_float(values: np.ndarray[Any, Any], dtype: str) -> Words:
    """Round numbers once to the words of a floating dtype: to nearest, ties to even.

    Args:
        values: float64 or float32, any shape.
        dtype: ``F16``, ``BF16``, ``F32`` or ``F64``.

    Returns:
        An array of the same shape in ``NUMPY_DTYPE[dtype]``. Overflow gives infinity;
        NaN stays NaN.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype != "BF16":
            return values.astype(NUMPY_DTYPE[dtype])
        return _bf16_words(values)


def _bf16_words(values: np.ndarray[Any, Any]) -> Words:
    narrow = values.astype(np.float32)
    bits = narrow.view(np.uint32)
    if values.dtype == np.float64:
        # Round to odd on the way, so that two roundings give what one would.
        is_changed = narrow.astype(np.float64) != values
        toward_zero = np.where(np.abs(narrow) > np.abs(values), bits - 1, bits)
        bits = np.where(is_changed, toward_zero | 1, bits).astype(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def torch_dtype(name: str) -> torch.dtype:
    """Give torch's dtype for a safetensors name."""
    import torch

    dtype: torch.dtype = getattr(torch, _TORCH_NAME[name])
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    """Give the safetensors name of a torch dtype; KeyError when it cannot be stored."""
    return _STORED_NAME[str(dtype).removeprefix("torch.")]


_STORED_NAME = {torch_name: name for name, torch_name in _TORCH_NAME.items()}


def tensor_words(tensor: Tensor) -> Words:
    """Give a tensor's raw words; a view of a contiguous CPU tensor, a copy of any other.

    Returns:
        An array of the tensor's shape in ``NUMPY_DTYPE[dtype_name(tensor.dtype)]``.
    """
    import torch

    words = NUMPY_DTYPE[dtype_name(tensor.dtype)]
    plain = tensor.detach().cpu().contiguous()
    if plain.dtype in {torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2}:
        plain = plain.view(torch.int16 if words.itemsize == 2 else torch.uint8)
    return plain.numpy().view(words)


def words_tensor(words: Words, dtype: str) -> Tensor:
    """Give raw words as a tensor that shares their memory where torch can.

    Words of a file mapped for reading give a tensor that must never be written to:
    writing ends the process, so that no input can be changed by accident.

    Args:
        words: any shape, in ``NUMPY_DTYPE[dtype]``.
        dtype: safetensors name.
    """
    import torch

    plain = np.require(words, requirements=["C", "A"])
    if dtype in {"BF16", "F8_E4M3", "F8_E5M2"}:
        plain = plain.view(np.int16 if plain.dtype.itemsize == 2 else np.uint8)
    if not plain.flags.writeable:
        plain = np.asarray(_Lent(plain))
    # np.require makes a scalar one-dimensional.
    return torch.from_numpy(plain).reshape(words.shape).view(torch_dtype(dtype))


class _Lent:
    """Read-only memory offered as if it were writable, which is all that torch accepts silently."""

    def __init__(self, array: Words) -> None:
        facts = array.__array_interface__
        self.__array_interface__ = {**facts, "data": (facts["data"][0], False)}
        self._owner = array
