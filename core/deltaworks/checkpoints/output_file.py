"""A new file that is written at any offset, read back, and flushed; its errors in words."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from deltaworks.checkpoints.faults import file_fault, place
from deltaworks.errors import AppError, FileError, SpaceError
from deltaworks.progress import JobControl

_COPY_BYTES = 8 * 2**20
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV}


class OutputFile:
    """A new file that is written at any offset, from any thread.

    Args:
        path: must not exist.
        goes_on: keep what is in it, should it exist after all.

    Raises:
        FileError: it cannot be made.
    """

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._n_writing = 0
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        flags |= 0 if goes_on else os.O_EXCL
        try:
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise file_fault(error, path) from error

    def allocate(self, n_bytes: int) -> None:
        """Take the space at once, so that a full disk is known before the work.

        Raises:
            SpaceError: there is too little.
        """
        try:
            if n_bytes and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._fd, 0, n_bytes)
                return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise self._fault(error, n_bytes) from error
        self.truncate(n_bytes)

    def truncate(self, n_bytes: int) -> None:
        """Cut off, or fill up, to a length.

        Raises:
            SpaceError: there is too little space.
        """
        try:
            os.ftruncate(self._fd, n_bytes)
        except OSError as error:
            raise self._fault(error, n_bytes) from error

    def write_at(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of it at an offset.

        Raises:
            SpaceError: the disk is full.
            FileError: the disk refused.
        """
        left = memoryview(data)
        try:
            with self._writing():
                while left:
                    n_bytes = self._pwrite(left, offset)
                    left, offset = left[n_bytes:], offset + n_bytes
        except OSError as error:
            raise self._fault(error, len(left)) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep the file open: its number could otherwise become another file's."""
        with self._idle:
            if self._fd < 0:
                raise OSError(errno.EBADF, "is closed already")
            self._n_writing += 1
        try:
            yield
        finally:
            with self._idle:
                self._n_writing -= 1
                self._idle.notify_all()

    def _pwrite(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._fd, data, offset)
        with self._lock:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.write(self._fd, data)

    def read_at(self, n_bytes: int, offset: int) -> bytes:
        """Read back; FileError when the file ends early."""
        try:
            if hasattr(os, "pread"):
                data = os.pread(self._fd, n_bytes, offset)
            else:
                with self._lock:
                    os.lseek(self._fd, offset, os.SEEK_SET)
                    data = os.read(self._fd, n_bytes)
        except OSError as error:
            raise file_fault(error, self.path) from error
        if len(data) != n_bytes:
            raise FileError(
                f"gave {len(data):,} of {n_bytes:,} bytes back",
                where=place(self.path),
                fix="Check the disk.",
            )
        return data

    def hash_at(self, n_bytes: int, offset: int, control: JobControl) -> bytes:
        """Hash what is on disk, piece by piece: blake3.

        Flushed bytes are dropped from memory first, so that the disk is asked for them;
        the others stay for whoever reads the file next.
        """
        from blake3 import blake3

        digest = blake3()
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._fd, offset, n_bytes, os.POSIX_FADV_DONTNEED)
        for at in range(offset, offset + n_bytes, _COPY_BYTES):
            control.check()
            digest.update(self.read_at(min(_COPY_BYTES, offset + n_bytes - at), at))
        return digest.digest()

    def move(self, n_bytes: int, source: int, target: int, control: JobControl) -> None:
        """Move a stretch of the file to another offset, the two may overlap."""
        starts = range(0, n_bytes, _COPY_BYTES)
        for at in starts if target < source else reversed(starts):
            control.check()
            data = self.read_at(min(_COPY_BYTES, n_bytes - at), source + at)
            self.write_at(data, target + at)

    def sync(self) -> None:
        """Wait until the bytes are on the disk."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._fault(error, 0) from error

    def close(self) -> None:
        """Let go of the file; closing twice is closing once."""
        with self._idle:
            self._idle.wait_for(lambda: self._n_writing == 0)
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _fault(self, error: OSError, n_bytes: int) -> AppError:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            return file_fault(error, self.path)
        try:
            free = shutil.disk_usage(self.path.parent).free
        except OSError:
            free = 0
        return SpaceError(
            f"the disk is full: {n_bytes:,} bytes to write, {free:,} free",
            where=place(self.path),
            fix="Free some space or choose another disk.",
        )

    def __enter__(self) -> OutputFile:
        """Use as a context that closes itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
