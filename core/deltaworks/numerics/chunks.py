"""Pieces small enough to stay in a core's cache while several operations run over them."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK = 1 << 17
"""Elements a piece; measured best between 2^16 and 2^17 for float32 work."""


def spans(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Cut ``count`` elements into consecutive slices of at most ``size``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def row_spans(rows: int, cols: int, size: int = CHUNK) -> Iterator[slice]:
    """Cut the rows of a matrix so that a slice holds about ``size`` elements."""
    return spans(rows, max(1, size // max(cols, 1)))
