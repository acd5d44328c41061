"""Keep masks made again from a seed, so that they need not be stored.

They come from raw Philox words (``seeds``), never from a library's Bernoulli or
permutation functions, whose streams may change.
"""

from __future__ import annotations

from hashlib import blake2b
from math import ceil, isqrt

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import spans
from deltaworks.numerics.seeds import bits_for

Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

CHECK_BYTES = 8

_WORD = (1 << 64) - 1
_DEVIATIONS = 8
"""Standard deviations by which the last kept word may be off its expected rank."""


def bernoulli_mask(seed: int, name: str, count: int, drop_rate: float, stream: str = "") -> Mask:
    """Keep entry i when ``(word_i >> 11) * 2^-53 >= drop_rate``.

    Args:
        seed: the job's seed.
        name: tensor name.
        count: entries.
        drop_rate: chance that an entry is dropped, 0 to 1.
        stream: tells apart several draws for one tensor.
    """
    bits = bits_for(seed, name, stream)
    mask = np.empty(count, dtype=np.bool_)
    # The same comparison in integers: exact, because a double has 53 bits.
    least = ceil(drop_rate * 2**53)
    if least >= 1 << 53:
        mask.fill(False)
        return mask
    for span in spans(count):
        words = bits.random_raw(span.stop - span.start)
        np.greater_equal(words, np.uint64(least << 11), out=mask[span])
    return mask


def exact_mask(seed: int, name: str, count: int, keep: int, stream: str = "") -> Mask:
    """Keep the ``keep`` entries with the smallest words, ties from the lowest index on.

    One pass over the stream, so that the words of a large tensor are never in memory
    together: words are uniform, so the last kept one lies close to where it is expected,
    and only those around there need sorting. Should it not, a wider look finds it.

    Args:
        seed: the job's seed.
        name: tensor name.
        count: entries.
        keep: how many to keep, 0 to ``count``.
        stream: tells apart several draws for one tensor.
    """
    mask = np.zeros(count, dtype=np.bool_)
    if keep >= count:
        mask.fill(True)
        return mask
    if keep <= 0:
        return mask
    deviation = isqrt(keep * (count - keep) // count) + 1
    reach = _DEVIATIONS * deviation
    while not _fill(mask, bits_for(seed, name, stream), keep, reach):
        reach = 8 * reach + deviation
    return mask


def _fill(mask: Mask, bits: np.random.Philox, keep: int, reach: int) -> bool:
    """Mark the smallest words, if the last kept one is where it is expected.

    Args:
        mask: filled.
        bits: at the start of the stream.
        keep: how many to mark.
        reach: words by which the last kept one may be off its expected rank.

    Returns:
        Whether it was there; the mask is right only then.
    """
    count = len(mask)
    low = np.uint64(max(0, ((keep - reach) << 64) // count))
    high = np.uint64(min(_WORD, ((keep + reach) << 64) // count))
    below, places, words = 0, [], []
    for span in spans(count):
        drawn = bits.random_raw(span.stop - span.start)
        is_below = np.less(drawn, low, out=mask[span])
        near = np.flatnonzero((drawn <= high) != is_below)
        below += int(np.count_nonzero(is_below))
        places.append(near + span.start)
        words.append(drawn[near])
    order = np.argsort(np.concatenate(words), kind="stable")
    if not below <= keep <= below + len(order):
        return False
    mask[np.concatenate(places)[order[: keep - below]]] = True
    return True


def mask_check(mask: Mask) -> Bytes:
    """Give the 8-byte checksum of a mask, to notice a stream that came out differently."""
    packed = np.packbits(mask, bitorder="little")
    return np.frombuffer(
        blake2b(packed.data, digest_size=CHECK_BYTES).digest(), dtype=np.uint8
    ).copy()
