"""Signed whole numbers, small ones most often, entropy-coded by context.

The magnitude is coded with one static table for each group of neighbouring contexts, by
the ANS coder of the ``constriction`` library; signs and what exceeds the alphabet are
stored as they are. Contexts are classes of expected size, known to both sides; those that
are not worth a table of their own are merged with a neighbour. A table is a chain of
probabilities, "no more than k, given at least k", and becomes frequencies by integer
arithmetic alone, so that every machine reads it alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.mask_coding import from_leb128, leb128

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]

N_CONTEXTS = 32
TOP = 31
"""Largest class: this magnitude and everything above."""
PIECE = 1 << 22
"""Numbers that one run of the coder holds."""

_TOTAL = 1 << 16
_STEPS = 256
_HEAD_BITS = 8 * 4
_CLASS_BITS = 8
_WORD = 4


@dataclass(frozen=True)
class Table:
    """Frequencies of the classes of contexts ``first`` to ``last``.

    Args:
        first: smallest context.
        last: largest one.
        frequencies: of every class, with a sum of 2^16.
    """

    first: int
    last: int
    frequencies: Counts

    @property
    def bits(self) -> npt.NDArray[np.float64]:
        """Code length of each class, without its sign."""
        return 16.0 - np.log2(self.frequencies)

    @property
    def table_bits(self) -> int:
        """Bits the table takes itself."""
        return _HEAD_BITS + _CLASS_BITS * max(0, len(self.frequencies) - 2)


def count_classes(magnitudes: Numbers, contexts: Bytes | int) -> Counts:
    """Count magnitudes by context: ``(N_CONTEXTS, TOP + 1)``."""
    classes = np.minimum(magnitudes, TOP).reshape(-1)
    if isinstance(contexts, int):
        found = np.zeros((N_CONTEXTS, TOP + 1), dtype=np.int64)
        found[contexts] = np.bincount(classes, minlength=TOP + 1)
        return found
    places = contexts.reshape(-1).astype(np.int32) * (TOP + 1) + classes
    counts = np.bincount(places, minlength=N_CONTEXTS * (TOP + 1))
    return counts.reshape(N_CONTEXTS, TOP + 1).astype(np.int64)


def fit_tables(counts: Counts) -> list[Table]:
    """Give tables that pay for themselves: neighbours are merged while that saves bits.

    Args:
        counts: as ``count_classes`` gives them.
    """
    groups = [(int(place), int(place), counts[place]) for place in np.flatnonzero(counts.any(1))]
    costs = [_cost(group[2]) for group in groups]
    while len(groups) > 1:
        merged = [one[2] + other[2] for one, other in pairwise(groups)]
        new = [_cost(each) for each in merged]
        saved = [costs[k] + costs[k + 1] - new[k] for k in range(len(new))]
        best = int(np.argmax(saved))
        if saved[best] < 0:
            break
        groups[best : best + 2] = [(groups[best][0], groups[best + 1][1], merged[best])]
        costs[best : best + 2] = [new[best]]
    return [Table(first, last, frequencies(count)) for first, last, count in groups]


def _cost(counts: Counts) -> float:
    """Bits of numbers and table together."""
    used = counts[counts > 0]
    bits = float(used @ (np.log2(counts.sum()) - np.log2(used)))
    return bits + _HEAD_BITS + _CLASS_BITS * max(0, int(np.flatnonzero(counts)[-1]) - 1)


def frequencies(counts: Counts) -> Counts:
    """Round counts to what a table can say; every class up to the largest gets its share."""
    return _from_chain(*_chain(counts))


def _chain(counts: Counts) -> tuple[int, Bytes]:
    """Give the frequency of class 0, and in 256ths those of later ones among what is left."""
    n_classes = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 1
    if n_classes == 1:
        return _TOTAL, np.zeros(0, dtype=np.uint8)
    left = counts[:n_classes][::-1].cumsum()[::-1].astype(np.float64)
    first = int(np.rint(_TOTAL * counts[0] / left[0]))
    shares = np.rint(_STEPS * counts[1 : n_classes - 1] / left[1 : n_classes - 1])
    return (
        min(max(first, 1), _TOTAL - n_classes + 1),
        np.clip(shares, 1, _STEPS - 1).astype(np.uint8),
    )


def _from_chain(first: int, shares: Bytes) -> Counts:
    if first == _TOTAL:
        return np.array([_TOTAL], dtype=np.int64)
    found, left = [first], _TOTAL - first
    for place, share in enumerate(shares.tolist()):
        later = len(shares) - place  # classes that follow need at least 1 each
        mine = min(max(left * share // _STEPS, 1), left - later)
        found.append(mine)
        left -= mine
    return np.array([*found, left], dtype=np.int64)


def write_tables(tables: list[Table]) -> Bytes:
    """Store tables: their number, then contexts, class 0 and the rest of each chain."""
    out = [np.array([len(tables)], dtype=np.uint8)]
    for table in tables:
        n_classes = len(table.frequencies)
        first, shares = _chain_of(table.frequencies)
        head = [table.first | (n_classes - 1 & 7) << 5, table.last | (n_classes - 1 >> 3) << 5]
        out.append(np.array([*head, (first - 1) & 255, (first - 1) >> 8], dtype=np.uint8))
        out.append(shares)
    return np.concatenate(out)


def _chain_of(found: Counts) -> tuple[int, Bytes]:
    """Find the chain that gives these frequencies back."""
    left, shares = _TOTAL - int(found[0]), []
    for place, mine in enumerate(found[1:-1].tolist()):
        later = len(found) - 2 - place
        share = min(max(-(-mine * _STEPS // left), 1), _STEPS - 1)
        while min(max(left * share // _STEPS, 1), left - later) > mine:
            share -= 1
        shares.append(share)
        left -= mine
    return int(found[0]), np.array(shares, dtype=np.uint8)


def read_tables(data: Bytes) -> tuple[list[Table], Bytes]:
    """Undo ``write_tables``; give what follows too.

    Raises:
        DamagedError: the bytes are not what was written.
    """
    if len(data) == 0:
        raise DamagedError("has no tables")
    count, data = int(data[0]), data[1:]
    tables: list[Table] = []
    for _ in range(count):
        if len(data) < 4:
            raise DamagedError("ends inside a table")
        head = [int(byte) for byte in data[:4]]
        first, last = head[0] & 31, head[1] & 31
        n_classes = (head[0] >> 5 | head[1] >> 5 << 3) + 1
        zero = (head[2] | head[3] << 8) + 1
        size = max(0, n_classes - 2)
        is_odd = n_classes > TOP + 1 or (n_classes == 1) != (zero == _TOTAL)
        if is_odd or len(data) < 4 + size or (tables and first <= tables[-1].last) or last < first:
            raise DamagedError("has a table that cannot be")
        if zero > _TOTAL - n_classes + 1:
            raise DamagedError("has a table without room for its classes")
        shares = data[4 : 4 + size]
        if size and int(shares.min()) == 0:
            raise DamagedError("has a class of no frequency")
        tables.append(Table(first, last, _from_chain(zero, shares)))
        data = data[4 + size :]
    return tables, data


def places_of(tables: list[Table]) -> Bytes:
    """Give the place of every context's table; 255 where there is none."""
    places = np.full(N_CONTEXTS, 255, dtype=np.uint8)
    for place, table in enumerate(tables):
        places[table.first : table.last + 1] = place
    return places


