"""Tables of the library's index, and the way from older files to this one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from deltaworks.errors import FileError

MIGRATIONS: tuple[str, ...] = (
    # 1: the first
    """
    CREATE TABLE roots (
        path TEXT PRIMARY KEY,
        subfolders INTEGER NOT NULL,
        mount TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE TABLE models (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL UNIQUE,
        root TEXT NOT NULL,
        name TEXT NOT NULL,
        shown_name TEXT NOT NULL DEFAULT '',
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        header TEXT NOT NULL,
        n_parameters INTEGER,
        dtype TEXT NOT NULL,
        modified_ns INTEGER NOT NULL,
        arch TEXT NOT NULL,
        licence TEXT NOT NULL,
        source TEXT NOT NULL,
        declared_role TEXT NOT NULL,
        declared_bases TEXT NOT NULL,
        absence TEXT NOT NULL DEFAULT '',
        set_role TEXT NOT NULL DEFAULT '',
        content TEXT NOT NULL DEFAULT '',
        content_fingerprint TEXT NOT NULL DEFAULT '',
        used_ns INTEGER,
        is_forgotten INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE files (
        model_id INTEGER NOT NULL REFERENCES models(id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        inode TEXT NOT NULL,
        is_weight INTEGER NOT NULL,
        PRIMARY KEY (model_id, path)
    ) WITHOUT ROWID;
    CREATE INDEX files_inode ON files (inode);
    CREATE TABLE signatures (
        model_id INTEGER PRIMARY KEY REFERENCES models(id) ON DELETE CASCADE,
        fingerprint TEXT NOT NULL,
        signature TEXT NOT NULL
    );
    CREATE TABLE groups (
        signature TEXT PRIMARY KEY,
        stamp TEXT NOT NULL
    );
    CREATE TABLE relations (
        model_id INTEGER PRIMARY KEY REFERENCES models(id) ON DELETE CASCADE,
        base_id INTEGER REFERENCES models(id) ON DELETE SET NULL,
        kind TEXT NOT NULL,
        confidence REAL NOT NULL,
        distance REAL,
        is_confirmed INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE rejections (
        model_id INTEGER NOT NULL REFERENCES models(id) ON DELETE CASCADE,
        base_id INTEGER NOT NULL REFERENCES models(id) ON DELETE CASCADE,
        PRIMARY KEY (model_id, base_id)
    ) WITHOUT ROWID;
    CREATE TABLE artefacts (
        model_id INTEGER PRIMARY KEY REFERENCES models(id) ON DELETE CASCADE,
        method TEXT NOT NULL,
        original_bytes INTEGER,
        bits_per_weight REAL,
        is_exact INTEGER,
        quality REAL,
        quality_how TEXT NOT NULL,
        quality_is_estimate INTEGER NOT NULL,
        report TEXT NOT NULL
    );
    CREATE TABLE expectations (
        model_id INTEGER PRIMARY KEY REFERENCES models(id) ON DELETE CASCADE,
        content TEXT NOT NULL,
        fingerprint TEXT NOT NULL
    );
    CREATE TABLE tags (
        model_id INTEGER NOT NULL REFERENCES models(id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (model_id, tag)
    ) WITHOUT ROWID;
    CREATE TABLE matches (
        pair TEXT PRIMARY KEY,
        evidence TEXT NOT NULL
    );
    """,
)
"""Step n leads from schema version n to n + 1. Released steps are never edited."""


def open_database(
    path: Path, migrations: Sequence[str] = MIGRATIONS
) -> tuple[sqlite3.Connection, str]:
    """Open the index, bringing an older file up to date after keeping a backup.

    Args:
        path: the file; made with its folder when absent.
        migrations: the steps to go.

    Returns:
        The connection, and why it is read-only (empty when it is not): a file that a
        newer version wrote is read and left as it is.

    Raises:
        FileError: the file is no database of ours, or cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = _connect(path)
        version = _version(connection)
        if version > len(migrations):
            connection.execute("PRAGMA query_only = ON")
            return connection, (
                f"{path.name} was written by a newer version (schema {version}, "
                f"this one knows {len(migrations)}). It is shown but not changed."
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path, version, migrations)
    except sqlite3.DatabaseError as error:
        raise FileError(
            f"the library's index cannot be opened ({error})",
            where=str(path),
            fix="Move the file away; a new one is made from your folders at the next start.",
        ) from error
    return connection, ""


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(
    connection: sqlite3.Connection, path: Path, version: int, migrations: Sequence[str]
) -> None:
    if version == len(migrations):
        return
    if version > 0:
        _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
    for number in range(version, len(migrations)):
        # One transaction a step: a step that breaks off leaves the older schema whole.
        script = f"BEGIN IMMEDIATE;{migrations[number]};PRAGMA user_version = {number + 1};COMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.DatabaseError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if _version(connection) > number:
                continue  # another process was faster
            raise


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target)) as copy:
        connection.backup(copy)
