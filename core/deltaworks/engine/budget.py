"""Bytes in flight: how far the reader may run ahead of the writer."""

from __future__ import annotations

import threading

_LOOK_AGAIN = 0.1
"""Seconds between looks at the stop signal while waiting."""


class ByteBudget:
    """A semaphore that counts bytes.

    Take and give back in the same order, as one pipeline does: then whoever holds the
    oldest bytes never waits, and there is no deadlock.

    Args:
        limit: bytes that may be held at once. One request larger than this is granted
            when nothing else is held, and then runs alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._held = 0
        self._changed = threading.Condition()

    def take(self, n_bytes: int, stop: threading.Event) -> bool:
        """Wait for bytes; False when ``stop`` was set first."""
        with self._changed:
            while self._held and self._held + n_bytes > self.limit:
                if stop.is_set():
                    return False
                self._changed.wait(_LOOK_AGAIN)
            if stop.is_set():
                return False
            self._held += n_bytes
            self.peak = max(self.peak, self._held)
            return True

    def give_back(self, n_bytes: int) -> None:
        """Let others have them."""
        with self._changed:
            self._held -= n_bytes
            self._changed.notify_all()
