"""How the codec keeps one matrix: a few bytes of side information and coded numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.context_coding import (
    N_CONTEXTS,
    Bytes,
    Numbers,
    count_classes,
    decode_numbers,
    encode_numbers,
    fit_tables,
    read_tables,
    write_tables,
)
from deltaworks.numerics.dead_zone import Floats, Levels
from deltaworks.numerics.scale_codes import Codes, read_codes, write_codes

NAMES = ("tables", "blob", "ss", "rs", "cs", "hs")
"""Parts: tables and levels, coded numbers, codes of the head's triples, of rows, of
columns, and of the columns' weights. Empty ones are left out."""

FINEST = 8
"""Codes of triples and of column weights are in eighths of an octave."""

_QUIET = 8
"""Context 0 begins this many half-octaves below the step."""
_TRIPLE_OFFSET = 64
_WEIGHT_OFFSET = 128
_HEAD = 4 + 2 + 6 + 1
_HAS_COLS, _HAS_WEIGHTS = 1, 2
_OCTAVES = np.array([2.0 ** (place / FINEST) for place in range(FINEST)], dtype=np.float32)


@dataclass(frozen=True)
class CodedMatrix:
    """One matrix in whole numbers.

    Args:
        unit: what one step is after decoding.
        left: head's left vectors, ``(rows, k)``; ``right`` likewise, ``(cols, k)``.
        rest: what the head leaves, ``(rows, cols)``.
        levels: of left, right and rest.
        triples: codes of the head's triples, ``k`` of them.
        rows: codes of the rows' scales in half-octaves; one code for all of them.
        cols: of the columns, or none.
        weights: codes of the columns' weights, or none.
    """

    unit: float
    left: Numbers
    right: Numbers
    rest: Numbers
    levels: tuple[Levels, Levels, Levels]
    triples: Codes
    rows: Codes
    cols: Codes = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    weights: Bytes = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))


def exp2_eighths(codes: npt.NDArray[Any]) -> Floats:
    """Give ``2^(code / 8)``, the same on every machine."""
    octaves, places = np.divmod(codes.astype(np.int64), FINEST)
    factors: Floats = np.ldexp(_OCTAVES[places], octaves.astype(np.int32)).astype(np.float32)
    return factors


def weights_of(codes: Bytes) -> Floats:
    """Give the columns' weights."""
    return exp2_eighths(codes.astype(np.int64) - _WEIGHT_OFFSET)


def weight_codes(weights: Floats) -> Bytes:
    """Express weights in bytes; ``weights_of`` undoes it within an eighth of an octave."""
    codes = np.rint(FINEST * np.log2(np.maximum(weights, 1e-30).astype(np.float64)))
    clipped: Bytes = np.clip(codes + _WEIGHT_OFFSET, 0, 255).astype(np.uint8)
    return clipped


def head_contexts(triples: Codes, length: int) -> Bytes:
    """Contexts of a singular vector's entries: ``(length, k)``."""
    mine = triples // (FINEST // 2) - (length * length).bit_length() // 2
    contexts = np.clip(mine + _QUIET, 0, N_CONTEXTS - 1).astype(np.uint8)
    return np.broadcast_to(contexts, (length, len(triples)))


def rest_contexts(rows: Codes, cols: Codes, shape: tuple[int, int]) -> Bytes:
    """Contexts of the residual, ``(rows, cols)``."""
    of_rows = (np.clip(rows, -99, 99) + _QUIET).astype(np.int8)
    if len(cols):
        whole = of_rows[:, None] + np.clip(cols, -99, 99).astype(np.int16)[None, :]
    else:
        whole = of_rows[:, None]
    contexts = np.clip(whole, 0, N_CONTEXTS - 1).astype(np.uint8)
    return np.broadcast_to(contexts, shape)


