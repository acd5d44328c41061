"""Merging piece by piece, for whoever has whole tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.errors import MismatchError, NotFiniteError, OptionError
from deltaworks.methods.merging_record import Fill, MergeInputs, StreamInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.rounding import Arithmetic, Floats, is_finite
from deltaworks.numerics.stored import Stored
from deltaworks.numerics.words import dtype_name, tensor_words

if TYPE_CHECKING:
    from torch import Tensor


def stored(words: np.ndarray[Any, Any], dtype: str, arithmetic: Arithmetic) -> Stored:
    """See words as an input: mergekit casts to what it computes in when it reads."""
    is_cast = arithmetic.dtype not in {"F32", dtype}
    return Stored(words.reshape(-1), dtype, arithmetic if is_cast else None)


def merge_streamed(
    stream: Callable[[StreamInputs, Any], Fill], inputs: MergeInputs, options: Any
) -> Tensor:
    """Merge whole tensors.

    Raises:
        NotFiniteError: an input holds NaN or infinity, or the weights make one.
    """
    import torch

    def see(tensor: Tensor, who: str) -> Stored:
        check_shape(tuple(tensor.shape), inputs.spec, who)
        return stored(tensor_words(tensor), dtype_name(tensor.dtype), inputs.arithmetic)

    if not inputs.experts:
        raise OptionError("a merge needs at least one expert", where=inputs.spec.name)
    seen = StreamInputs(
        inputs.spec,
        None if inputs.base is None else see(inputs.base, "the base"),
        tuple(see(expert.tensor, "an expert") for expert in inputs.experts),
        tuple(expert.options for expert in inputs.experts),
        inputs.arithmetic,
    )
    return torch.from_numpy(merge_all(stream, seen, options)).view(inputs.spec.shape)


def merge_all(
    stream: Callable[[StreamInputs, Any], Fill], inputs: StreamInputs, options: Any
) -> Floats:
    """Merge all pieces into one flat array.

    Raises:
        NotFiniteError: an input holds NaN or infinity, or the weights make one.
    """
    # Infinity minus infinity is NaN, which is found and refused.
    with np.errstate(invalid="ignore", over="ignore"):
        fill = stream(inputs, options)
        out = np.empty(len(inputs), dtype=np.float32)
        for span in spans(len(out), inputs.room.size):
            fill(span, out[span])
            if not is_finite(out[span]):
                raise not_finite(inputs.spec.name)
    return out


def check_shape(shape: tuple[int, ...], spec: TensorSpec, who: str) -> None:
    """Refuse a tensor of another shape.

    Raises:
        MismatchError: it has one.
    """
    if shape != spec.shape:
        raise MismatchError(
            f"{who} has shape {list(shape)} where {list(spec.shape)} is needed",
            where=spec.name,
            fix="Merge models of one architecture",
        )


def not_finite(name: str) -> NotFiniteError:
    """Say that a merged tensor would hold NaN or infinity."""
    return NotFiniteError(
        "the merged tensor would hold NaN or infinity",
        where=name,
        fix="Check the inputs for NaN, and the weights for their size",
    )
