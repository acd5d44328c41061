"""Codes of patches in the cosine domain: classes by importance, ranges, few bits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.compression.parts import damaged, take
from deltaworks.numerics.chunks import row_spans
from deltaworks.numerics.dct import transform, transform_back
from deltaworks.numerics.packing import pack, packed_width, unpack

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts
    from deltaworks.methods.method import TensorSpec

Classes = tuple[tuple[int, float], ...]
"""Bits and share of patches of each class, from the most to the least important."""

Places = npt.NDArray[np.intp]
Found = npt.NDArray[np.uint16]

# Besides the full range.
_CLIPS = tuple(0.05 * step for step in range(6, 20))


def class_sizes(n_patches: int, classes: Classes) -> list[int]:
    """Count the patches of each class: ``round(n share)``, the last takes the rest."""
    sizes: list[int] = []
    for _, share in classes[:-1]:
        sizes.append(min(int(n_patches * share + 0.5), n_patches - sum(sizes)))
    return [*sizes, n_patches - sum(sizes)]


def class_bits(classes: Classes) -> int:
    """Bits that name a class."""
    return max(1, (len(classes) - 1).bit_length())


def patch_bits(n_patches: int, edge: int, classes: Classes) -> int:
    """Bits of everything that ``code_patches`` stores for one matrix."""
    total = 8 * packed_width(n_patches, class_bits(classes))
    for (bits, _), size in zip(classes, class_sizes(n_patches, classes), strict=True):
        total += size * (8 * packed_width(edge * edge, bits) + 32 if bits else 16)
    return total


def classify(patches: Tensor, classes: Classes) -> npt.NDArray[np.uint8]:
    """Give each patch its class, by falling Frobenius norm, ties in their order."""
    import torch

    norms = torch.linalg.vector_norm(patches.flatten(1), dim=1)
    order = torch.sort(norms, descending=True, stable=True).indices.numpy()
    found = np.empty(len(order), dtype=np.uint8)
    ends = np.cumsum([0, *class_sizes(len(order), classes)])
    for number, (start, end) in enumerate(pairwise(ends)):
        found[order[start:end]] = number
    return found


def code_patches(patches: Tensor, classes: Classes, clip: str) -> Parts:
    """Code the patches of one matrix.

    Args:
        patches: ``(n, p, p)`` float32, small enough for float16 ranges.
        classes: bits and shares.
        clip: ``minmax`` or ``mse``.

    Returns:
        ``cls`` u8 (a row of packed classes), ``range`` f16 ``(coded, 2)`` and ``mean`` f16
        ``(zero-bit,)`` in the order of patches, ``q<bits>`` u8 (a row a patch).
    """
    found = classify(patches, classes)
    n_patches, edge, _ = patches.shape
    ranges = np.zeros((n_patches, 2), dtype=np.float16)
    parts: Parts = {"cls": pack(found[None, :], class_bits(classes))}
    for number, (bits, _) in enumerate(classes):
        mine = np.flatnonzero(found == number)
        if bits == 0:
            parts["mean"] = _chosen(patches, mine).flatten(1).mean(dim=1).half().numpy()
            continue
        codes = np.empty((len(mine), packed_width(edge * edge, bits)), dtype=np.uint8)
        for span in row_spans(len(mine), edge * edge):
            coefficients = transform(_chosen(patches, mine[span])).flatten(1)
            ends = _ends(coefficients, bits, clip)
            ranges[mine[span]] = ends.numpy()
            levels = _levels(coefficients, ends, bits)
            codes[span] = pack(levels.numpy().astype(np.uint16), bits)
        parts[f"q{bits}"] = codes
    return parts | {"range": ranges[_is_coded(classes)[found]]}


def _chosen(patches: Tensor, places: Places) -> Tensor:
    import torch

    return patches[torch.from_numpy(places)]


def _is_coded(classes: Classes) -> npt.NDArray[np.bool_]:
    return np.array([bits > 0 for bits, _ in classes])


def _ends(coefficients: Tensor, bits: int, clip: str) -> Tensor:
    """Choose ``(n, 2)`` float16 ends; the codes are then made for the ends as stored."""
    import torch

    low, high = coefficients.amin(dim=1), coefficients.amax(dim=1)
    full = torch.stack([low, high], dim=1)
    if clip == "minmax":
        return full.half()
    best = full.half()
    least = _error(coefficients, best, bits)
    for share in _CLIPS:
        ends = (full * share).half()
        error = _error(coefficients, ends, bits)
        better = error < least
        least = torch.where(better, error, least)
        best = torch.where(better[:, None], ends, best)
    return best


def _error(coefficients: Tensor, ends: Tensor, bits: int) -> Tensor:
    decoded = _values(_levels(coefficients, ends, bits), ends, bits)
    return decoded.sub_(coefficients).square_().sum(dim=1)


def _levels(coefficients: Tensor, ends: Tensor, bits: int) -> Tensor:
    """Nearest of the ``2^bits`` levels, as float32 whole numbers; 0 where there is no range."""
    low, step = _grid(ends, bits)
    safe = step.masked_fill(step == 0, 1.0)
    return (coefficients - low).div_(safe).round_().clamp_(0, (1 << bits) - 1).mul_(step != 0)


def _values(levels: Tensor, ends: Tensor, bits: int) -> Tensor:
    low, step = _grid(ends, bits)
    return levels * step + low


def _grid(ends: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    low, high = ends[:, :1].float(), ends[:, 1:].float()
    return low, (high - low) / ((1 << bits) - 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the patches of a tensor lie.

    Args:
        n_matrices: in the stack.
        n_patches: of each matrix.
        edge: of a patch.
        classes: bits and shares.
    """

    n_matrices: int
    n_patches: int
    edge: int
    classes: Classes


