from __future__ import annotations

import numpy as np
import pytest

from deltaworks.numerics.byte_coding import PIECE, DamagedError
from deltaworks.numerics.plane_coding import code_planes, decode_planes


def _words(kind: str, count: int) -> np.ndarray:
    """Words whose lowest plane is noise and whose highest is nearly empty."""
    rng = np.random.default_rng(count)
    words = rng.integers(0, 256, count).astype(kind)
    words[::97] |= np.dtype(kind).type(1 << (8 * np.dtype(kind).itemsize - 8))
    return words


def _coded(words: np.ndarray) -> list[tuple[np.ndarray, np.ndarray | None]]:
    def give(span: slice, out: np.ndarray) -> None:
        out[:] = words[span]

    return code_planes(give, len(words), words.dtype, 1)


@pytest.mark.parametrize("kind", ["<u2", "<u4"])
@pytest.mark.parametrize("count", [0, 1, 5000, PIECE, 2 * PIECE + 17])
def test_words_come_back_piece_by_piece(kind: str, count: int) -> None:
    words = _words(kind, count)
    again = np.zeros_like(words)

    def take(span: slice, piece: np.ndarray) -> None:
        again[span] = piece

    coded = _coded(words)
    decode_planes(coded, take, count, words.dtype)

    assert np.array_equal(again, words)
    if count >= 5000:
        assert coded[0][1] is None  # noise is kept raw
        assert coded[-1][1] is not None
        assert len(coded[-1][0]) < count / 4


def test_a_plane_of_other_length_is_refused() -> None:
    words = _words("<u2", 5000)
    coded = _coded(words)

    with pytest.raises(DamagedError, match="holds 4,999 bytes"):
        decode_planes([(coded[0][0][:-1], None), coded[1]], lambda *_: None, 5000, words.dtype)
