"""Short random draws, many of them and fast, that depend on a seed and a name alone.

Each is 16 bits of NumPy's SFC64, whose stream NumPy keeps. A chance is met to 1/65,536,
which no merge can tell from the exact one. What is stored, and drawn again by whoever
reads it, comes from ``seeds`` and ``masks`` instead.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.seeds import hash64

Draws16 = npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]

_WORD = (1 << 64) - 1
_ALL = 1 << 16
_PIECE = 1 << 16


class Draws:
    """One stream of draws.

    Args:
        bits: where they come from; at its start.
    """

    def __init__(self, bits: np.random.SFC64) -> None:
        self._bits = bits

    def words(self, count: int) -> Draws16:
        """Give the next draws; what is left of the last four is lost."""
        # Little-endian everywhere, so that every machine draws the same.
        drawn = self._bits.random_raw(-(-count // 4)).astype("<u8", copy=False)
        words: Draws16 = drawn.view("<u2")[:count]
        return words


def draws_for(seed: int, name: str, stream: str = "") -> Draws:
    """Start the draws of one tensor.

    Args:
        seed: the job's seed; taken modulo 2^64.
        name: tensor name.
        stream: tells apart several draws for one tensor.
    """
    text = f"{name}\0{stream}" if stream else name
    return Draws(np.random.SFC64(np.random.SeedSequence([seed & _WORD, hash64(text)])))


def odds(chances: npt.NDArray[np.float64]) -> Draws16:
    """Give the numbers below which a draw must be, for chances above 0 and below 1."""
    return np.clip(np.rint(chances * _ALL), 1, _ALL - 1).astype(np.uint16)


def drawn_bits(seed: int, name: str, count: int, chance: float, stream: str = "") -> Bytes:
    """Draw which of ``count`` entries are kept, as bits, the lowest first.

    Args:
        seed: the job's seed.
        name: tensor name.
        count: entries.
        chance: of each to be kept, above 0 and below 1.
        stream: tells apart several draws for one tensor.
    """
    draws, least = draws_for(seed, name, stream), odds(np.array([chance]))[0]
    bits = np.empty(-(-count // 8), dtype=np.uint8)
    mask = np.empty(_PIECE, dtype=np.bool_)
    for span in spans(count, _PIECE):
        kept = mask[: span.stop - span.start]
        np.less(draws.words(len(kept)), least, out=kept)
        bits[span.start // 8 : -(-span.stop // 8)] = np.packbits(kept, bitorder="little")
    return bits
