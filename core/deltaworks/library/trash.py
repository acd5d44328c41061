"""Moving files to a trash, all or none, so that they can be taken back.

Nothing here deletes, but emptying our own trash. Links are moved as links; a folder goes
as one piece only when everything in it was listed.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deltaworks.errors import FileError
from deltaworks.library.home import Home
from deltaworks.library.volumes import mount_point

Mover = Callable[[Path], Path]
"""Moves one file, link or folder to the system's trash and says where it lies now.

Raises:
    OSError: there is no trash on that volume, or it takes nothing.
"""
_FOLDER = ".deltaworks-trash"
_ORIGIN = "origin.json"


@dataclass(frozen=True, slots=True)
class Moved:
    """Something in a trash.

    Args:
        source: where it was.
        place: where it lies.
        size_bytes: of its files.
        when: seconds since the epoch.
    """

    source: str
    place: str
    size_bytes: int
    when: float


class Trash:
    """The system's trash where there is one, else a folder of ours on the same volume.

    Args:
        home: whose volume keeps its trash inside it.
        mover: the system's trash; None for none.
    """

    def __init__(self, home: Home, mover: Mover | None = None) -> None:
        self._home = home
        self._mover = mover

    def take(self, paths: Sequence[Path]) -> list[Moved]:
        """Move these files away, or none of them.

        Args:
            paths: files and links of models. A folder that holds nothing else goes with them.

        Raises:
            FileError: one cannot be moved; those before it are back in their places.
        """
        done: list[Moved] = []
        for path in whole_folders(paths):
            try:
                done.append(self._take_one(path))
            except OSError as error:
                self.put_back(done)
                raise FileError(
                    f"cannot be moved to the trash ({error.strerror or error})",
                    where=str(path),
                    fix="Check who may write to its folder; nothing was moved.",
                ) from error
        return done

    def put_back(self, moved: Sequence[Moved]) -> list[str]:
        """Bring things back to where they were, the last one first.

        Returns:
            Their places.

        Raises:
            FileError: something else is there now, or the trash was emptied.
        """
        for one in moved:
            if not _is_there(Path(one.place)):
                raise FileError(
                    "is no longer in the trash", where=one.source, fix="Look for another copy."
                )
            if _is_there(Path(one.source)):
                raise FileError(
                    "something else lies here now", where=one.source, fix="Move it away first."
                )
        for one in reversed(moved):
            Path(one.source).parent.mkdir(parents=True, exist_ok=True)
            Path(one.place).rename(one.source)
            _forget(Path(one.place))
        return [one.source for one in moved]

    def entries(self, volumes: Iterable[Path] = ()) -> list[Moved]:
        """What lies in our own trash folders.

        Args:
            volumes: paths on volumes to look at, beside the home's.
        """
        found = []
        for folder in sorted({self._folder(path) for path in (self._home.root, *volumes)}):
            for record in sorted(folder.glob(f"*/{_ORIGIN}")):
                try:
                    found.append(Moved(**json.loads(record.read_text("utf-8"))))
                except (OSError, ValueError, TypeError):
                    continue  # not one of ours
        return found

    def empty(self, entries: Iterable[Moved]) -> int:
        """Delete for good what ``entries`` listed; give the bytes of it. There is no way back."""
        import shutil

        freed = 0
        for one in entries:
            folder = Path(one.place).parent
            if folder.parent.name != _FOLDER and folder.parent != self._home.root / "trash":
                continue  # the system's trash is emptied by the system
            shutil.rmtree(folder)
            freed += one.size_bytes
        return freed

    def _take_one(self, path: Path) -> Moved:
        size, now = size_of(path), time.time()
        if self._mover is not None:
            try:
                return Moved(str(path), str(self._mover(path)), size, now)
            except OSError:
                pass  # no trash on this volume: ours
        folder = self._folder(path) / uuid.uuid4().hex
        folder.mkdir(parents=True)
        moved = Moved(str(path), str(folder / path.name), size, now)
        (folder / _ORIGIN).write_text(json.dumps(asdict(moved)), "utf-8")
        try:
            path.rename(folder / path.name)
        except OSError:
            (folder / _ORIGIN).unlink()
            folder.rmdir()
            raise
        return moved

    def _folder(self, path: Path) -> Path:
        """Our trash on the volume of a path: a rename must do."""
        volume = mount_point(path.parent)
        if volume == mount_point(self._home.root):
            return self._home.root / "trash"
        return volume / _FOLDER


def whole_folders(paths: Sequence[Path]) -> list[Path]:
    """Replace files by their folder where they are all that is in it, and nothing is a link."""
    wanted = set(paths)
    whole: dict[Path, None] = {}
    for path in paths:
        folder = path.parent
        whole[folder if _is_all(folder, wanted) else path] = None
    return list(whole)


def _is_all(folder: Path, wanted: set[Path]) -> bool:
    if folder.is_symlink() or os.path.ismount(folder):
        return False
    with os.scandir(folder) as entries:
        return all(Path(entry.path) in wanted for entry in entries)


def size_of(path: Path) -> int:
    """Bytes of a file or of a folder's files; a link has none of its own."""
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sum(size_of(Path(entry.path)) for entry in os.scandir(path))
    return path.stat().st_size


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _forget(place: Path) -> None:
    """Remove the record of something that went back."""
    origin = place.parent / _ORIGIN
    if origin.is_file():
        origin.unlink()
        place.parent.rmdir()
    info = place.parent.parent / "info" / f"{place.name}.trashinfo"  # freedesktop's layout
    if place.parent.name == "files" and info.is_file():
        info.unlink()
