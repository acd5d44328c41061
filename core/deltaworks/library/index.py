"""The index's file: one connection behind a lock, so that pool threads may share it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deltaworks.errors import FileError
from deltaworks.library.schema import open_database


class Index:
    """Short statements only: nobody holds the lock for longer than a batch of rows.

    Args:
        path: the database file.

    Attributes:
        read_only: why nothing can be written; empty when it can.
        is_new: there was no file before; nothing can be listed yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = not path.exists()
        self._lock = threading.RLock()
        self._connection, self.read_only = open_database(path)

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Run one query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold the writer for one transaction; an exception undoes all of it.

        Raises:
            FileError: the file is shown but not changed; says why.
        """
        if self.read_only:
            raise FileError(
                self.read_only.rstrip("."), where=str(self.path), fix="Use the newer version"
            )
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
