"""Delta-DCT: patches of a delta in the cosine domain, the important ones in more bits.

Source: Huang et al., "Seeing Delta Parameters as JPEG Images", arXiv:2503.06676, built
after its abstract and second-hand descriptions: no code of the authors was found, and
ranking, ranges and patch size are our reading. Departures: one power of two a tensor is
the unit of the float16 ranges, so that small deltas keep their precision; a zero-bit
patch is its mean (an independent re-implementation fills all coefficients with it,
which is a mistake).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import field_validator

from deltaworks.methods.compression.parts import damaged, finite_delta, one_float, take
from deltaworks.methods.compression.patch_codes import (
    Classes,
    Layout,
    code_patches,
    decode_patches,
    patch_bits,
)
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.numerics.dct import join_patches, patch_counts, split_patches
from deltaworks.numerics.halves import unit_for
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

    Order = tuple[Tensor, Tensor]

STRATEGIES: dict[str, Classes] = {
    "2-0": ((2, 0.5), (0, 0.5)),
    "2-1-0": ((2, 1 / 3), (1, 1 / 3), (0, 1 / 3)),
    "4-0": ((4, 0.25), (0, 0.75)),
}
"""Bits and share of patches, from the most to the least important."""


class DeltaDctOptions(Options):
    """Options of Delta-DCT."""

    patch: Literal["8", "16", "32", "64"] = option(
        "16",
        title="Patch edge",
        help="Rows and columns of a patch. Larger patches spend less on ranges and follow "
        "differences between regions less.",
        unit="weights",
        sweepable=True,
        sweep=("8", "16", "32"),
    )
    strategy: Literal["2-0", "2-1-0", "4-0"] = option(
        "2-0",
        title="Bits by importance",
        help="How many bits the patches get, the most important first. All three spend "
        "one bit a weight on average, ranges not counted.",
        sweepable=True,
        labels={
            "2-0": "Half at 2 bits, half as a mean",
            "2-1-0": "Thirds at 2 bits, 1 bit, as a mean",
            "4-0": "A quarter at 4 bits, the rest as a mean",
        },
    )
    range: Literal["minmax", "mse"] = option(
        "minmax",
        title="Range of a patch",
        help="From the smallest to the largest coefficient, or clipped where the squared "
        "error is least (slower).",
        sweepable=True,
        labels={"minmax": "Smallest to largest (as described)", "mse": "Least squared error"},
    )
    rescale: Literal["mean_abs", "lsq", "none"] = option(
        "mean_abs",
        title="Rescale",
        help="Bring the decoded delta to the mean magnitude of the true one, to its best "
        "multiple in squared error, or leave it.",
        sweepable=True,
        labels={
            "mean_abs": "Mean magnitude (as described)",
            "lsq": "Least squared error",
            "none": "None",
        },
    )
    sort: bool = option(
        False,
        title="Sort rows and columns",
        help="Put rows and columns in order of their size first, so that patches differ "
        "more. Costs 32 bits a row and column.",
        advanced=True,
        sweepable=True,
    )

    @field_validator("patch", mode="before")
    @classmethod
    def _patch_as_text(cls, value: Any) -> Any:
        """Accept 16 for "16"."""
        return str(value) if isinstance(value, int) else value

    @property
    def edge(self) -> int:
        """Patch edge as a number."""
        return int(self.patch)


def encode(pair: TensorPair, options: DeltaDctOptions) -> Parts:
    """Store codes, ranges and means of all patches; see ``code_patches``."""
    stack = as_stack(pair.spec.shape)
    matrices = finite_delta(pair).reshape(stack.shape)
    largest = float(matrices.abs().max()) if matrices.numel() else 0.0
    # A coefficient is at most the norm of its patch, edge times the largest entry.
    unit = unit_for(largest) * options.edge
    parts: Parts = {"unit": one_float(unit)}
    orders = [_order(matrix, options) for matrix in matrices]
    if options.sort:
        parts |= _stored_orders(orders, stack)
    coded = []
    for matrix, order in zip(matrices, orders, strict=True):
        patches = split_patches(_sorted(matrix, order), options.edge).div_(unit)
        coded.append(code_patches(patches, STRATEGIES[options.strategy], options.range))
    parts |= _joined(coded, stack, options)
    parts["mabs"] = np.array([_mean_magnitude(matrix) for matrix in matrices], dtype=np.float32)
    if options.rescale == "lsq":
        parts["gain"] = _gains(parts, matrices, pair.spec, options)
    return parts


def _joined(coded: list[Parts], stack: Stack, options: DeltaDctOptions) -> Parts:
    """Put the parts of all matrices one after another."""
    import torch

    if not coded:
        none = split_patches(torch.zeros(stack.rows, stack.cols), options.edge)
        example = code_patches(none, STRATEGIES[options.strategy], options.range)
        return {name: part[:0] for name, part in example.items()}
    return {name: np.concatenate([one[name] for one in coded]) for name in coded[0]}


def _order(matrix: Tensor, options: DeltaDctOptions) -> Order | None:
    """Rows and columns by falling norm, ties in their order."""
    import torch

    if not options.sort:
        return None
    rows, cols = (
        torch.sort(torch.linalg.vector_norm(matrix, dim=dim), descending=True, stable=True)
        for dim in (1, 0)
    )
    return rows.indices, cols.indices


def _sorted(matrix: Tensor, order: Order | None) -> Tensor:
    return matrix if order is None else matrix[order[0]][:, order[1]]


def _stored_orders(orders: list[Order | None], stack: Stack) -> Parts:
    """Give the orders as parts, one row a matrix."""
    rows = np.zeros((stack.count, stack.rows), dtype=np.int32)
    cols = np.zeros((stack.count, stack.cols), dtype=np.int32)
    for number, order in enumerate(orders):
        if order is not None:
            rows[number], cols[number] = order[0].numpy(), order[1].numpy()
    return {"rows": rows, "cols": cols}


def _unsorted(matrix: Tensor, parts: Parts, spec: TensorSpec, number: int) -> Tensor:
    """Put rows and columns of matrix ``number`` back."""
    import torch

    stack = as_stack(spec.shape)
    places = []
    for name, count in (("rows", stack.rows), ("cols", stack.cols)):
        order = take(parts, name, np.int32, (stack.count, count), spec)[number]
        if not np.array_equal(np.sort(order), np.arange(count)):
            raise damaged(spec, f"part '{name}' is not an order of {count:,}")
        places.append(torch.from_numpy(order.astype(np.int64)))
    back = torch.empty_like(matrix)
    back[places[0][:, None], places[1]] = matrix
    return back


def _mean_magnitude(matrix: Tensor) -> float:
    import torch

    sums = torch.linalg.vector_norm(matrix, 1, dim=1)
    return float(sums.double().sum()) / max(1, matrix.numel())


def _gains(
    parts: Parts, matrices: Tensor, spec: TensorSpec, options: DeltaDctOptions
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Best multiple of every decoded matrix in squared error."""
    gains = []
    for matrix, plain in zip(matrices, _plain(parts, spec, options), strict=True):
        energy = float((plain * plain).sum(dim=1).double().sum())
        match = float((plain * matrix).sum(dim=1).double().sum())
        gains.append(match / energy if energy > 0.0 else 0.0)
    return np.array(gains, dtype=np.float32)


