"""Singular triples of a delta: decomposed once, thinned by masks, put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.errors import MismatchError
from deltaworks.methods.compression.parts import damaged, finite_delta, take
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.column_masks import column_masks
from deltaworks.numerics.low_rank import batched_svd, prefers_sketch, thin_svd
from deltaworks.numerics.mask_coding import decode_mask, encode_mask
from deltaworks.numerics.masks import CHECK_BYTES, mask_check
from deltaworks.numerics.matrices import as_stack

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec
    from deltaworks.numerics.low_rank import Svd
    from deltaworks.numerics.matrices import Stack

Counts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Schedule = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""Singular values, all positive, to the share of entries to drop of each vector."""

VECTOR_UNIT = 2.0**-14
"""Entries of singular vectors are at most 1; in this unit they keep float16's precision."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept of the factors of every matrix of a stack.

    Args:
        stack: the matrices.
        ranks: triples kept of each.
        left: entries kept of each vector of U, matrix after matrix.
        right: likewise of V.
    """

    stack: Stack
    ranks: Counts
    left: Counts
    right: Counts

    @property
    def spans(self) -> list[slice]:
        """Where the triples of each matrix lie among all."""
        ends = np.cumsum([0, *self.ranks.tolist()]).tolist()
        return [slice(start, end) for start, end in pairwise(ends)]

    @property
    def places(self) -> npt.NDArray[np.intp]:
        """Number of each triple within its matrix."""
        return np.concatenate([np.arange(0), *(np.arange(rank) for rank in self.ranks)])


def triples_of(pair: TensorPair, rank: int) -> list[Svd]:
    """Decompose every matrix of a pair, once for all methods and settings.

    Args:
        pair: of which tensor.
        rank: triples wanted; more are given where another setting of the job takes more.

    Raises:
        NotFiniteError: the delta holds NaN or infinity.
    """
    finite_delta(pair)
    stack, wanted = as_stack(pair.spec.shape), max(rank, pair.triples)
    if not prefers_sketch(stack.rows, stack.cols, wanted):
        return pair.once(exact_svd)
    return pair.once(_largest(pair.spec.name, wanted))


@cache
def _largest(name: str, rank: int) -> Callable[[Tensor], list[Svd]]:
    """Give the same function each time, which is the key under which settings share."""

    def decompose(delta: Tensor) -> list[Svd]:
        return batched_svd(delta.reshape(as_stack(tuple(delta.shape)).shape), rank, name=name)

    return decompose


def exact_svd(delta: Tensor) -> list[Svd]:
    """Decompose every matrix of a delta as a whole."""
    return [thin_svd(matrix) for matrix in delta.reshape(as_stack(tuple(delta.shape)).shape)]


def whole(stack: Stack, ranks: Sequence[int]) -> Kept:
    """Keep every entry of the first triples of each matrix."""
    total = sum(ranks)
    return Kept(
        stack,
        np.array(ranks, dtype=np.int32),
        np.full(total, stack.rows, dtype=np.int32),
        np.full(total, stack.cols, dtype=np.int32),
    )


def thinned(svds: Sequence[Svd], stack: Stack, schedule: Schedule) -> Kept:
    """Keep of each vector what a schedule leaves, rounded up to whole entries."""
    ranks, left, right = [], [np.zeros(0)], [np.zeros(0)]
    for svd in svds:
        p = schedule(_with_tail(svd))
        p = p[: len(svd.sigma)]
        p = p[p < 1.0]
        ranks.append(len(p))
        left.append(stack.rows - np.floor(stack.rows * p))
        right.append(stack.cols - np.floor(stack.cols * p))
    counts = (np.concatenate(one).astype(np.int32) for one in (left, right))
    return Kept(stack, np.array(ranks, dtype=np.int32), *counts)


def _with_tail(svd: Svd) -> npt.NDArray[np.float64]:
    """Give the singular values; those that were not computed as the last one that was.

    A schedule drops them: it only has to know that they are there.
    """
    sigma = svd.sigma.double().numpy()
    missing = svd.n_triples - len(sigma)
    return np.pad(sigma, (0, missing), mode="edge") if missing else sigma


