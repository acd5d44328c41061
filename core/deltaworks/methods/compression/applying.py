"""From a tensor's parts back to the fine-tuned tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaworks.errors import MismatchError
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.words import torch_dtype

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import CompressionMethod, Parts
    from deltaworks.methods.method import TensorSpec


def restore_tensor(
    method: CompressionMethod,
    parts: Parts,
    base: Tensor | None,
    spec: TensorSpec,
    options: Any,
    dtype: str,
) -> Tensor:
    """Rebuild a fine-tuned tensor from its base and its parts.

    Args:
        method: that wrote the parts.
        parts: as stored.
        base: as stored, never changed; None when the base has no such tensor.
        spec: of the fine-tuned tensor.
        options: of the method, as recorded.
        dtype: safetensors name of the result.

    Returns:
        A new tensor: bit for bit the fine-tuned one for exact methods, else
        ``base + delta`` in float32, rounded once.

    Raises:
        MismatchError: the base has another shape, or is missing where it is needed.
        FileError: the parts are damaged.
    """
    if method.restore is not None:
        return method.restore(base, parts, spec, dtype)
    if method.decode is None:
        raise TypeError(f"method '{method.id}' can neither decode nor restore")
    delta = method.decode(parts, spec, options)
    return add_and_round(delta, base, spec, dtype)


def add_and_round(delta: Tensor, base: Tensor | None, spec: TensorSpec, dtype: str) -> Tensor:
    """Add a float32 delta, which is used up, to the base and round once."""
    import torch

    if base is None:
        return delta.to(torch_dtype(dtype))
    if tuple(base.shape) != spec.shape:
        raise MismatchError(
            f"the base tensor has shape {list(base.shape)}, the delta {list(spec.shape)}",
            where=spec.name,
            fix="Choose the base that the delta was made from",
        )
    out = torch.empty(spec.shape, dtype=torch_dtype(dtype))
    flat_out, flat_base = out.view(-1), base.reshape(-1)
    flat_delta = delta.reshape(-1)
    for span in spans(flat_out.numel()):
        piece = flat_delta[span]
        piece.add_(flat_base[span].float())
        flat_out[span].copy_(piece)
    return out
