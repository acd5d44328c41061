"""Writes a full model: laid out first, filled in any order, published only when whole."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from deltaworks.checkpoints.documents import read_bytes
from deltaworks.checkpoints.faults import file_fault, place
from deltaworks.checkpoints.folder_hashes import Pieces, hashes_document
from deltaworks.checkpoints.headers import read_header_bytes
from deltaworks.checkpoints.layout import INDEX, SAFETENSORS, is_plain_path
from deltaworks.checkpoints.output_file import OutputFile
from deltaworks.checkpoints.shards import (
    INDEX_NAME,
    given_files,
    index_json,
    plan_files,
)
from deltaworks.checkpoints.side_files import HASHES_FILE
from deltaworks.checkpoints.staging import (
    check_space,
    make_parents,
    partial_path,
    publish_folder,
    refuse_existing,
    refuse_links,
    remove_empty,
    remove_others,
    sync_folder,
)
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.errors import FileError
from deltaworks.progress import JobControl, Progress

Data = bytes | bytearray | memoryview | np.ndarray[Any, Any]

_PT = MappingProxyType({"format": "pt"})
_N_SAMPLES = 16
"""Tensors that are read back and compared before the folder gets its name."""
_SAMPLE_BYTES = 1 << 20
"""Most bytes of one tensor among them: the first that are written of it."""


class ModelWriter:
    """A model folder in the making, ``<folder>.partial-<job>`` until ``commit``.

    Sizes are known from the start, so tensors go straight to their final offsets, in any
    order and from any thread. As a context it aborts unless it was committed.

    Args:
        folder: final place; must not exist.
        tensors: what will be written, in file order.
        shard_bytes: most data bytes in one file, but for a single larger tensor.
        side_files: name to content or to a file to copy; ``/`` makes folders. Without
            ``headers``, an index among them is left out: it would describe other files.
        metadata: texts for every header.
        headers: weight-file names to headers that are written as they are, so that the
            files come out byte for byte like those that the headers were taken from.
        job_id: part of the temporary name.
        goes_on: keep the tensors that lie in the temporary folder already; each is to be
            checked with ``read_back`` and counted with ``take``, or written.

    Raises:
        FileError: the folder exists or cannot be made.
        SpaceError: the disk has too little space.
        MismatchError: ``headers`` describe other tensors.
    """

    def __init__(
        self,
        folder: Path,
        tensors: Sequence[TensorInfo],
        *,
        shard_bytes: int = 5_000_000_000,
        side_files: Mapping[str, Path | bytes] | None = None,
        metadata: Mapping[str, str] = _PT,
        headers: Mapping[str, bytes] | None = None,
        job_id: str = "",
        goes_on: bool = False,
    ) -> None:
        self.folder = Path(folder).absolute()
        self._is_verbatim = bool(headers)
        self._infos = {info.name: info for info in tensors}
        if len(self._infos) != len(tensors):
            raise ValueError("two tensors share a name")
        if headers:
            self._planned = given_files(headers, tensors)
        else:
            self._planned = plan_files(tensors, shard_bytes, metadata)
        self._side = self._chosen_side_files(side_files or {}, is_verbatim=bool(headers))
        self._place = {name: one for one in self._planned for name in one.offsets}
        refuse_existing(self.folder)
        self.partial = partial_path(self.folder, job_id, is_free=not goes_on)
        check_space(self.folder, self.n_bytes, there=self.partial if goes_on else None)
        self._written = dict.fromkeys(self._infos, 0)
        self._unsampled = dict.fromkeys(_sample(tuple(self._infos)), _SAMPLE_BYTES)
        self._samples: list[tuple[str, int, int, bytes]] = []
        self._lock = threading.Lock()
        self._files: dict[str, OutputFile] = {}
        self._is_open = True
        self._has_folder = False
        self._made = make_parents(self.folder)
        try:
            self._begin(goes_on=goes_on)
        except BaseException:
            self.abort()
            raise

    def _chosen_side_files(
        self, given: Mapping[str, Path | bytes], *, is_verbatim: bool
    ) -> dict[str, Path | bytes]:
        side = {
            name: data for name, data in given.items() if is_verbatim or not name.endswith(INDEX)
        }
        for name in (*side, *(one.name for one in self._planned)):
            if not is_plain_path(name):
                raise FileError(f"{name!r:.80} is no plain file name", where=place(self.folder))
        weights = {one.name for one in self._planned}
        for name in side:
            if name in weights or name.endswith(SAFETENSORS):
                raise FileError(f"side file {name} would be a weight file", where=str(self.folder))
        if len(self._planned) > 1 and not any(name.endswith(INDEX) for name in side):
            side[INDEX_NAME] = index_json(self._planned)
        return side

    @property
    def n_bytes(self) -> int:
        """Size of everything that will be written."""
        side = (
            data.stat().st_size if isinstance(data, Path) else len(data)
            for data in self._side.values()
        )
        return sum(one.n_bytes for one in self._planned) + sum(side)

    def _begin(self, *, goes_on: bool) -> None:
        """Make the folder; take the space; write headers and side files."""
        try:
            self.partial.mkdir(exist_ok=goes_on)
        except OSError as error:
            raise file_fault(error, self.partial) from error
        self._has_folder = True
        if goes_on:
            refuse_links([self.partial, *(self.partial / one.name for one in self._planned)])
            remove_others(self.partial, {one.name for one in self._planned})
        for planned in self._planned:
            file = OutputFile(self.partial / planned.name, goes_on=goes_on)
            self._files[planned.name] = file
            if goes_on:
                file.truncate(planned.n_bytes)
            file.allocate(planned.n_bytes)
            file.write_at(planned.header, 0)
        for name, data in self._side.items():
            _write_side_file(self.partial / name, data)

    def write(self, name: str, data: Data, *, offset: int = 0) -> None:
        """Write a tensor, or a stretch of it; safe from any thread.

        Args:
            name: one of the tensors; each byte of it is to be written once.
            data: raw words in C order.
            offset: bytes from the tensor's start.

        Raises:
            SpaceError: the disk is full.
            ValueError: more bytes than the tensor has, or the writer is closed.
        """
        raw = _bytes_of(data)
        planned, at = self._place[name], self._checked_offset(name, len(raw), offset)
        self._files[planned.name].write_at(raw, at)
        self.take(name, raw, offset=offset)

    def read_back(self, name: str, n_bytes: int, *, offset: int = 0) -> bytes:
        """Read a stretch of a tensor as it lies on disk now.

        Raises:
            ValueError: more bytes than the tensor has, or the writer is closed.
        """
        at = self._checked_offset(name, n_bytes, offset)
        return self._files[self._place[name].name].read_at(n_bytes, at)

    def take(self, name: str, data: Data, *, offset: int = 0) -> None:
        """Count a stretch of a tensor that lies on disk as written; arguments as ``write``."""
        raw = _bytes_of(data)
        at = self._checked_offset(name, len(raw), offset)
        from blake3 import blake3

        with self._lock:
            self._written[name] += len(raw)
            if raw and self._unsampled.get(name):
                looked_at = raw[: self._unsampled[name]]
                self._unsampled[name] -= len(looked_at)
                digest = blake3(looked_at).digest()
                self._samples.append((self._place[name].name, at, len(looked_at), digest))

    def _checked_offset(self, name: str, n_bytes: int, offset: int) -> int:
        """Give the place in the file of a stretch of a tensor."""
        info = self._infos[name]
        if not self._is_open:
            raise ValueError("the writer is closed")
        if offset < 0 or offset + n_bytes > info.nbytes:
            raise ValueError(f"{name}: bytes {offset}+{n_bytes} of {info.nbytes}")
        return self._place[name].offsets[name] + offset

    def add_hashes(self, pieces: Pieces) -> None:
        """Put a file beside the weights that holds hashes of all that is in the folder.

        Nothing is done for headers that were given: such a folder is to be like another one.

        Args:
            pieces: hashes of every tensor, in the order of its bytes.

        Raises:
            FileError: a side file cannot be read back.
        """
        if self._is_verbatim:
            return
        weights = {one.name: one.header for one in self._planned}
        found = (path for path in self.partial.rglob("*") if path.is_file())
        named = {path.relative_to(self.partial).as_posix(): path for path in found}
        files = {name: read_bytes(named[name]) for name in sorted(named) if name not in weights}
        path = self.partial / HASHES_FILE
        path.unlink(missing_ok=True)
        _write_side_file(path, hashes_document(weights, pieces, files))

    def commit(self, control: JobControl) -> tuple[Path, ...]:
        """Flush, read back, and give the folder its name.

        Returns:
            The weight files, in shard order.

        Raises:
            ValueError: a tensor was not written in full.
            FileError: what is on disk is not what was written, or the name was taken.
            CancelledError: stopped. After any error nothing is left behind.
        """
        try:
            self._check_written()
            self._sync(control)
            self._check_samples(control)
            self._close_files()
            self._check_headers()
            for folder in {(self.partial / name).parent for name in self._side}:
                sync_folder(folder)
            sync_folder(self.partial)
            control.check()
            publish_folder(self.partial, self.folder)
        except BaseException:
            self.abort()
            raise
        self._is_open = False
        return tuple(self.folder / one.name for one in self._planned)

    def _check_written(self) -> None:
        for name, n_bytes in self._written.items():
            if n_bytes != self._infos[name].nbytes:
                raise ValueError(f"{name}: {n_bytes} of {self._infos[name].nbytes} bytes written")

    def _sync(self, control: JobControl) -> None:
        total, done = sum(one.n_bytes for one in self._planned), 0
        for planned in self._planned:
            control.step(Progress(done, total, "writing to disk"))
            self._files[planned.name].sync()
            done += planned.n_bytes

    def _check_samples(self, control: JobControl) -> None:
        for file_name, at, n_bytes, digest in self._samples:
            if self._files[file_name].hash_at(n_bytes, at, control) != digest:
                raise FileError(
                    f"bytes {at:,} to {at + n_bytes:,} read back differ from what was written",
                    where=f"{self.folder.name}/{file_name}",
                    fix="Check the disk.",
                )

    def _check_headers(self) -> None:
        for planned in self._planned:
            path = self.partial / planned.name
            if read_header_bytes(path) != planned.header or path.stat().st_size != planned.n_bytes:
                text = "its header read back differs from what was written"
                raise FileError(
                    text, where=f"{self.folder.name}/{planned.name}", fix="Check the disk."
                )

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()

    def abort(self) -> None:
        """Take away everything that was written; without effect after ``commit``."""
        if not self._is_open:
            return
        self._is_open = False
        self._close_files()
        if self._has_folder:
            shutil.rmtree(self.partial, ignore_errors=True)
        remove_empty(self._made)

    def __enter__(self) -> ModelWriter:
        """Use as a context that aborts unless committed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort unless committed."""
        self.abort()


def _sample(names: Sequence[str]) -> frozenset[str]:
    """Choose tensors to read back: first, last and evenly between."""
    if len(names) <= _N_SAMPLES:
        return frozenset(names)
    last = len(names) - 1
    return frozenset(names[last * number // (_N_SAMPLES - 1)] for number in range(_N_SAMPLES))


def _bytes_of(data: Data) -> memoryview:
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")


def _write_side_file(path: Path, data: Path | bytes) -> None:
    content = read_bytes(data) if isinstance(data, Path) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    with OutputFile(path) as file:
        file.write_at(content, 0)
        file.sync()
