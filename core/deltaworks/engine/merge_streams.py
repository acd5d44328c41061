"""One tensor of a merge, piece by piece: read, merged, rounded, hashed and written at once.

The thread that has a piece in its cache does all of it, so that nothing of a tensor's
size is ever in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.engine.merge_tasks import promoted
from deltaworks.errors import NotFiniteError
from deltaworks.methods.merging_record import Fill, StreamInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.methods.streaming import not_finite
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.rounding import FLOAT32, Arithmetic, Floats, is_finite, narrow
from deltaworks.numerics.stored import Room, Stored, piece_size
from deltaworks.numerics.words import NUMPY_DTYPE

if TYPE_CHECKING:
    from deltaworks.engine.merge_plan import MergeJob
    from deltaworks.engine.merge_types import MergeTask, Source

Words = np.ndarray[Any, Any]
Put = Callable[[Words, int], None]
"""Writes words at an offset in bytes from the item's first one."""

_COPY_BYTES = 1 << 19
_PIECES_A_WRITE = 2
"""More calls cost more, and larger ones leave the cache."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of one item.

    Args:
        n_bytes: how much.
        checksum: of all of it: blake3, hex.
        warning: for the user; empty when there is nothing to say.
    """

    n_bytes: int
    checksum: str
    warning: str = ""


class _Rooms(threading.local):
    """Every thread's buffers, by the size of a piece."""

    def __init__(self) -> None:
        self.rooms: dict[int, Room] = {}
        self.out: dict[tuple[int, str], tuple[Floats, Words]] = {}

    def room(self, size: int) -> Room:
        return self.rooms.setdefault(size, Room(size))

    def result(self, size: int, dtype: str) -> tuple[Floats, Words]:
        key = (size, dtype)
        if key not in self.out:
            words = np.empty(_PIECES_A_WRITE * size, dtype=NUMPY_DTYPE[dtype])
            self.out[key] = np.empty(size, dtype=np.float32), words
        return self.out[key]


_ROOMS = _Rooms()


class Stretch:
    """Consecutive words on their way to a file.

    Args:
        put: where they go.
    """

    def __init__(self, put: Put) -> None:
        from blake3 import blake3

        self._put, self._digest, self._n_bytes = put, blake3(), 0

    def write(self, words: Words) -> None:
        """Write the next words."""
        raw = words.reshape(-1).view(np.uint8)
        self._digest.update(raw.data)
        self._put(raw, self._n_bytes)
        self._n_bytes += raw.nbytes

    def written(self, warning: str = "") -> Written:
        """Say what was written."""
        return Written(self._n_bytes, self._digest.hexdigest(), warning)


def arithmetic_of(job: MergeJob, task: MergeTask) -> Arithmetic:
    """Say where the intermediate results of a tensor are rounded."""
    if job.recipe.numerics == "app-fp32":
        return FLOAT32
    dtype = job.recipe.dtype or promoted(*(job.dtype(source) for source in task.read))
    return Arithmetic(job.recipe.numerics, "F32" if dtype == "F64" else dtype)


def input_of(job: MergeJob, source: Source, words: Words, arithmetic: Arithmetic) -> Stored:
    """See a tensor as an input: rounded as it is read, where the recipe says so."""
    dtype = job.dtype(source)
    loads = arithmetic
    if not arithmetic.is_mergekit and job.recipe.dtype:
        loads = Arithmetic(dtype="F32" if job.recipe.dtype == "F64" else job.recipe.dtype)
    is_cast = loads.dtype not in {"F32", dtype}
    return Stored(words.reshape(-1), dtype, loads if is_cast else None)


def merge_stream(
    job: MergeJob,
    task: MergeTask,
    base: Words | None,
    experts: list[Words],
    put: Put,
) -> Written:
    """Merge a tensor, or some rows of it.

    Raises:
        NotFiniteError: an input holds NaN or infinity, or the result does not fit.
    """
    method, arithmetic = task.method, arithmetic_of(job, task)
    assert method is not None
    assert method.stream is not None
    room = _ROOMS.room(piece_size(len(experts) + method.n_buffers))
    inputs = StreamInputs(
        TensorSpec(task.info.name, tuple(experts[0].shape), job.recipe.seed),
        None if base is None or task.base is None else input_of(job, task.base, base, arithmetic),
        tuple(
            input_of(job, source, words, arithmetic)
            for source, words in zip(task.sources, experts, strict=True)
        ),
        tuple(source.options for source in task.sources),
        arithmetic,
        room,
    )
    # Infinity minus infinity is NaN, which is found and refused.
    with np.errstate(invalid="ignore", over="ignore"):
        fill = method.stream(inputs, task.options)
        return _fill_all(fill, len(inputs), task, room.size, put)


def convert(stored: Stored, task: MergeTask, put: Put) -> Written:
    """Write a tensor in another dtype."""
    size = piece_size(4)
    return _fill_all(stored.into, len(stored), task, size, put, may_be_infinite=True)


def _fill_all(
    fill: Fill, count: int, task: MergeTask, size: int, put: Put, *, may_be_infinite: bool = False
) -> Written:
    dtype, name = task.info.dtype, task.info.name
    values, words = _ROOMS.result(size, dtype)
    stretch, held = Stretch(put), 0
    for span in spans(count, size):
        piece = values[: span.stop - span.start]
        rounded = words[held : held + len(piece)]
        fill(span, piece)
        if not may_be_infinite and not is_finite(piece):
            raise not_finite(name)
        narrow(piece, dtype, rounded)
        if dtype == "F16" and not np.isfinite(rounded).all():
            _refuse_overflow(piece, name)
        held += len(piece)
        if held == len(words) or span.stop == count:
            stretch.write(words[:held])
            held = 0
    return stretch.written()


def _refuse_overflow(values: Floats, name: str) -> None:
    if is_finite(values):
        raise NotFiniteError(
            f"values up to {float(np.abs(values).max()):.3g} do not fit into F16",
            where=name,
            fix="Choose BF16 or F32 for the result.",
        )


def copy(words: Words, put: Put, warning: str = "") -> Written:
    """Write words as they are."""
    stretch = Stretch(put)
    flat = np.ascontiguousarray(words).reshape(-1)
    for span in spans(len(flat), max(1, _COPY_BYTES // flat.itemsize)):
        stretch.write(flat[span])
    return stretch.written(warning)
