"""One pair of models coded without loss, tensor by tensor, decoded and compared.

Usage: code_lossless.py WHO BASE EXPERT

WHO: planes or classes (ours), bitx (XOR with the base; the exponents and the rest apart, zstd
level 3, as in ZipLLM's BitX), or zipnn (without a base: exponents in Huffman codes of 256 KiB,
the rest raw, as ZipNN does; sizes alone, the codes are counted and not written).
"""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from safetensors.torch import load_file

from deltaworks.methods.compression.lossless import METHOD, LosslessOptions, encode, restore
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.words import dtype_name, tensor_words

Words = np.ndarray[Any, np.dtype[np.uint16]]
_CHUNK = 1 << 18
_TABLE = 128


def ours(coding: str) -> Callable[[Any, Any], tuple[int, float, float]]:
    """Give our coder: a pair of tensors to bytes and the seconds both ways."""
    options = METHOD.options.model_validate({"coding": coding})
    assert isinstance(options, LosslessOptions)

    def code(base: Any, tuned: Any) -> tuple[int, float, float]:
        pair = TensorPair(TensorSpec("tensor", tuple(tuned.shape)), base, tuned)
        parts, there = timed(lambda: encode(pair, options))
        again, back = timed(lambda: restore(base, parts, pair.spec, dtype_name(tuned.dtype)))
        assert np.array_equal(tensor_words(again), tensor_words(tuned))
        return sum(part.nbytes for part in parts.values()), there, back

    return code


def bitx(base: Any, tuned: Any) -> tuple[int, float, float]:
    """Code as ZipLLM describes, whole tensors at once."""
    old, new = words_of(base), words_of(tuned)

    def there() -> list[bytes]:
        squeeze = zstandard.ZstdCompressor(level=3)
        differ = old ^ new
        exponents = ((differ >> 7) & 0xFF).astype(np.uint8)
        rest = ((differ >> 15 << 7) | (differ & 0x7F)).astype(np.uint8)
        return [squeeze.compress(plane.data) for plane in (exponents, rest)]

    def back() -> Words:
        expand = zstandard.ZstdDecompressor()
        exponents, rest = (
            np.frombuffer(expand.decompress(blob), dtype=np.uint8).astype(np.uint16)
            for blob in blobs
        )
        differ: Words = (exponents << 7 | rest >> 7 << 15 | rest & 0x7F).astype(np.uint16)
        return old ^ differ

    blobs, coding = timed(there)
    again, decoding = timed(back)
    assert np.array_equal(again, new)
    return sum(map(len, blobs)), coding, decoding


def zipnn(_base: Any, tuned: Any) -> tuple[int, float, float]:
    """Count what Huffman codes of the exponents take beside the rest, which stays raw."""
    words = words_of(tuned)
    exponents = ((words >> 7) & 0xFF).astype(np.uint8)
    total = len(words)
    for start in range(0, len(words), _CHUNK):
        piece = exponents[start : start + _CHUNK]
        total += min(len(piece), -(-huffman_bits(np.bincount(piece)) // 8) + _TABLE)
    return total, 0.0, 0.0


def huffman_bits(counts: np.ndarray[Any, np.dtype[np.intp]]) -> int:
    """Count the bits that the best prefix code takes."""
    heap = [int(count) for count in counts if count]
    if len(heap) == 1:
        return heap[0]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


def words_of(tensor: Any) -> Words:
    words: Words = tensor_words(tensor).reshape(-1).view(np.uint16)
    return words


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    return work(), time.process_time() - started


def main(who: str, base: Path, expert: Path) -> None:
    code = {"bitx": bitx, "zipnn": zipnn}.get(who) or ours(who)
    old, new = (load_file(path / "model.safetensors") for path in (base, expert))
    found = [code(old[name], tensor) for name, tensor in new.items()]
    n_bytes, there, back = (sum(column) for column in zip(*found, strict=True))
    raw = sum(tensor.nbytes for tensor in new.values())
    told = {"bytes": n_bytes, "raw": raw, "encode": there, "decode": back, "cpu": there + back}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
