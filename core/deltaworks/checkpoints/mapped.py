"""One safetensors file, mapped: its tensors as views that are read when they are looked at."""

from __future__ import annotations

import contextlib
import mmap
import threading
from pathlib import Path
from typing import Any

import numpy as np

from deltaworks.checkpoints.faults import file_fault, place
from deltaworks.checkpoints.file_state import FileState, state_of
from deltaworks.checkpoints.headers import Header, read_header
from deltaworks.checkpoints.mapping_faults import Watch
from deltaworks.errors import FileError
from deltaworks.numerics.words import NUMPY_DTYPE


class MappedFile:
    """A checked header and, from the first read on, a read-only mapping of the file.

    Args:
        path: a safetensors file.

    Attributes:
        state: of the file when it was opened.

    Raises:
        FileError: it is not a sound safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: FileState = state_of(path)
        self.header: Header = read_header(path)
        self._map: mmap.mmap | None = None
        self._watch: Watch | None = None
        self._lock = threading.Lock()

    def words(self, name: str, rows: slice | None = None) -> np.ndarray[Any, Any]:
        """View a tensor's raw words, or some rows of it; KeyError when there is none.

        Raises:
            FileError: the file was replaced or cut short since it was opened.
        """
        if self._watch is not None:
            self._watch.check()
        stored = self.header.tensors[name]
        dtype = NUMPY_DTYPE[stored.info.dtype]
        words: np.ndarray[Any, Any] = np.frombuffer(
            self._mapping(),
            dtype=dtype,
            count=stored.info.n_elements,
            offset=self.header.data_start + stored.begin,
        ).reshape(stored.info.shape)
        return words if rows is None else words[rows]

    def release(self, name: str) -> None:
        """Drop a tensor's pages from memory; whoever looks again reads them again."""
        if self._map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        stored = self.header.tensors[name]
        begin = self.header.data_start + stored.begin
        begin -= begin % mmap.PAGESIZE
        n_bytes = self.header.data_start + stored.end - begin
        with self._lock:
            if self._map is not None and n_bytes:
                self._map.madvise(mmap.MADV_DONTNEED, begin, n_bytes)

    def _mapping(self) -> mmap.mmap:
        with self._lock:
            if self._map is None:
                self._map = self._open()
            return self._map

    def _open(self) -> mmap.mmap:
        try:
            with self.path.open("rb") as file:
                state = state_of(self.path, file.fileno())
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            fault = error if isinstance(error, OSError) else OSError(str(error))
            raise file_fault(fault, self.path) from error
        if len(mapping) != self.header.file_bytes:
            n_bytes = len(mapping)
            mapping.close()
            raise FileError(
                f"had {self.header.file_bytes:,} bytes when it was opened, now {n_bytes:,}",
                where=place(self.path),
                fix="Open it again when nothing writes to it.",
            )
        if state != self.state:
            mapping.close()
            raise FileError(
                "was changed or replaced since it was opened",
                where=place(self.path),
                fix="Open it again when nothing writes to it.",
            )
        self._watch = Watch(self.path, mapping)
        return mapping

    def close(self) -> None:
        """Unmap; views that are still held keep the mapping until they are dropped."""
        with self._lock:
            mapping, self._map = self._map, None
        if mapping is not None:
            # Held views raise BufferError; the mapping then ends with the last of them.
            with contextlib.suppress(BufferError):
                mapping.close()
                if self._watch is not None:
                    self._watch.drop()
