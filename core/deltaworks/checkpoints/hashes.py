"""Hashes that tell checkpoints and tensors apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.faults import DAMAGED, file_fault, place
from deltaworks.checkpoints.headers import Header, StoredTensor, read_header
from deltaworks.errors import FileError
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.checkpoints.tensors import TensorInfo

CHUNK_BYTES = 8 * 2**20


_BLAKE3 = "blake3:"


def tensor_hash(words: np.ndarray[Any, Any], *, like: str | None = None) -> str:
    """Hash a tensor's raw bytes in C order: 128 bits in hex, after the algorithm's name.

    Args:
        words: of the tensor.
        like: a recorded hash to compare with. One without a name is of an earlier version,
            and blake2b; then so is what is given.
    """
    raw = np.ascontiguousarray(words).reshape(-1).view(np.uint8).data
    if like and not like.startswith(_BLAKE3):
        return hashlib.blake2b(raw, digest_size=16).hexdigest()
    from blake3 import blake3

    return _BLAKE3 + blake3(raw).hexdigest(length=16)


def header_hash(tensors: Iterable[TensorInfo]) -> str:
    """Hash names, shapes and dtypes in the given order: blake2b of 128 bits, in hex."""
    digest = hashlib.blake2b(digest_size=16)
    for info in tensors:
        digest.update(_line(info))
    return digest.hexdigest()


def _line(info: TensorInfo) -> bytes:
    return f"{info.name}\0{info.dtype}\0{','.join(map(str, info.shape))}\n".encode()


def content_hash(checkpoint: Checkpoint, control: JobControl) -> str:
    """Hash all weights on disk, whatever their order and shards: blake3, in hex.

    Tensors go in by name, each as name, dtype, shape and data. Of an adapter or a delta
    file the stored parts are hashed, not what they make of a base.

    Raises:
        FileError: a file cannot be read to the end.
        CancelledError: stopped.
    """
    from blake3 import blake3

    headers = {path: read_header(path) for path in checkpoint.weight_files}
    stored = sorted(
        ((one, path) for path, header in headers.items() for one in header.tensors.values()),
        key=lambda pair: pair[0].info.name,
    )
    total = sum(one.end - one.begin for one, _ in stored)
    digest, done = blake3(), 0
    for one, path in stored:
        digest.update(_line(one.info))
        for chunk in _chunks(path, headers[path], one):
            digest.update(chunk)
            done += len(chunk)
            control.step(Progress(done, total, "hashing"))
    return digest.hexdigest()


def _chunks(path: Path, header: Header, stored: StoredTensor) -> Iterator[memoryview]:
    """Read a tensor's bytes piece by piece, through one buffer."""
    left = stored.end - stored.begin
    buffer = memoryview(bytearray(min(left, CHUNK_BYTES)))
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(header.data_start + stored.begin)
            while left:
                n_bytes = file.readinto(buffer[: min(left, len(buffer))])
                if not n_bytes:
                    raise FileError(f"ends {left:,} bytes early", where=place(path), fix=DAMAGED)
                yield buffer[:n_bytes]
                left -= n_bytes
    except OSError as error:
        raise file_fault(error, path) from error
