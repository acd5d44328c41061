"""A mapped file that is cut short, or whose disk fails, while it is read.

The system ends a process with SIGBUS when it looks at a mapped page that it cannot have.
Here the page is replaced by one of zeros instead and the file is noted as damaged, so that
whoever reads can say so and drop what it made. Anything else that raises SIGBUS goes the
way it went before.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import signal
import sys
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from deltaworks.checkpoints.faults import place
from deltaworks.errors import FileError

_ADDRESS_AT = {"linux": 16, "darwin": 24}
"""Where ``siginfo_t`` holds the address that was looked at, on 64-bit systems."""
_PRIVATE_FIXED = mmap.MAP_PRIVATE | getattr(mmap, "MAP_ANONYMOUS", 0x20) | 0x10
_SA_SIGINFO = {"linux": 0x4, "darwin": 0x40}


class Watch:
    """One mapping that is looked after until it is dropped.

    Args:
        path: of the file.
        mapping: all of it.
    """

    def __init__(self, path: Path, mapping: mmap.mmap) -> None:
        self.path = path
        self.lost_at: int | None = None
        self._address = int(np.frombuffer(mapping, np.uint8).ctypes.data)
        self._n_bytes = -(-len(mapping) // mmap.PAGESIZE) * mmap.PAGESIZE
        _install()
        _add(self)
        # Views may keep a mapping alive after it was closed.
        self._dropping = weakref.finalize(mapping, _remove, id(self))

    def drop(self) -> None:
        """Look after it no more: it is unmapped."""
        self._dropping()

    def holds(self, address: int) -> bool:
        """Whether an address is in the mapping."""
        return self._address <= address < self._address + self._n_bytes

    def fill(self, address: int) -> bool:
        """Put zeros from a page to the end; False when the system refuses that too."""
        page = address - address % mmap.PAGESIZE
        left = self._address + self._n_bytes - page
        found = _LIBC.mmap(page, left, mmap.PROT_READ, _PRIVATE_FIXED, -1, 0)
        self.lost_at = min(page - self._address, self.lost_at or sys.maxsize)
        return bool(found == page)

    def check(self) -> None:
        """Raise when some of it could not be read.

        Raises:
            FileError: naming the file and the first byte that is lost.
        """
        if self.lost_at is not None:
            raise FileError(
                f"could not be read from byte {self.lost_at:,} on: it was cut short or its "
                "disk failed while it was being read",
                where=place(self.path),
                fix="Check the file and its disk, then start again.",
            )


_lock = threading.RLock()  # a finalizer may run while it is held
_watched: tuple[Watch, ...] = ()
"""Replaced as a whole: a signal may come at any moment."""


def _add(watch: Watch) -> None:
    global _watched
    with _lock:
        _watched = (*_watched, watch)


def _remove(watch_id: int) -> None:
    global _watched
    with _lock:
        _watched = tuple(one for one in _watched if id(one) != watch_id)


def check_mapped(paths: Iterable[Path]) -> None:
    """Raise when one of these files is mapped now and could not be read.

    Raises:
        FileError: naming the file.
    """
    damaged = [watch for watch in _watched if watch.lost_at is not None]
    if damaged:
        wanted = set(paths)
        for watch in damaged:
            if watch.path in wanted:
                watch.check()


class _Action(ctypes.Structure):
    """``struct sigaction`` of glibc and musl."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _DarwinAction(ctypes.Structure):
    """``struct sigaction`` of macOS."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint32),
        ("flags", ctypes.c_int),
    )


_LIBC: Any = None
_before: Any = None
_kept: Any = None
"""The handler as C sees it; it must live as long as the process."""


def _install() -> None:
    """Handle SIGBUS from now on, where the system is one that is known."""
    if sys.platform in _ADDRESS_AT and sys.maxsize > 2**32:
        with _lock, contextlib.suppress(OSError, AttributeError):
            _install_once()


def _install_once() -> None:
    global _LIBC, _before, _kept
    if _kept is not None:
        return
    _LIBC = ctypes.CDLL(None, use_errno=True)
    _LIBC.mmap.restype = ctypes.c_void_p
    numbers = [ctypes.c_int] * 3
    _LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *numbers, ctypes.c_longlong]
    kind = _DarwinAction if sys.platform == "darwin" else _Action
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(_on_bus)
    action, before = kind(), kind()
    action.handler = ctypes.cast(handler, ctypes.c_void_p).value
    action.flags = _SA_SIGINFO[sys.platform]
    if _LIBC.sigaction(signal.SIGBUS, ctypes.byref(action), ctypes.byref(before)) == 0:
        _before, _kept = before, handler


def _on_bus(_number: int, info: int, _context: int) -> None:
    """Run on the thread that looked at the page; it looks again afterwards."""
    at = info + _ADDRESS_AT[sys.platform]
    address = ctypes.c_void_p.from_address(at).value or 0
    for watch in _watched:
        if watch.holds(address) and watch.fill(address):
            return
    # Not one of ours: the next look goes to whoever had the signal before.
    _LIBC.sigaction(signal.SIGBUS, ctypes.byref(_before), None)
