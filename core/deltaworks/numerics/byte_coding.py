"""Bytes compressed with zstd in pieces of 1 MiB, or kept raw when that saves little.

Level 1 is tuned for planes of numbers: hardly any search for repetitions, which cost more
than they save where bytes come at random, and Huffman codes. On planes of differences it is
smaller than zstd's levels 1 to 9 and several times faster (docs/benchmarks.md).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import zstandard

from deltaworks.numerics.chunks import spans

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

PIECE = 1 << 20
PLANES = 1
"""The level for planes of numbers."""
WORTH = 0.97
"""Compressed bytes are kept only when they are at most this share of the raw ones."""


class DamagedError(ValueError):
    """Coded bytes that cannot be what was written."""


class Squeezer:
    """Compresses bytes that come in pieces of ``PIECE``, the last one as short as it is.

    Args:
        level: zstd level, 1 to 19; 1 is for planes of numbers.
    """

    def __init__(self, level: int = 3) -> None:
        self._compressor = _compressor(level)
        self._pieces: list[bytes] = []
        self._count = 0

    def add(self, piece: Bytes) -> None:
        """Compress the next piece."""
        self._pieces.append(self._compressor.compress(piece.data))
        self._count += len(piece)

    def finish(self) -> tuple[Bytes, Offsets] | None:
        """Give the bytes, and where each piece begins and the last one ends.

        Returns:
            None when that saves too little to be worth the decoding.
        """
        offsets = np.cumsum([0, *(len(piece) for piece in self._pieces)], dtype=np.int64)
        if int(offsets[-1]) + offsets.nbytes > WORTH * self._count:
            return None
        return np.frombuffer(b"".join(self._pieces), dtype=np.uint8), offsets


def squeeze(data: Bytes, level: int = 3) -> tuple[Bytes, Offsets | None]:
    """Compress bytes.

    Args:
        data: flat.
        level: see ``Squeezer``.

    Returns:
        The bytes and, when they are compressed, where each piece begins and the last
        one ends; None when they are raw.
    """
    data = np.ascontiguousarray(data)
    squeezer = Squeezer(level)
    for span in spans(len(data), PIECE):
        squeezer.add(data[span])
    return squeezer.finish() or (data, None)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    if level > PLANES:
        return zstandard.ZstdCompressor(level=level, write_checksum=True)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        1,
        strategy=zstandard.STRATEGY_FAST,
        min_match=7,
        hash_log=6,
        window_log=17,
        write_checksum=True,
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


class Expander:
    """Gives the pieces of squeezed bytes again, in any order.

    Args:
        blob: what ``squeeze`` gave.
        offsets: likewise; None for raw bytes.
        count: bytes that must come out.

    Raises:
        DamagedError: they cannot be that many.
    """

    def __init__(self, blob: Bytes, offsets: Offsets | None, count: int) -> None:
        self._blob, self._count = np.ascontiguousarray(blob), count
        self._ends: list[int] | None = None
        if offsets is None:
            if len(blob) != count:
                raise DamagedError(f"holds {len(blob):,} bytes instead of {count:,}")
            return
        ends = offsets.tolist()
        if len(ends) != -(-count // PIECE) + 1 or ends[0] != 0 or ends[-1] != len(blob):
            raise DamagedError(f"has offsets that do not fit its {len(blob):,} bytes")
        if not all(start < end for start, end in pairwise(ends)):
            raise DamagedError("has offsets out of order")
        self._ends = ends
        self._decompressor = zstandard.ZstdDecompressor()

    def piece(self, number: int) -> Bytes:
        """Give a piece; do not write to it.

        Raises:
            DamagedError: the bytes are not what was written.
        """
        start = number * PIECE
        size = min(PIECE, self._count - start)
        if self._ends is None:
            return self._blob[start : start + size]
        return _piece(
            self._decompressor, self._blob[self._ends[number] : self._ends[number + 1]], size
        )


def expand(blob: Bytes, offsets: Offsets | None, count: int) -> Bytes:
    """Undo ``squeeze``.

    Args:
        blob: what ``squeeze`` gave.
        offsets: likewise; None for raw bytes.
        count: bytes that must come out.

    Raises:
        DamagedError: the bytes are not what was written, or not ``count``.
    """
    expander = Expander(blob, offsets, count)
    if offsets is None:
        return blob
    out = np.empty(count, dtype=np.uint8)
    for number, span in enumerate(spans(count, PIECE)):
        out[span] = expander.piece(number)
    return out


def _piece(decompressor: zstandard.ZstdDecompressor, blob: Bytes, size: int) -> Bytes:
    try:
        # The frame says its size: ask before zstd allocates what a hostile one claims.
        claimed = zstandard.get_frame_parameters(blob.data).content_size
        if claimed != size:
            raise DamagedError(f"has a piece of {claimed:,} bytes instead of {size:,}")
        return np.frombuffer(decompressor.decompress(blob.data), dtype=np.uint8)
    except zstandard.ZstdError as error:
        raise DamagedError(f"cannot be decompressed ({error})") from error