@dataclass(frozen=True, slots=True)
class Masks:
    """Which entries are kept: for each matrix ``(rank, rows)`` and ``(rank, cols)``."""

    left: list[Mask]
    right: list[Mask]

    @property
    def flat(self) -> Mask:
        """All masks in one: U then V of each matrix, vector after vector."""
        pairs = zip(self.left, self.right, strict=True)
        flats = [one.reshape(-1) for pair in pairs for one in pair]
        return np.concatenate([np.zeros(0, dtype=np.bool_), *flats])


def draw_masks(kept: Kept, spec: TensorSpec, stream: str) -> Masks:
    """Draw the masks from the seed; each matrix and each factor has its own stream."""
    masks = Masks([], [])
    for number, span in enumerate(kept.spans):
        for side, counts, length, found in (
            ("u", kept.left, kept.stack.rows, masks.left),
            ("v", kept.right, kept.stack.cols, masks.right),
        ):
            name = f"{stream}-{side}-{number}"
            found.append(column_masks(spec.seed, spec.name, name, counts[span], length))
    return masks


def full_masks(kept: Kept) -> Masks:
    """Masks that keep everything."""
    left = [np.ones((rank, kept.stack.rows), dtype=np.bool_) for rank in kept.ranks]
    right = [np.ones((rank, kept.stack.cols), dtype=np.bool_) for rank in kept.ranks]
    return Masks(left, right)


def kept_parts(kept: Kept, masks: Masks, *, store_mask: bool) -> Parts:
    """Give counts, and the masks or their checksum, as parts."""
    parts: Parts = {"rank": kept.ranks, "cU": kept.left, "cV": kept.right}
    return parts | (encode_mask(masks.flat) if store_mask else {"check": mask_check(masks.flat)})


def read_ranks(parts: Parts, stack: Stack, spec: TensorSpec) -> Counts:
    """Give the number of triples of each matrix.

    Raises:
        FileError: a matrix of this size has fewer triples.
    """
    ranks = take(parts, "rank", np.int32, (stack.count,), spec)
    most = min(stack.rows, stack.cols)
    if len(ranks) and not 0 <= int(ranks.min()) <= int(ranks.max()) <= most:
        raise damaged(spec, f"part 'rank' is not between 0 and {most:,}")
    return ranks


def read_kept(
    parts: Parts, stack: Stack, spec: TensorSpec, stream: str, *, store_mask: bool
) -> tuple[Kept, Masks]:
    """Undo ``kept_parts``.

    Raises:
        FileError: the parts are damaged.
        MismatchError: the seed gives other masks than it did when the file was made.
    """
    ranks = read_ranks(parts, stack, spec)
    total = int(ranks.sum())
    left, right = (
        _counts(parts, name, total, length, spec)
        for name, length in (("cU", stack.rows), ("cV", stack.cols))
    )
    kept = Kept(stack, ranks, left, right)
    if store_mask:
        return kept, _stored_masks(parts, kept, spec)
    masks = draw_masks(kept, spec, stream)
    check = take(parts, "check", np.uint8, (CHECK_BYTES,), spec)
    if not np.array_equal(check, mask_check(masks.flat)):
        raise MismatchError(
            f"seed {spec.seed} gives other masks than those the file was made with",
            where=spec.name,
            fix="Use the program version that wrote the file, or make it again with 'store_mask'",
        )
    return kept, masks


def _counts(parts: Parts, name: str, total: int, length: int, spec: TensorSpec) -> Counts:
    counts = take(parts, name, np.int32, (total,), spec)
    if total and not 0 < int(counts.min()) <= int(counts.max()) <= length:
        raise damaged(spec, f"part '{name}' is not between 1 and {length:,}")
    return counts


