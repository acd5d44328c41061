"""Whole numbers as classes of size, entropy-coded by context, with their low bits raw.

Source: our design after FM-Delta (NeurIPS 2024), which codes the same classes without
contexts. The class of z is ``floor(log2(z + 1))``; it is coded with one table for each
context, by the ANS coder of the ``constriction`` library. Contexts are known to both
sides and are merged until each has enough numbers to pay for its table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.packing import pack, packed_width, unpack

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[Any]
Classes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

PIECE = 1 << 21
_LEAST = 2048
_PRECISION = 14
_TOTAL = 1 << _PRECISION
_HALF = 16


@dataclass(frozen=True, slots=True)
class Coded:
    """Numbers of one piece.

    Args:
        tables: of all contexts: the number of classes, then two bytes a frequency.
        classes: 32-bit words of the coder, lowest byte first.
        low: what classes leave open, class after class, each padded to whole bytes.
    """

    tables: Bytes
    classes: Bytes
    low: Bytes


def encode_numbers(numbers: Words, contexts: Bytes) -> Coded:
    """Code numbers.

    Args:
        numbers: uint16 or uint32, flat.
        contexts: one for each number, known when decoding.
    """
    classes = classes_of(numbers)
    order, sizes = _by_context(contexts)
    tables, words = _encode_classes(classes[order], sizes)
    return Coded(tables, words, _low_bits(numbers, classes))


def decode_numbers(coded: Coded, contexts: Bytes, dtype: np.dtype[Any]) -> Words:
    """Undo ``encode_numbers``.

    Args:
        coded: what it gave.
        contexts: the same.
        dtype: of the numbers.

    Raises:
        DamagedError: the bytes are not what was written.
    """
    order, sizes = _by_context(contexts)
    classes = np.empty(len(contexts), dtype=np.uint8)
    classes[order] = _decode_classes(coded, sizes, 8 * dtype.itemsize)
    return _with_low_bits(coded.low, classes, dtype)


def classes_of(numbers: Words) -> Classes:
    """Give ``floor(log2(z + 1))`` of every number."""
    # A double holds all of these exactly, and frexp is free of logarithms' rounding.
    return (np.frexp(numbers.astype(np.float64) + 1.0)[1] - 1).astype(np.uint8)


def _by_context(contexts: Bytes) -> tuple[npt.NDArray[np.intp], list[int]]:
    """Order that puts merged contexts one after another, and the size of each."""
    counts = np.bincount(contexts, minlength=256)
    merged = np.zeros(256, dtype=np.uint8)
    sizes: list[int] = []
    gathered = 0
    for context in range(255, -1, -1):
        merged[context] = len(sizes)
        gathered += int(counts[context])
        if gathered >= _LEAST:
            sizes.append(gathered)
            gathered = 0
    if gathered and sizes:
        # What is left over goes with the last context that was full.
        merged[merged == len(sizes)] = len(sizes) - 1
        sizes[-1] += gathered
    elif gathered:
        sizes.append(gathered)
    return np.argsort(merged[contexts], kind="stable"), sizes


def frequencies(counts: Counts) -> Counts:
    """Scale counts to a sum of 2^14, so that nothing that occurs gets 0."""
    exact = counts * (_TOTAL / counts.sum())
    found = np.where(counts > 0, np.maximum(1, np.rint(exact)), 0).astype(np.int64)
    found[np.argmax(found)] += _TOTAL - int(found.sum())
    return found


def _encode_classes(classes: Classes, sizes: list[int]) -> tuple[Bytes, Bytes]:
    from constriction import stream

    tables = []
    pieces = np.split(classes, np.cumsum(sizes)[:-1]) if sizes else []
    coder = stream.stack.AnsCoder()
    for piece in pieces:
        shares = frequencies(np.bincount(piece)).astype("<u2")
        tables.append(np.append(np.uint8(len(shares)), shares.view(np.uint8)))
    # A stack: what goes in last comes out first.
    for piece, table in zip(reversed(pieces), reversed(tables), strict=True):
        model, symbols = _model(_read_table(table)[0])
        if model is not None:
            place = np.zeros(256, dtype=np.int32)
            place[symbols] = np.arange(len(symbols))
            coder.encode_reverse(place[piece], model)
    words = coder.get_compressed().astype("<u4").view(np.uint8)
    nothing = np.zeros(0, dtype=np.uint8)
    return np.concatenate([nothing, *tables]), words


def _read_table(data: Bytes) -> tuple[Counts, Bytes]:
    """Read one table; give what follows it too."""
    count = int(data[0]) if len(data) else 0
    if count == 0 or len(data) < 1 + 2 * count:
        raise DamagedError("ends inside a table")
    table = data[1 : 1 + 2 * count].copy().view("<u2").astype(np.int64)
    if int(table.sum()) != _TOTAL:
        raise DamagedError("has a table whose frequencies do not add up")
    return table, data[1 + 2 * count :]


def _model(table: Counts) -> tuple[Any, npt.NDArray[np.intp]]:
    """Give the coder's model of the classes that occur; None when there is only one."""
    from constriction import stream

    symbols = np.flatnonzero(table)
    if len(symbols) == 1:
        return None, symbols
    # Whole numbers over 2^14 are exact in float32: the model is the same everywhere.
    shares = (table[symbols] / _TOTAL).astype(np.float32)
    return stream.model.Categorical(shares, perfect=False), symbols


