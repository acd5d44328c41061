"""Random words that depend on a seed and a name, and on nothing else.

Order of work, threads and sharding therefore never change a result. The raw words of
NumPy's Philox are used, because NumPy keeps bit-generator streams stable, whereas the
distributions built on them may change between versions.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_WORD = (1 << 64) - 1


def hash64(text: str) -> int:
    """Hash a text to 64 bits, the same on every machine (``hash()`` is not)."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def bits_for(seed: int, name: str, stream: str = "") -> np.random.Philox:
    """Start the bit generator of one tensor.

    Args:
        seed: the job's seed; taken modulo 2^64.
        name: tensor name.
        stream: tells apart several draws for one tensor.
    """
    text = f"{name}\0{stream}" if stream else name
    return np.random.Philox(key=np.array([seed & _WORD, hash64(text)], dtype=np.uint64))


def rng_for(seed: int, name: str, stream: str = "") -> np.random.Generator:
    """Make the generator of one tensor; see ``bits_for``."""
    return np.random.Generator(bits_for(seed, name, stream))


def raw_words(seed: int, name: str, count: int, stream: str = "") -> Words:
    """Draw the first ``count`` raw 64-bit words of one tensor's stream."""
    words: Words = bits_for(seed, name, stream).random_raw(count)
    return words
