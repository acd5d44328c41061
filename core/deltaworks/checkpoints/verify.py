"""Is this file what it says? Structure, content, and every tensor read once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deltaworks.checkpoints.adapter import AdapterCheckpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.faults import DAMAGED, file_fault, place
from deltaworks.checkpoints.folder import ModelCheckpoint
from deltaworks.checkpoints.folder_hashes import folder_faults
from deltaworks.checkpoints.hashes import CHUNK_BYTES
from deltaworks.checkpoints.layout import index_layout
from deltaworks.checkpoints.opening import open_checkpoint
from deltaworks.errors import AppError, CancelledError, FileError
from deltaworks.numerics.words import to_float32
from deltaworks.progress import JobControl, Progress, Warned

_MOST_FAULTS = 20
_CHUNK_ELEMENTS = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def verify_checkpoint(
    path: Path | str, control: JobControl, *, base: Path | str | Checkpoint | None = None
) -> list[str]:
    """Check a checkpoint from end to end; nothing is written.

    Headers and index; of a cached model the hashes that its blobs are named by; of a model
    that was made here the hashes of all its files; of a delta file its own hashes, the base,
    and that every tensor decodes, exact ones bit for bit. What is
    no fault but worth knowing, such as values that are not numbers, is reported as
    ``Warned``.

    Args:
        path: anything that ``open_checkpoint`` takes.
        control: progress out, cancel in.
        base: of an adapter or a delta file.

    Returns:
        Faults as sentences, at most 20 and a count of the rest; empty when sound.

    Raises:
        CancelledError: stopped.
    """
    try:
        checkpoint = open_checkpoint(path, base=base)
    except CancelledError:
        raise
    except AppError as error:
        return [str(error)]
    with checkpoint:
        faults = list(_structure(checkpoint, control))
        faults.extend(_contents(checkpoint, control))
    listed = faults[:_MOST_FAULTS]
    if len(faults) > _MOST_FAULTS:
        listed.append(f"and {len(faults) - _MOST_FAULTS:,} more.")
    return listed


def _structure(checkpoint: Checkpoint, control: JobControl) -> Iterator[str]:
    if isinstance(checkpoint, DeltaCheckpoint):
        yield from checkpoint.stored_faults(control)
    if not isinstance(checkpoint, ModelCheckpoint):
        return
    yield from folder_faults(checkpoint.weight_files[0].parent, control)
    if checkpoint.index is not None:
        named = index_layout(checkpoint.index).weight_map or {}
        for name in checkpoint.names:
            if name not in named:
                text = f"does not name tensor {name:.80}, which its files hold"
                yield str(FileError(text, where=place(checkpoint.index), fix=DAMAGED))
    if checkpoint.source is not None:
        for path in (*checkpoint.weight_files, *checkpoint.side_files.values()):
            yield from _blob_faults(path, control)


def _blob_faults(path: Path, control: JobControl) -> Iterator[str]:
    """Compare a cached file with the SHA-256 that its blob is named by."""
    blob = path.resolve()
    if blob == path or not _SHA256.fullmatch(blob.name):
        return
    digest = hashlib.sha256()
    try:
        total, done = blob.stat().st_size, 0
        with blob.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                control.step(Progress(done, total, f"hashing {path.name}"))
    except OSError as error:
        yield str(file_fault(error, path))
        return
    if digest.hexdigest() != blob.name:
        text = f"its SHA-256 begins {digest.hexdigest()[:12]}, it should begin {blob.name[:12]}"
        yield str(FileError(text, where=place(path), fix=DAMAGED))


def _contents(checkpoint: Checkpoint, control: JobControl) -> Iterator[str]:
    """Read every tensor once."""
    if isinstance(checkpoint, AdapterCheckpoint | DeltaCheckpoint) and checkpoint.base is None:
        control.step(Warned("its base is not known, so its tensors were not computed"))
        return
    total, done = checkpoint.nbytes, 0
    for name in checkpoint.names:
        control.step(Progress(done, total, f"reading {name}"))
        try:
            n_bad = _count_not_numbers(checkpoint.read_words(name), checkpoint.info(name).dtype)
        except CancelledError:
            raise
        except AppError as error:
            yield str(error)
        else:
            if n_bad:
                n_all = checkpoint.info(name).n_elements
                control.step(Warned(f"{n_bad:,} of {n_all:,} values are NaN", name))
        checkpoint.release(name)
        done += checkpoint.info(name).nbytes
    control.step(Progress(done, total, "done"))


def _count_not_numbers(words: np.ndarray[Any, Any], dtype: str) -> int:
    flat = words.reshape(-1)
    return sum(
        int(np.isnan(to_float32(flat[at : at + _CHUNK_ELEMENTS], dtype)).sum())
        for at in range(0, len(flat), _CHUNK_ELEMENTS)
    )
