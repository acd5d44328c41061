"""Small codes in few bits: C order, lowest bit first, each row padded to whole bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import row_spans

Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint16]

MAX_BITS = 16


def packed_width(count: int, bits: int) -> int:
    """Bytes of a row of ``count`` codes."""
    return -(-count * bits // 8)


def pack(codes: npt.NDArray[np.generic], bits: int) -> Bytes:
    """Pack codes along their last axis.

    Args:
        codes: non-negative integers below ``2**bits``, or booleans, ``(rows, count)``.
        bits: 1 to 16.

    Returns:
        ``(rows, packed_width(count, bits))``; padding bits are 0.
    """
    rows, count = codes.shape
    if bits == 1:
        return np.packbits(codes.astype(np.bool_, copy=False), axis=1, bitorder="little")
    out = np.empty((rows, packed_width(count, bits)), dtype=np.uint8)
    for span in row_spans(rows, count):
        words = np.ascontiguousarray(codes[span]).astype("<u2")
        if 8 % bits == 0:
            out[span] = _fold(words, bits)
        else:
            out[span] = _squeeze(words, bits)
    return out


def unpack(packed: Bytes, bits: int, count: int) -> Codes:
    """Undo ``pack``: ``(rows, width)`` bytes to ``(rows, count)`` codes."""
    rows = len(packed)
    if bits == 1:
        return np.unpackbits(packed, axis=1, count=count, bitorder="little").astype(np.uint16)
    out = np.empty((rows, count), dtype=np.uint16)
    for span in row_spans(rows, count):
        piece = np.ascontiguousarray(packed[span])
        if 8 % bits == 0:
            out[span] = _unfold(piece, bits)[:, :count]
        else:
            out[span] = _stretch(piece, bits, count)
    return out


def _fold(words: Codes, bits: int) -> Bytes:
    per_byte = 8 // bits
    rows, count = words.shape
    padded = np.zeros((rows, -(-count // per_byte) * per_byte), dtype=np.uint8)
    padded[:, :count] = words
    folded = padded[:, 0::per_byte].copy()
    for place in range(1, per_byte):
        folded |= padded[:, place::per_byte] << np.uint8(bits * place)
    return folded


def _unfold(piece: Bytes, bits: int) -> Bytes:
    per_byte = 8 // bits
    rows, width = piece.shape
    out = np.empty((rows, width * per_byte), dtype=np.uint8)
    for place in range(per_byte):
        out[:, place::per_byte] = (piece >> np.uint8(bits * place)) & np.uint8((1 << bits) - 1)
    return out


def _squeeze(words: Codes, bits: int) -> Bytes:
    rows, count = words.shape
    each = words.view(np.uint8).reshape(rows, count, 2)
    single = np.unpackbits(each, axis=2, count=bits, bitorder="little")
    return np.packbits(single.reshape(rows, count * bits), axis=1, bitorder="little")


def _stretch(piece: Bytes, bits: int, count: int) -> Codes:
    rows = len(piece)
    single = np.unpackbits(piece, axis=1, count=count * bits, bitorder="little")
    each = np.packbits(single.reshape(rows, count, bits), axis=2, bitorder="little")
    words = np.zeros((rows, count, 2), dtype=np.uint8)
    words[:, :, : each.shape[2]] = each
    return words.view("<u2")[:, :, 0].astype(np.uint16)