def _decode_classes(coded: Coded, sizes: list[int], most: int) -> Classes:
    coder = _coder(coded.classes)
    tables = coded.tables
    found = [np.zeros(0, dtype=np.uint8)]
    for size in sizes:
        table, tables = _read_table(tables)
        if len(table) > most + 1:
            raise DamagedError(f"has a table of {len(table)} classes, more than {most + 1}")
        model, symbols = _model(table)
        codes = np.zeros(size, dtype=np.int32) if model is None else coder.decode(model, size)
        found.append(symbols[codes].astype(np.uint8))
    if len(tables) or not coder.is_empty():
        raise DamagedError("goes on after its last number")
    return np.concatenate(found)


def _coder(data: Bytes) -> Any:
    from constriction import stream

    if len(data) % 4:
        raise DamagedError(f"holds {len(data):,} bytes, not whole words")
    try:
        return stream.stack.AnsCoder(np.ascontiguousarray(data).view("<u4").astype(np.uint32))
    except ValueError as error:
        raise DamagedError(f"cannot be decoded ({error})") from error


def _low_bits(numbers: Words, classes: Classes) -> Bytes:
    wide = numbers.astype(np.int64) + 1
    blobs = [np.zeros(0, dtype=np.uint8)]
    for width in range(1, int(classes.max(initial=0)) + 1):
        if width >= 8 * numbers.dtype.itemsize:
            break
        rest = wide[classes == width] - (1 << width)
        blobs += [
            pack((rest >> start & 0xFFFF)[None, :], bits)[0] for start, bits in _fields(width)
        ]
    return np.concatenate(blobs)


def _fields(width: int) -> list[tuple[int, int]]:
    """Split bits into fields that can be packed: where each starts, how wide it is."""
    return [(start, min(_HALF, width - start)) for start in range(0, width, _HALF)]


def _with_low_bits(low: Bytes, classes: Classes, dtype: np.dtype[Any]) -> Words:
    numbers = (np.int64(1) << classes.astype(np.int64)) - 1
    for width in range(1, int(classes.max(initial=0)) + 1):
        if width >= 8 * dtype.itemsize:
            break
        mine = np.flatnonzero(classes == width)
        for start, bits in _fields(width):
            size = packed_width(len(mine), bits)
            if len(low) < size:
                raise DamagedError("ends inside its low bits")
            numbers[mine] += unpack(low[None, :size], bits, len(mine))[0].astype(np.int64) << start
            low = low[size:]
    if len(low):
        raise DamagedError("holds more low bits than its numbers need")
    return numbers.astype(dtype)