def _stored_masks(parts: Parts, kept: Kept, spec: TensorSpec) -> Masks:
    rows, cols = kept.stack.rows, kept.stack.cols
    try:
        flat = decode_mask(parts, int(kept.ranks.sum()) * (rows + cols))
    except DamagedError as error:
        raise damaged(spec, f"the mask {error}") from error
    masks = Masks([], [])
    for rank in kept.ranks.tolist():
        for length, found in ((rows, masks.left), (cols, masks.right)):
            found.append(flat[: rank * length].reshape(rank, length))
            flat = flat[rank * length :]
    for found, counts in ((masks.left, kept.left), (masks.right, kept.right)):
        each = [mask.sum(axis=1) for mask in found]
        if not np.array_equal(np.concatenate([np.zeros(0), *each]), counts):
            raise damaged(spec, "the mask does not keep as many entries as it should")
    return masks


def survivors(svds: Sequence[Svd], kept: Kept, masks: Masks) -> tuple[Floats, Floats]:
    """Give the kept entries of U and V, vector after vector, in ``VECTOR_UNIT``."""
    sides: tuple[list[Floats], list[Floats]] = ([], [])
    for number, svd in enumerate(svds):
        rank = int(kept.ranks[number])
        for vectors, mask, found in (
            (svd.left, masks.left[number], sides[0]),
            (svd.right, masks.right[number], sides[1]),
        ):
            entries: Floats = vectors[:, :rank].T.numpy()[mask]
            found.append(entries * np.float32(1.0 / VECTOR_UNIT))
    nothing = np.zeros(0, dtype=np.float32)
    return np.concatenate([nothing, *sides[0]]), np.concatenate([nothing, *sides[1]])


def scales_of(svds: Sequence[Svd], kept: Kept, *, rescale: bool) -> Floats:
    """Singular values, divided by the shares kept of both vectors when ``rescale``."""
    spans = zip(svds, kept.spans, strict=True)
    each = [svd.sigma[: span.stop - span.start].double().numpy() for svd, span in spans]
    scales: npt.NDArray[np.float64] = np.concatenate([np.zeros(0), *each])
    if rescale and len(scales):
        scales /= (kept.left / kept.stack.rows) * (kept.right / kept.stack.cols)
    return scales.astype(np.float32)


def best_gains(
    delta: Tensor, left: Floats, right: Floats, scales: Floats, kept: Kept, masks: Masks
) -> Floats:
    """Scales times what brings each decoded matrix nearest to its true one."""
    out = scales.copy()
    matrices = delta.reshape(kept.stack.shape)
    for span, matrix, decoded in zip(
        kept.spans, matrices, products(left, right, scales, kept, masks), strict=True
    ):
        energy = float((decoded * decoded).sum(dim=1).double().sum())
        match = float((decoded * matrix).sum(dim=1).double().sum())
        out[span] *= np.float32(match / energy if energy > 0.0 else 0.0)
    return out


def products(left: Floats, right: Floats, scales: Floats, kept: Kept, masks: Masks) -> list[Tensor]:
    """Multiply ``U diag(scales) V'`` of every matrix.

    Args:
        left: kept entries of U, as ``survivors`` gives them.
        right: likewise of V.
        scales: of all triples.
        kept: how much is kept.
        masks: what is kept.
    """
    import torch

    out: list[Tensor] = []
    for number, span in enumerate(kept.spans):
        sides: list[npt.NDArray[Any]] = []
        for mask, values in ((masks.left[number], left), (masks.right[number], right)):
            side = np.zeros(mask.shape, dtype=np.float32)
            side[mask] = values[: np.count_nonzero(mask)] * np.float32(VECTOR_UNIT)
            sides.append(side)
        left = left[np.count_nonzero(masks.left[number]) :]
        right = right[np.count_nonzero(masks.right[number]) :]
        sides[0] *= scales[span][:, None]
        out.append(torch.from_numpy(sides[0]).T @ torch.from_numpy(sides[1]))
    return out


def joined(matrices: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Put the matrices of a stack together."""
    import torch

    if not matrices:
        return torch.zeros(shape)
    one = matrices[0] if len(matrices) == 1 else torch.stack(list(matrices))
    return one.reshape(shape)