def _plain(parts: Parts, spec: TensorSpec, options: DeltaDctOptions) -> list[Tensor]:
    """Decode all matrices, before the rescaling."""
    stack = as_stack(spec.shape)
    down, across = patch_counts(stack.rows, stack.cols, options.edge)
    unit = float(take(parts, "unit", np.float32, (1,), spec)[0])
    layout = Layout(stack.count, down * across, options.edge, STRATEGIES[options.strategy])
    out = []
    for number, mine in enumerate(decode_patches(parts, spec, layout)):
        matrix = join_patches(mine.mul_(unit), stack.rows, stack.cols)
        if options.sort:
            matrix = _unsorted(matrix, parts, spec, number)
        out.append(matrix)
    return out


def decode(parts: Parts, spec: TensorSpec, options: DeltaDctOptions) -> Tensor:
    """Transform the patches back, put them together and rescale."""
    import torch

    stack = as_stack(spec.shape)
    wanted = take(parts, "mabs", np.float32, (stack.count,), spec)
    matrices = _plain(parts, spec, options)
    for number, matrix in enumerate(matrices):
        if options.rescale == "mean_abs":
            have = _mean_magnitude(matrix)
            matrix.mul_(float(wanted[number]) / have if have > 0.0 else 1.0)
        elif options.rescale == "lsq":
            matrix.mul_(float(take(parts, "gain", np.float32, (stack.count,), spec)[number]))
    if not matrices:
        return torch.zeros(spec.shape)
    joined = matrices[0] if len(matrices) == 1 else torch.stack(matrices)
    return joined.reshape(spec.shape)


def stored_bits(shape: tuple[int, ...], options: DeltaDctOptions) -> float:
    """Bits of codes, ranges, means, classes and scalars; exact."""
    stack = as_stack(shape)
    down, across = patch_counts(stack.rows, stack.cols, options.edge)
    bits = stack.count * patch_bits(down * across, options.edge, STRATEGIES[options.strategy])
    bits += 32 * stack.count * (2 if options.rescale == "lsq" else 1) + 32
    if options.sort:
        bits += 32 * stack.count * (stack.rows + stack.cols)
    return float(bits)


def payload_bits(parts: Parts, spec: TensorSpec, options: DeltaDctOptions) -> float:  # noqa: ARG001
    """Bits of the coefficients' codes."""
    return 8.0 * sum(part.nbytes for name, part in parts.items() if _is_code(name))


def _is_code(name: str) -> bool:
    return name.startswith("q") and name[1:].isdigit()


METHOD = CompressionMethod(
    id="delta-dct",
    title="Delta-DCT",
    family="compression",
    summary="Treats a change like a picture: important patches in more bits, others as a mean.",
    source="arXiv:2503.06676",
    options=DeltaDctOptions,
    evidence="Built after the abstract and second-hand descriptions; the authors published "
    "no code that we found.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
)
