"""What every compression method checks: its input before, its parts after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.errors import FileError, NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

_FIX = "The delta file is damaged; make it again from the two models"


def finite_delta(pair: TensorPair) -> Tensor:
    """Give the delta of a pair.

    Raises:
        NotFiniteError: it holds NaN or infinity.
    """
    if not pair.once(_is_finite):
        raise NotFiniteError(
            "the delta holds NaN or infinity",
            where=pair.spec.name,
            fix="Store this tensor exactly, or check both models",
        )
    return pair.delta


def _is_finite(delta: Tensor) -> bool:
    import torch

    # A sum is three times faster than a test of every number, and mostly settles it.
    return bool(torch.isfinite(delta.sum())) or bool(torch.isfinite(delta).all())


def take(
    parts: Parts, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...], spec: TensorSpec
) -> npt.NDArray[Any]:
    """Give one part after checking that it is what the method writes.

    Args:
        parts: of one tensor.
        name: of the part.
        dtype: it must have.
        shape: it must have; -1 for any length.
        spec: of the tensor, for the message.

    Raises:
        FileError: it is missing or another.
    """
    part = parts.get(name)
    if part is None:
        raise damaged(spec, f"part '{name}' is missing")
    fits = len(part.shape) == len(shape) and all(
        want in (-1, have) for want, have in zip(shape, part.shape, strict=True)
    )
    if not fits or part.dtype != np.dtype(dtype):
        wanted = f"{np.dtype(dtype).name} {list(shape)}"
        raise damaged(spec, f"part '{name}' is {part.dtype.name} {list(part.shape)}, not {wanted}")
    return part


def damaged(spec: TensorSpec, what: str) -> FileError:
    """Make the error for parts that cannot be what was written."""
    return FileError(what, where=spec.name, fix=_FIX)


def one_float(value: float) -> npt.NDArray[np.float32]:
    """Make a part of one number."""
    return np.array([value], dtype=np.float32)
