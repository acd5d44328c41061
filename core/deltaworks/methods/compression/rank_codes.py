"""Entries of singular vectors in few bits, the first vectors in more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.compression.parts import take
from deltaworks.methods.compression.triples import Kept
from deltaworks.numerics.grids import (
    Grids,
    fit_grids,
    from_codes,
    group_lengths,
    to_codes,
    zero_dtype,
)
from deltaworks.numerics.packing import pack, packed_width, unpack

if TYPE_CHECKING:
    from deltaworks.methods.compression_record import Parts
    from deltaworks.methods.method import TensorSpec

Floats = npt.NDArray[np.float32]
RankClasses = tuple[tuple[int, int], ...]
"""Bits of each class and how many triples it takes; the last takes the rest."""

CLASSES: RankClasses = ((8, 2), (3, 32), (2, 0))
"""Those of Delta-CoMe: ranks 0 and 1, ranks 2 to 33, all later ones."""


def bits_of_places(count: int, classes: RankClasses = CLASSES) -> npt.NDArray[np.int64]:
    """Give the bits of the triples 0 to ``count`` - 1 of a matrix."""
    widths = [width for width, _ in classes]
    sizes = [size for _, size in classes[:-1]]
    ends = np.cumsum(sizes)
    found = np.searchsorted(ends, np.arange(count), side="right")
    return np.array(widths, dtype=np.int64)[found]


def rank_for_bits(budget: float, most: int, classes: RankClasses = CLASSES) -> int:
    """Count the triples that a budget holds, classes filled in their order.

    Args:
        budget: bits that may be spent for every row and column of the factors.
        most: triples that there are.
        classes: bits and sizes.
    """
    spent = np.cumsum(bits_of_places(most, classes))
    return int(np.searchsorted(spent, budget, side="right"))


def code_vectors(
    name: str,
    values: Floats,
    counts: npt.NDArray[np.int32],
    kept: Kept,
    group_size: int,
    classes: RankClasses = CLASSES,
) -> Parts:
    """Code the entries of U or of V.

    Args:
        name: ``U`` or ``V``.
        values: entries, vector after vector.
        counts: entries of each vector.
        kept: which vector is which triple of its matrix.
        group_size: entries of a vector that share a grid.
        classes: bits and sizes.

    Returns:
        For each class of b bits that has any: ``<name><b>`` packed codes in one row,
        ``_s`` float16 scales and ``_z`` codes of zero.
    """
    parts: Parts = {}
    for bits, _, of_entries, lengths in by_class(counts, kept, group_size, classes):
        mine = values[of_entries]
        grids = fit_grids(mine, lengths, bits)
        codes = to_codes(mine, lengths, grids, bits)
        parts[f"{name}{bits}"] = pack(codes[None, :], bits)[0]
        parts[f"{name}{bits}_s"] = grids.scale
        parts[f"{name}{bits}_z"] = grids.zero
    return parts


def decode_vectors(
    name: str,
    parts: Parts,
    counts: npt.NDArray[np.int32],
    kept: Kept,
    group_size: int,
    spec: TensorSpec,
    classes: RankClasses = CLASSES,
) -> Floats:
    """Undo ``code_vectors``.

    Raises:
        FileError: the parts are damaged.
    """
    values = np.zeros(int(counts.sum()), dtype=np.float32)
    for bits, count, of_entries, lengths in by_class(counts, kept, group_size, classes):
        packed = take(parts, f"{name}{bits}", np.uint8, (packed_width(count, bits),), spec)
        scale = take(parts, f"{name}{bits}_s", np.float16, (len(lengths),), spec)
        zero = take(parts, f"{name}{bits}_z", zero_dtype(bits), (len(lengths),), spec)
        codes = unpack(packed[None, :], bits, count)[0]
        values[of_entries] = from_codes(codes, lengths, Grids(scale, zero))
    return values


def by_class(
    counts: npt.NDArray[np.int32], kept: Kept, group_size: int, classes: RankClasses = CLASSES
) -> list[tuple[int, int, npt.NDArray[np.bool_], npt.NDArray[np.int64]]]:
    """Bits, number and mask of the entries, and lengths of the groups of each class."""
    places = kept.places
    widths = bits_of_places(int(places.max(initial=-1)) + 1, classes)[places]
    found = []
    for bits, _ in classes:
        mine = widths == bits
        if mine.any():
            lengths = group_lengths(counts[mine], group_size)
            found.append((bits, int(lengths.sum()), np.repeat(mine, counts), lengths))
    return found


def code_bits(parts: Parts) -> float:
    """Bits of the codes alone."""
    return 8.0 * sum(part.nbytes for name, part in parts.items() if _is_code(name))


def _is_code(name: str) -> bool:
    return name[:1] in {"U", "V"} and name[1:].isdigit()


def vector_bits(widths: npt.NDArray[Any], length: int, group_size: int) -> float:
    """Bits of whole vectors of one length: codes and grids.

    Args:
        widths: bits of a code of each vector.
        length: entries of a vector.
        group_size: entries that share a grid of 24 bits.
    """
    groups = -(-length // group_size)
    total = 24.0 * groups * len(widths)
    for bits in set(widths.tolist()):
        total += 8 * packed_width(int((widths == bits).sum()) * length, bits)
    return total
