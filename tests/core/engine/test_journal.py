from __future__ import annotations

from pathlib import Path

import pytest

from deltaworks.engine.journal import (
    Entry,
    Journal,
    job_id_of,
    journal_path,
    partial_of,
    read_journal,
)
from deltaworks.errors import FileError

ENTRIES = (Entry("0/a", 12, "00ff", {"warning": "odd"}), Entry("0/b[0:4]", 0, "11"))


def written(folder: Path) -> Path:
    journal = Journal(folder / "x.safetensors", {"kind": "compress"})
    for entry in ENTRIES:
        journal.add(entry)
    journal.close()
    return journal.path


def test_entries_are_on_disk_at_once_and_read_back(tmp_path: Path) -> None:
    path = written(tmp_path)

    head, entries = read_journal(path)

    job_id = job_id_of({"kind": "compress"})
    assert path.name == f"x.safetensors.partial-{job_id}.journal"
    assert head["recipe"] == {"kind": "compress"}
    assert entries == ENTRIES


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])

    _, entries = read_journal(path)

    assert entries == ENTRIES[:1]


def test_removing_takes_the_file_away(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "x", {})

    journal.remove()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"format": 9}\n', "nonsense\n"])
def test_a_damaged_head_is_refused(text: str, tmp_path: Path) -> None:
    path = journal_path(tmp_path / "x", "j1")
    path.write_text(text)

    with pytest.raises(FileError, match="no journal of format 1"):
        read_journal(path)


def test_the_same_recipe_has_the_same_id_and_another_one_another() -> None:
    assert job_id_of({"a": 1, "b": [2]}) == job_id_of({"b": [2], "a": 1})
    assert job_id_of({"a": 1}) != job_id_of({"a": 2})


def test_what_was_left_is_taken_over_only_by_its_own_job(tmp_path: Path) -> None:
    target = tmp_path / "x.safetensors"
    written(tmp_path)
    partial_of(target, job_id_of({"kind": "compress"})).write_text("parts")

    other = Journal(target, {"kind": "merge"}, resume=True)
    own = Journal(target, {"kind": "compress"}, resume=True)

    assert other.found == ()
    assert own.found == ENTRIES
    own.keep(ENTRIES[:1])
    assert read_journal(own.path)[1] == ENTRIES[:1]
    own.close()
    other.remove()


def test_without_resume_what_was_left_is_taken_away(tmp_path: Path) -> None:
    target = tmp_path / "x.safetensors"
    written(tmp_path)
    partial = partial_of(target, job_id_of({"kind": "compress"}))
    (partial / "deep").mkdir(parents=True)

    journal = Journal(target, {"kind": "compress"})

    assert journal.found == ()
    assert not partial.exists()
    assert read_journal(journal.path)[1] == ()
    journal.close()


def test_a_journal_in_use_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x", {})

    with pytest.raises(FileError, match="is being made by another run"):
        Journal(tmp_path / "x", {}, resume=True)

    journal.remove()
    other = Journal(tmp_path / "x", {})
    journal.remove()  # a second time: it is the other's now
    assert other.path.exists()
    other.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(FileError, match="file"):
        Journal(tmp_path / "file" / "x", {})

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
