from __future__ import annotations

from pathlib import Path

import pytest

from deltaworks.engine.journal import Entry, Journal, journal_path, read_journal
from deltaworks.errors import FileError

ENTRIES = (Entry("0/a", 12, "00ff"), Entry("0/b[0:4]", 0, "11"))


def written(folder: Path) -> Path:
    journal = Journal(folder / "x.safetensors", "j1", {"kind": "compress"})
    for entry in ENTRIES:
        journal.add(entry)
    journal.close()
    return journal.path


def test_entries_are_on_disk_at_once_and_read_back(tmp_path: Path) -> None:
    path = written(tmp_path)

    head, entries = read_journal(path)

    assert path.name == "x.safetensors.partial-j1.journal"
    assert head["recipe"] == {"kind": "compress"}
    assert entries == ENTRIES


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])

    _, entries = read_journal(path)

    assert entries == ENTRIES[:1]


def test_removing_takes_the_file_away(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x", "j1", {})

    journal.remove()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"format": 9}\n', "nonsense\n"])
def test_a_damaged_head_is_refused(text: str, tmp_path: Path) -> None:
    path = journal_path(tmp_path / "x", "j1")
    path.write_text(text)

    with pytest.raises(FileError, match="no journal of format 1"):
        read_journal(path)


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    written(tmp_path)

    with pytest.raises(FileExistsError):
        written(tmp_path)