def encode_numbers(numbers: Numbers, contexts: Bytes, tables: list[Table]) -> Bytes:
    """Code flat numbers, piece after piece.

    Args:
        numbers: of any sign.
        contexts: one for each, of those that the tables know.
        tables: fitted to at least these classes.
    """
    blobs = [np.zeros(0, dtype=np.uint8)]
    for start in range(0, len(numbers), PIECE):
        span = slice(start, start + PIECE)
        blobs.append(_encode_piece(numbers[span], contexts[span], tables))
    return np.concatenate(blobs)


def _encode_piece(numbers: Numbers, contexts: Bytes, tables: list[Table]) -> Bytes:
    from constriction import stream

    magnitudes = np.abs(numbers)
    classes = np.minimum(magnitudes, TOP).astype(np.int32)
    order, sizes = _by_table(contexts, tables)
    if order is not None:
        classes = classes[order]
    coder = stream.stack.AnsCoder()
    ends = np.cumsum(sizes)
    # A stack: what goes in last comes out first.
    for table, size, end in reversed(list(zip(tables, sizes, ends.tolist(), strict=True))):
        if size and len(table.frequencies) > 1:
            coder.encode_reverse(classes[end - size : end], _model(table))
    words = coder.get_compressed().astype("<u4").view(np.uint8)
    signs = np.packbits(numbers[numbers != 0] < 0, bitorder="little")
    rest = leb128((magnitudes[magnitudes >= TOP] - TOP).astype(np.int64))
    head = np.array([len(words) // _WORD, len(signs) + len(rest)], dtype="<u4").view(np.uint8)
    return np.concatenate([head, words, signs, rest])


def _by_table(contexts: Bytes, tables: list[Table]) -> tuple[npt.NDArray[np.intp] | None, Any]:
    """Order that puts tables one after another (None: they are), and the size of each."""
    if len(tables) == 1:
        return None, [len(contexts)]
    places = places_of(tables)[contexts]
    sizes = np.bincount(places, minlength=len(tables))
    if len(sizes) > len(tables):
        raise DamagedError("has numbers of a context that no table knows")
    return np.argsort(places, kind="stable"), sizes.tolist()


def _model(table: Table) -> Any:
    from constriction import stream

    # Whole numbers over 2^16 are exact in float32: the model is the same everywhere.
    shares = (table.frequencies / _TOTAL).astype(np.float32)
    return stream.model.Categorical(shares, perfect=False)


def decode_numbers(blob: Bytes, contexts: Bytes, tables: list[Table]) -> Numbers:
    """Undo ``encode_numbers``.

    Raises:
        DamagedError: the bytes are not what was written.
    """
    numbers = np.empty(len(contexts), dtype=np.int32)
    for start in range(0, len(numbers), PIECE):
        span = slice(start, start + PIECE)
        if len(blob) < 2 * _WORD:
            raise DamagedError("ends before its last piece")
        n_words, n_rest = blob[: 2 * _WORD].copy().view("<u4").tolist()
        end = _WORD * (2 + n_words)
        if len(blob) < end + n_rest:
            raise DamagedError("ends inside a piece")
        words, rest = blob[2 * _WORD : end], blob[end : end + n_rest]
        numbers[span] = _decode_piece(words, rest, contexts[span], tables)
        blob = blob[end + n_rest :]
    if len(blob):
        raise DamagedError("goes on after its last number")
    return numbers


def _decode_piece(words: Bytes, rest: Bytes, contexts: Bytes, tables: list[Table]) -> Numbers:
    order, sizes = _by_table(contexts, tables)
    classes = np.zeros(len(contexts), dtype=np.int32)
    coder, end = _coder(words), 0
    for table, size in zip(tables, sizes, strict=True):
        end += size
        if size and len(table.frequencies) > 1:
            classes[end - size : end] = coder.decode(_model(table), size)
    if not coder.is_empty():
        raise DamagedError("goes on after its last class")
    if order is not None:
        sorted_classes, classes = classes, np.empty_like(classes)
        classes[order] = sorted_classes
    used = np.flatnonzero(classes)
    n_signs = -(-len(used) // 8)
    if len(rest) < n_signs:
        raise DamagedError("ends inside its signs")
    signs = np.unpackbits(rest[:n_signs], count=len(used), bitorder="little").view(np.bool_)
    large, more = np.flatnonzero(classes == TOP), from_leb128(rest[n_signs:])
    if len(large) != len(more):
        raise DamagedError(f"has {len(more):,} large numbers instead of {len(large):,}")
    classes[large] += np.minimum(more, 1 << 30).astype(np.int32)
    classes[used[signs]] *= -1
    return classes


def _coder(words: Bytes) -> Any:
    from constriction import stream

    try:
        return stream.stack.AnsCoder(np.ascontiguousarray(words).view("<u4").astype(np.uint32))
    except ValueError as error:
        raise DamagedError(f"cannot be decoded ({error})") from error
