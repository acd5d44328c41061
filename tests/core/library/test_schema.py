from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from deltaworks.errors import FileError
from deltaworks.library.home import Home
from deltaworks.library.index import Index
from deltaworks.library.library import Library
from deltaworks.library.schema import MIGRATIONS, open_database
from deltaworks.progress import JobControl

FIRST = "CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('kept');"
SECOND = "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7;"


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_an_older_file_is_brought_up_to_date_after_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite3"
    open_database(path, [FIRST])[0].close()

    connection, read_only = open_database(path, [FIRST, SECOND])

    assert [tuple(row) for row in connection.execute("SELECT * FROM things")] == [("kept", 7)]
    connection.close()
    assert (version_of(path), read_only) == (2, "")
    assert version_of(path.with_name("library.sqlite3.v1.bak")) == 1


def test_a_step_that_breaks_off_leaves_the_older_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite3"
    open_database(path, [FIRST])[0].close()
    broken = "INSERT INTO things VALUES ('half'); INSERT INTO nowhere VALUES (1);"

    with pytest.raises(FileError, match="cannot be opened"):
        open_database(path, [FIRST, broken])

    connection, _ = open_database(path, [FIRST])
    assert [row["name"] for row in connection.execute("SELECT * FROM things")] == ["kept"]
    connection.close()


def test_a_newer_file_is_shown_and_not_changed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    open_database(home.database, [*MIGRATIONS, SECOND.replace("things", "models")])[0].close()
    before = home.database.read_bytes()

    library = Library(home)

    assert "newer version (schema 2, this one knows 1)" in library.read_only
    assert library.rows() == []
    with pytest.raises(FileError, match="newer version"):
        library.add_root(tmp_path)
    with pytest.raises(FileError, match="newer version"):
        library.scan(JobControl())
    library.close()
    assert home.database.read_bytes() == before


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite3"
    path.write_bytes(b"this is no database at all" * 100)

    with pytest.raises(FileError, match=r"library\.sqlite3: .*cannot be opened"):
        open_database(path)


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    index = Index(tmp_path / "library.sqlite3")

    def fail() -> None:
        with index.write() as connection:
            connection.execute("INSERT INTO roots VALUES ('/a', 1, '/', 'Ready', '')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert index.read("SELECT * FROM roots") == []
    index.close()


def test_threads_share_one_index(tmp_path: Path) -> None:
    index = Index(tmp_path / "library.sqlite3")
    faults: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(25):
                with index.write() as connection:
                    connection.execute("INSERT INTO matches VALUES (?, '')", (f"{number} {turn}",))
                index.read("SELECT COUNT(*) FROM matches")
        except Exception as error:  # any fault in a thread must fail the test
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert index.read("SELECT COUNT(*) AS n FROM matches")[0]["n"] == 100
    index.close()
