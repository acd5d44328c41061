"""Quantising one matrix at a step: the head, what it leaves, and the scales of contexts.

A triple's left and right vectors, each times its singular value, are quantised with the
same step as single weights: an error there costs as much in the matrix, so one step
means one slope everywhere. Left vectors come first, right ones are fitted to what became
of them, singular values last; the rest is what the decoded head leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.methods.compression.rdc_format import (
    FINEST,
    CodedMatrix,
    exp2_eighths,
    head_contexts,
    matrix_values,
    rest_contexts,
)
from deltaworks.numerics.context_coding import Bytes, count_classes
from deltaworks.numerics.dead_zone import Floats, Levels, Quantised, coded_bits, quantise
from deltaworks.numerics.scale_codes import Codes, separable, write_codes

if TYPE_CHECKING:
    from deltaworks.numerics.low_rank import Svd

MOST_TRIPLES = 256
_THRESHOLDS = (2.0, 1.0, 0.5, 0.25, 0.12)
"""Head sizes that are tried: triples whose energy an entry of them exceeds this, in steps."""
_RIDGE = 1e-4
_PLAIN = Levels(85, 128)
_SAMPLE = 1 << 18
_LEAST_ROWS = 32
_CODES = (-64, 191)


@dataclass(frozen=True)
class Trial:
    """One way to code a matrix, with what it costs.

    Args:
        coded: in whole numbers, with a unit of 1.
        bits: that it will take, nearly.
        error: squared, in steps.
    """

    coded: CodedMatrix
    bits: float
    error: float

    def cost(self, eta: float) -> float:
        """What is made as small as possible."""
        return self.error + eta * self.bits


def best_trial(matrix: Floats, svd: Svd | None, step: float, eta: float) -> Trial:
    """Code a matrix with the head that costs least.

    Args:
        matrix: ``(rows, cols)``.
        svd: of the matrix, at least its first triples; None for no head.
        step: of the quantiser.
        eta: squared steps that a bit is worth.
    """
    scaled = matrix * np.float32(1.0 / step)
    vectors = None if svd is None else _Vectors(svd, step)
    every = _stride(matrix)
    sampled = _sampled_trial(scaled, vectors, eta, every)
    if every == 1:
        return sampled
    rank = len(sampled.coded.triples)
    return _trial(scaled, vectors.first(rank) if vectors and rank else None, eta)


def estimate_bits(matrix: Floats, svd: Svd | None, step: float, eta: float) -> float:
    """Give the bits that a matrix will take, nearly; large ones are sampled."""
    scaled = matrix * np.float32(1.0 / step)
    vectors = None if svd is None else _Vectors(svd, step)
    return _sampled_trial(scaled, vectors, eta, _stride(matrix)).bits


def _stride(matrix: Floats) -> int:
    """Which rows settle what is the same for all of them: all of small matrices."""
    return max(1, min(len(matrix) // _LEAST_ROWS, matrix.size // _SAMPLE))


def _sampled_trial(scaled: Floats, vectors: _Vectors | None, eta: float, every: int) -> Trial:
    sample = np.ascontiguousarray(scaled[::every])
    best = _trial(sample, None, eta, every)
    if vectors is None:
        return best
    for rank in _ranks(vectors.sigma, sum(scaled.shape)):
        trial = _trial(sample, vectors.first(rank, every), eta, every)
        if trial.cost(eta) > best.cost(eta) and len(best.coded.triples):
            break  # more triples only cost more
        best = min(best, trial, key=lambda one: one.cost(eta))
    return best


def _ranks(sigma: Floats, side: int) -> list[int]:
    each = np.square(sigma[:MOST_TRIPLES]) / side
    ranks = dict.fromkeys(int((each > threshold).sum()) for threshold in _THRESHOLDS)
    return [rank for rank in ranks if rank]


class _Vectors:
    """Singular vectors, and singular values in steps."""

    def __init__(self, svd: Svd, step: float) -> None:
        self.sigma: Floats = np.asarray(svd.sigma.numpy() / np.float32(step), np.float32)
        self._left, self._right = svd.left, svd.right

    def first(self, rank: int, every: int = 1) -> tuple[Floats, Floats]:
        """Give left vectors times their values, of some of the rows, and the values."""
        sigma = self.sigma[:rank]
        return self._left[::every, :rank].numpy() * sigma, sigma


def _trial(scaled: Floats, head: tuple[Floats, Floats] | None, eta: float, every: int = 1) -> Trial:
    """Code a matrix, or one of so many rows as if it were whole."""
    m, n = scaled.shape
    bits, rest = 0.0, scaled
    empty = (np.zeros((m, 0), dtype=np.int32), np.zeros((n, 0), dtype=np.int32))
    left = right = Quantised(empty[0], _PLAIN, 0.0)
    triples: Codes = np.zeros(0, dtype=np.int64)
    if head is not None:
        left, right, triples = _head(scaled, head, eta)
        decoded = matrix_values(_coded(left, right, np.zeros((m, n), dtype=np.int32), triples))
        rest = scaled - decoded
        bits += every * left.bits + right.bits + FINEST * len(triples)
    rows, cols, contexts = _scales(rest)
    quantised = quantise(rest, contexts, eta)
    bits += every * (quantised.bits + 8 * len(write_codes(rows))) + 8 * len(write_codes(cols))
    if head is None:
        left, right = (Quantised(each, _PLAIN, 0.0) for each in empty)
    coded = replace(
        _coded(left, right, quantised.numbers, triples),
        levels=(left.levels, right.levels, quantised.levels),
        rows=rows,
        cols=cols,
    )
    error = every * quantised.levels.error(rest, quantised.numbers)
    return Trial(coded, bits, error)


def _coded(left: Quantised, right: Quantised, rest: Any, triples: Codes) -> CodedMatrix:
    levels = (left.levels, right.levels, _PLAIN)
    one = np.zeros(1, dtype=np.int64)
    return CodedMatrix(1.0, left.numbers, right.numbers, rest, levels, triples, one)


def _head(
    scaled: Floats, head: tuple[Floats, Floats], eta: float
) -> tuple[Quantised, Quantised, Codes]:
    import torch

    m, n = scaled.shape
    vectors, sigma = head
    triples = np.clip(np.rint(FINEST * np.log2(sigma)), *_CODES).astype(np.int64)
    left = quantise(np.ascontiguousarray(vectors.T), _turned(triples, m), eta)
    near = torch.from_numpy(left.levels.values(left.numbers).T * exp2_eighths(-triples))
    whole = torch.from_numpy(scaled)
    square = near.T @ near
    square.diagonal().add_(_RIDGE)
    wanted = torch.linalg.solve(square, near.T @ whole)
    right = quantise(np.ascontiguousarray(wanted.numpy()), _turned(triples, n), eta)
    far = torch.from_numpy(right.levels.values(right.numbers))
    gains = _gains(whole, near, far, square)
    triples = np.clip(triples - np.rint(FINEST * np.log2(gains)).astype(np.int64), *_CODES)
    return _upright(left), _upright(right), triples


def _turned(triples: Codes, length: int) -> Any:
    return np.ascontiguousarray(head_contexts(triples, length).T)


def _upright(quantised: Quantised) -> Quantised:
    return replace(quantised, numbers=quantised.numbers.T)


def _gains(whole: Any, near: Any, far: Any, square: Any) -> Floats:
    """Best multiple of every decoded triple in squared error."""
    import torch

    match = ((near.T @ whole) * far).sum(dim=1)
    matrix = square * (far @ far.T)
    matrix.diagonal().add_(_RIDGE * float(matrix.diagonal().mean()) + _RIDGE)
    gains: Floats = torch.linalg.solve(matrix, match).clamp(0.5, 2.0).numpy()
    return gains


def _scales(rest: Floats) -> tuple[Codes, Codes, Bytes]:
    """Choose which scales pay: of the whole, of rows, of columns, or of both."""
    every = _stride(rest)
    sample = rest[::every]
    m, n = sample.shape
    magnitudes = np.rint(np.abs(sample)).astype(np.int32)
    best: tuple[float, bool, bool] | None = None
    for with_rows, with_cols in ((False, False), (True, False), (False, True), (True, True)):
        if (with_rows and m == 1) or (with_cols and n == 1):
            continue
        rows, cols = _separable(sample, with_rows, with_cols)
        contexts = np.ascontiguousarray(rest_contexts(rows, cols, (m, n)))
        bits = every * (
            8.0 * len(write_codes(rows)) + coded_bits(count_classes(magnitudes, contexts))
        )
        bits += 8.0 * len(write_codes(cols))
        if best is None or bits < best[0]:
            best = (bits, with_rows, with_cols)
    assert best is not None
    rows, cols = _separable(rest, *best[1:])
    return rows, cols, np.ascontiguousarray(rest_contexts(rows, cols, rest.shape))


def _separable(rest: Floats, with_rows: bool, with_cols: bool) -> tuple[Codes, Codes]:
    rows, cols = separable(rest, rows=with_rows, cols=with_cols)
    return rows if with_rows else rows[:1], cols if with_cols else cols[:0]
