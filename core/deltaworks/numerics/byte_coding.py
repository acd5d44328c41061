"""Bytes compressed with zstd in pieces of 1 MiB, or kept raw when that saves little."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import zstandard

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

PIECE = 1 << 20
WORTH = 0.97
"""Compressed bytes are kept only when they are at most this share of the raw ones."""


class DamagedError(ValueError):
    """Coded bytes that cannot be what was written."""


def squeeze(data: Bytes, level: int = 3) -> tuple[Bytes, Offsets | None]:
    """Compress bytes.

    Args:
        data: flat.
        level: zstd level, 1 to 19.

    Returns:
        The bytes and, when they are compressed, where each piece begins and the last
        one ends; None when they are raw.
    """
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    data = np.ascontiguousarray(data)
    pieces = [
        compressor.compress(data[start : start + PIECE].data)
        for start in range(0, len(data), PIECE)
    ]
    offsets = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
    if int(offsets[-1]) + offsets.nbytes > WORTH * len(data):
        return data, None
    return np.frombuffer(b"".join(pieces), dtype=np.uint8), offsets


def expand(blob: Bytes, offsets: Offsets | None, count: int) -> Bytes:
    """Undo ``squeeze``.

    Args:
        blob: what ``squeeze`` gave.
        offsets: likewise; None for raw bytes.
        count: bytes that must come out.

    Raises:
        DamagedError: the bytes are not what was written, or not ``count``.
    """
    if offsets is None:
        if len(blob) != count:
            raise DamagedError(f"holds {len(blob):,} bytes instead of {count:,}")
        return blob
    ends = offsets.tolist()
    if len(ends) != -(-count // PIECE) + 1 or ends[0] != 0 or ends[-1] != len(blob):
        raise DamagedError(f"has offsets that do not fit its {len(blob):,} bytes")
    out = np.empty(count, dtype=np.uint8)
    decompressor = zstandard.ZstdDecompressor()
    blob = np.ascontiguousarray(blob)
    for number, (start, end) in enumerate(pairwise(ends)):
        target = out[number * PIECE : (number + 1) * PIECE]
        if not 0 <= start < end:
            raise DamagedError("has offsets out of order")
        target[:] = _piece(decompressor, blob[start:end], len(target))
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
