"""Keep masks made again from a seed, so that they need not be stored.

They come from raw Philox words (``seeds``), never from a library's Bernoulli or
permutation functions, whose streams may change.
"""

from __future__ import annotations

from hashlib import blake2b
from math import ceil

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.chunks import CHUNK, spans
from deltaworks.numerics.seeds import bits_for

Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

CHECK_BYTES = 8


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

    Two passes over the stream, so that the words of a large tensor are never in memory
    together: the first finds the part of the words' range in which the last kept word
    lies, the second settles that part.

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
    shift = np.uint64(64 - min(16, count.bit_length()))
    part, below = _last_part(bits_for(seed, name, stream), count, keep, shift)
    bits = bits_for(seed, name, stream)
    places, words = [], []
    for span in spans(count):
        drawn = bits.random_raw(span.stop - span.start)
        parts = _parts(drawn, shift)
        np.less(parts, part, out=mask[span])
        near = np.flatnonzero(parts == part)
        places.append(near + span.start)
        words.append(drawn[near])
    order = np.argsort(np.concatenate(words), kind="stable")[: keep - below]
    mask[np.concatenate(places)[order]] = True
    return mask


def _last_part(bits: np.random.Philox, count: int, keep: int, shift: np.uint64) -> tuple[int, int]:
    """Find the part of the last kept word, and how many words lie in lower parts."""
    counts = np.zeros(1 << (64 - int(shift)), dtype=np.int64)
    for span in spans(count, 8 * CHUNK):
        parts = _parts(bits.random_raw(span.stop - span.start), shift)
        counts += np.bincount(parts, minlength=len(counts))
    up_to = np.cumsum(counts)
    part = int(np.searchsorted(up_to, keep))
    return part, int(up_to[part] - counts[part])


def _parts(words: npt.NDArray[np.uint64], shift: np.uint64) -> npt.NDArray[np.uint16]:
    return (words >> shift).astype(np.uint16)


def mask_check(mask: Mask) -> Bytes:
    """Give the 8-byte checksum of a mask, to notice a stream that came out differently."""
    packed = np.packbits(mask, bitorder="little")
    return np.frombuffer(
        blake2b(packed.data, digest_size=CHECK_BYTES).digest(), dtype=np.uint8
    ).copy()
