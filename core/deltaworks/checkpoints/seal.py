"""The seal of a delta file: hashes of its header and of its data, inside the header itself.

The metadata's ``integrity`` holds two blake3 hashes in hex: of the header as it is with
zeros in the place of this first hash, and of everything behind the header. Any flipped bit
breaks one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deltaworks.checkpoints.faults import DAMAGED, file_fault, place
from deltaworks.errors import FileError
from deltaworks.progress import JobControl, Progress

SEAL_KEY = "integrity"
_DIGITS = 64
NO_SEAL = "0" * (2 * _DIGITS)
"""What stands there until the hashes are known; as long as they are."""
_PIECE_BYTES = 8 * 2**20


def sealed(header: bytes, data_hash: str) -> bytes:
    """Put the hashes into a header that was made with ``NO_SEAL``.

    Args:
        header: everything before the data.
        data_hash: blake3 of everything behind it, hex.
    """
    from blake3 import blake3

    open_header = header.replace(_entry(NO_SEAL), _entry(NO_SEAL[:_DIGITS] + data_hash), 1)
    header_hash = blake3(open_header).hexdigest()
    return open_header.replace(
        _entry(NO_SEAL[:_DIGITS] + data_hash), _entry(header_hash + data_hash), 1
    )


def _entry(seal: str) -> bytes:
    return f'"{SEAL_KEY}":"{seal}"'.encode()


def check_header_seal(header: bytes, metadata: Mapping[str, str], path: Path) -> None:
    """Compare a header with its hash; a file of an earlier version has none.

    Raises:
        FileError: it is not as it was written.
    """
    from blake3 import blake3

    seal = metadata.get(SEAL_KEY)
    if seal is None:
        return
    plain = header.replace(_entry(seal), _entry(NO_SEAL[:_DIGITS] + seal[_DIGITS:]), 1)
    if len(seal) != 2 * _DIGITS or blake3(plain).hexdigest() != seal[:_DIGITS]:
        raise FileError("its header is not as it was written", where=place(path), fix=DAMAGED)


def data_fault(
    path: Path, data_start: int, metadata: Mapping[str, str], control: JobControl
) -> str:
    """Compare a file's data with its hash; give a sentence, or nothing when all is well.

    Raises:
        FileError: it cannot be read.
        CancelledError: stopped.
    """
    from blake3 import blake3

    seal = metadata.get(SEAL_KEY, "")
    digest, done = blake3(), 0
    try:
        total = path.stat().st_size - data_start
        with path.open("rb") as file:
            file.seek(data_start)
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                done += len(piece)
                control.step(Progress(done, total, "hashing"))
    except OSError as error:
        raise file_fault(error, path) from error
    if digest.hexdigest() == seal[_DIGITS:]:
        return ""
    text = f"its data is not as it was written ({done:,} bytes were compared)"
    return str(FileError(text, where=place(path), fix=DAMAGED))
