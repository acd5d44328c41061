"""Moving files away and bringing them back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deltaworks.errors import FileError
from deltaworks.library.home import Home
from deltaworks.library.trash import Trash, whole_folders


@pytest.fixture
def trash(tmp_path: Path) -> Trash:
    return Trash(Home(tmp_path / "home"))


def model(folder: Path, *more: str) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / name for name in ("config.json", "model.safetensors")]
    for path in [*paths, *(folder / name for name in more)]:
        path.write_bytes(path.name.encode() * 100)
    return paths


def test_a_folder_that_holds_nothing_else_goes_as_one_piece_and_comes_back(
    tmp_path: Path, trash: Trash
) -> None:
    paths = model(tmp_path / "m")
    before = [path.read_bytes() for path in paths]

    moved = trash.take(paths)
    gone = not (tmp_path / "m").exists()
    trash.put_back(moved)

    assert gone
    assert len(moved) == 1
    assert [path.read_bytes() for path in paths] == before
    assert trash.entries() == []


def test_a_sibling_that_was_not_listed_stays(tmp_path: Path, trash: Trash) -> None:
    paths = model(tmp_path / "m", "notes.txt")

    trash.take(paths)

    assert [path.name for path in (tmp_path / "m").iterdir()] == ["notes.txt"]


def test_a_link_goes_as_a_link_and_its_target_stays(tmp_path: Path, trash: Trash) -> None:
    target = tmp_path / "blob"
    target.write_bytes(b"weights")
    link = tmp_path / "m" / "model.safetensors"
    link.parent.mkdir()
    link.symlink_to(target)
    (link.parent / "notes.txt").write_text("mine")

    moved = trash.take([link])

    assert target.read_bytes() == b"weights"
    assert not os.path.lexists(link)
    assert Path(moved[0].place).is_symlink()
    assert moved[0].size_bytes == 0


def test_all_or_nothing(tmp_path: Path) -> None:
    paths = [*model(tmp_path / "a", "x"), *model(tmp_path / "b", "x")]

    def refuse(path: Path) -> Path:
        if path.parent.name == "b":
            raise OSError(13, "no trash here")
        place = tmp_path / "system" / path.name
        place.parent.mkdir(exist_ok=True)
        path.rename(place)
        return place

    paths[-1].unlink()
    trash = Trash(Home(tmp_path / "home"), refuse)

    with pytest.raises(FileError, match="cannot be moved"):
        trash.take(paths)

    assert all(path.exists() for path in paths[:-1])


def test_what_has_no_system_trash_goes_to_ours(tmp_path: Path) -> None:
    def none(_path: Path) -> Path:
        raise OSError(30, "read-only")

    trash = Trash(Home(tmp_path / "home"), none)

    moved = trash.take(model(tmp_path / "m"))

    assert Path(moved[0].place).is_relative_to(tmp_path / "home" / "trash")
    assert trash.entries() == moved


def test_emptying_frees_what_was_listed_and_there_is_no_way_back(
    tmp_path: Path, trash: Trash
) -> None:
    moved = trash.take(model(tmp_path / "m"))

    freed = trash.empty(trash.entries())

    assert freed == sum(one.size_bytes for one in moved) > 0
    with pytest.raises(FileError, match="no longer in the trash"):
        trash.put_back(moved)


def test_emptying_leaves_the_systems_trash_alone(tmp_path: Path, trash: Trash) -> None:
    place = tmp_path / "system" / "m"
    model(place)
    from deltaworks.library.trash import Moved

    trash.empty([Moved("/was/m", str(place), 1, 0.0)])

    assert place.exists()


def test_nothing_comes_back_over_something_new(tmp_path: Path, trash: Trash) -> None:
    moved = trash.take(model(tmp_path / "m"))
    (tmp_path / "m").mkdir()

    with pytest.raises(FileError, match="something else lies here"):
        trash.put_back(moved)


def test_a_linked_folder_is_never_taken_whole(tmp_path: Path) -> None:
    paths = model(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    seen = [tmp_path / "link" / path.name for path in paths]

    assert whole_folders(seen) == seen