def decode_patches(parts: Parts, spec: TensorSpec, layout: Layout) -> list[Tensor]:
    """Undo ``code_patches`` for every matrix of a stack.

    Args:
        parts: of all matrices, one after another.
        spec: of the tensor, for messages.
        layout: of its patches.

    Returns:
        ``(n_patches, edge, edge)`` float32 for each matrix.
    """
    found = _classes(parts, spec, layout)
    sizes = class_sizes(layout.n_patches, layout.classes)
    n_coded = sum(size for (bits, _), size in zip(layout.classes, sizes, strict=True) if bits)
    ranges = take(parts, "range", np.float16, (layout.n_matrices * n_coded, 2), spec)
    return [
        _patches(parts, spec, layout, number, found[number], _share(ranges, number, n_coded))
        for number in range(layout.n_matrices)
    ]


def _classes(parts: Parts, spec: TensorSpec, layout: Layout) -> Found:
    """Give the class of every patch, a row a matrix."""
    width = class_bits(layout.classes)
    shape = (layout.n_matrices, packed_width(layout.n_patches, width))
    found = unpack(take(parts, "cls", np.uint8, shape, spec), width, layout.n_patches)
    for number, size in enumerate(class_sizes(layout.n_patches, layout.classes)):
        if not (np.count_nonzero(found == number, axis=1) == size).all():
            raise damaged(spec, f"part 'cls' does not hold {size:,} patches of a class")
    return found


def _share(part: npt.NDArray[Any], number: int, size: int) -> npt.NDArray[Any]:
    """Rows of matrix ``number`` in a part that holds ``size`` rows a matrix."""
    return part[number * size : (number + 1) * size]


def _patches(
    parts: Parts,
    spec: TensorSpec,
    layout: Layout,
    number: int,
    found: Found,
    ranges: npt.NDArray[np.float16],
) -> Tensor:
    """Decode the patches of matrix ``number``."""
    import torch

    edge = layout.edge
    out = torch.empty(layout.n_patches, edge, edge)
    in_ranges = found[_is_coded(layout.classes)[found]]
    for place, (bits, _) in enumerate(layout.classes):
        mine = np.flatnonzero(found == place)
        size = len(mine)
        if bits == 0:
            means = take(parts, "mean", np.float16, (layout.n_matrices * size,), spec)
            mean = torch.from_numpy(_share(means, number, size).astype(np.float32))
            out[torch.from_numpy(mine)] = mean[:, None, None].expand(size, edge, edge)
            continue
        shape = (layout.n_matrices * size, packed_width(edge * edge, bits))
        codes = _share(take(parts, f"q{bits}", np.uint8, shape, spec), number, size)
        ends = torch.from_numpy(ranges[in_ranges == place])
        for span in row_spans(size, edge * edge):
            levels = torch.from_numpy(unpack(codes[span], bits, edge * edge).astype(np.float32))
            values = _values(levels, ends[span], bits).view(-1, edge, edge)
            out[torch.from_numpy(mine[span])] = transform_back(values)
    return out