def write_matrix(matrix: CodedMatrix) -> dict[str, Bytes]:
    """Give the parts of one matrix, by ``NAMES``."""
    numbers = [matrix.left.T, matrix.right.T, matrix.rest]
    contexts = _contexts(matrix.triples, matrix.rows, matrix.cols, matrix.rest.shape)
    flat = np.concatenate([each.reshape(-1) for each in numbers])
    places = np.concatenate([each.reshape(-1) for each in contexts])
    tables = fit_tables(count_classes(np.abs(flat), places))
    head = np.array([matrix.unit], dtype="<f4").view(np.uint8)
    rank = np.array([len(matrix.triples)], dtype="<u2").view(np.uint8)
    levels = [byte for each in matrix.levels for byte in (each.first, each.later)]
    return {
        "tables": np.concatenate(
            [head, rank, np.array([*levels, _flags(matrix)], dtype=np.uint8), write_tables(tables)]
        ),
        "blob": encode_numbers(flat, places, tables),
        "ss": np.clip(matrix.triples + _TRIPLE_OFFSET, 0, 255).astype(np.uint8),
        "rs": write_codes(matrix.rows),
        "cs": write_codes(matrix.cols),
        "hs": matrix.weights,
    }


def _flags(matrix: CodedMatrix) -> int:
    """Say which parts there must be beside those that always are."""
    return _HAS_COLS * bool(len(matrix.cols)) | _HAS_WEIGHTS * bool(len(matrix.weights))


def _contexts(triples: Codes, rows: Codes, cols: Codes, shape: tuple[int, ...]) -> list[Bytes]:
    m, n = shape
    return [
        head_contexts(triples, m).T,
        head_contexts(triples, n).T,
        rest_contexts(rows, cols, (m, n)),
    ]


def read_matrix(parts: dict[str, Bytes], shape: tuple[int, int]) -> CodedMatrix:
    """Undo ``write_matrix``.

    Raises:
        DamagedError: the bytes are not what was written.
    """
    m, n = shape
    side = parts["tables"]
    if len(side) < _HEAD:
        raise DamagedError("ends inside its side information")
    unit = float(side[:4].copy().view("<f4")[0])
    rank = int(side[4]) | int(side[5]) << 8
    levels = [Levels(int(side[k]), int(side[k + 1])) for k in (6, 8, 10)]
    tables, more = read_tables(side[_HEAD:])
    if len(more) or not np.isfinite(unit) or rank > min(m, n) or len(parts["ss"]) != rank:
        raise DamagedError(f"has side information that does not fit {m} x {n}")
    wanted = n if side[_HEAD - 1] & _HAS_WEIGHTS else 0
    if len(parts["hs"]) != wanted:
        raise DamagedError(f"has {len(parts['hs'])} weights instead of {wanted}")
    if len(parts["rs"]) == 0 or bool(side[_HEAD - 1] & _HAS_COLS) != bool(len(parts["cs"])):
        raise DamagedError("lacks scales, or has more than it should")
    triples = parts["ss"].astype(np.int64) - _TRIPLE_OFFSET
    rows = _read_scales(parts["rs"], m, may_be_one=True)
    cols = _read_scales(parts["cs"], n, may_be_one=False)
    contexts = _contexts(triples, rows, cols, shape)
    places = np.concatenate([each.reshape(-1) for each in contexts])
    flat = decode_numbers(parts["blob"], places, tables)
    left, right, rest = np.split(flat, [rank * m, rank * (m + n)])
    return CodedMatrix(
        unit,
        left.reshape(rank, m).T,
        right.reshape(rank, n).T,
        rest.reshape(m, n),
        (levels[0], levels[1], levels[2]),
        triples,
        rows,
        cols,
        parts["hs"],
    )


def _read_scales(data: Bytes, count: int, *, may_be_one: bool) -> Codes:
    if len(data) == 0:
        return np.zeros(0, dtype=np.int64)
    is_one = may_be_one and len(data) == 2 and data[1] == 0
    codes, more = read_codes(data, 1 if is_one else count)
    if len(more):
        raise DamagedError("holds more scales than it has rows or columns")
    return codes


def matrix_values(matrix: CodedMatrix) -> Floats:
    """Give the decoded matrix, ``(rows, cols)``."""
    import torch

    left, right, rest = matrix.levels
    found = rest.values(matrix.rest)
    if len(matrix.triples):
        near = left.values(matrix.left) * exp2_eighths(-matrix.triples)
        far = right.values(matrix.right)
        found += (torch.from_numpy(near) @ torch.from_numpy(far).T).numpy()
    if len(matrix.weights):
        found /= weights_of(matrix.weights)
    found *= np.float32(matrix.unit)
    return found
