"""Moving models to the trash, with a way back: what the Library and Storage share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QFile, QObject, Signal, Slot

from deltaworks.errors import AppError
from deltaworks.library.rows import ModelRow
from deltaworks.library.trash import Moved, Trash
from deltaworks.progress import JobControl
from deltaworks_gui.context import AppContext
from deltaworks_gui.formats import format_size
from deltaworks_gui.undo import Act


def move_to_system_trash(path: Path) -> Path:
    """Let Qt move one thing to the system's trash.

    Raises:
        OSError: there is none on that volume.
    """
    file = QFile(str(path))
    if not file.moveToTrash():
        raise OSError(file.errorString())
    return Path(file.fileName())


@dataclass(frozen=True, slots=True)
class Going:
    """What is about to go.

    Args:
        name: for people.
        paths: every file and link.
        size_bytes: of its files; ``frees_bytes`` what the disk gains once the trash is empty.
        model: id of the listed model that it is; None for other files.
        note: what the user should know, such as who shares its files.
    """

    name: str
    paths: tuple[str, ...]
    size_bytes: int
    frees_bytes: int
    model: int | None = None
    note: str = ""


def going_of(row: ModelRow) -> Going:
    """Every file of a listed model."""
    size = sum(file.size_bytes for file in row.files)
    note = ""
    if row.shared_bytes:
        text = QCoreApplication.translate(
            "Trasher", "{0} shares {1} with other models; they stay and so do these bytes."
        )
        note = text.format(row.name, format_size(row.shared_bytes))
    paths = tuple(file.path for file in row.files)
    return Going(row.name, paths, size, max(0, size - row.shared_bytes), row.id, note)


class Trasher(QObject):
    """Moves files beside the window's thread and remembers how to bring them back.

    Signals:
        done: something went or came back; disks and lists are to be read again.
    """

    done = Signal()

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.trash = Trash(context.home, move_to_system_trash)

    def take(self, going: Sequence[Going]) -> None:
        """Move all of it to the trash; ``Undo`` brings it back."""
        library, trash = self._context.library, self.trash
        paths = [Path(path) for one in going for path in one.paths]
        ids = [one.model for one in going if one.model is not None]
        moved: list[Moved] = []

        def move(_control: JobControl) -> None:
            moved[:] = trash.take(paths)
            library.forget(ids)

        def bring_back(_control: JobControl) -> None:
            trash.put_back(moved)
            library.remember(ids)

        name = going[0].name if len(going) == 1 else self.tr("{0} things").format(len(going))
        self._context.undo.push(
            Act(
                self.tr("move {0} to the trash").format(name),
                lambda: self._start(move),
                lambda: self._start(bring_back),
            )
        )
        text = self.tr("Moved to the trash: {0}").format(name)
        self._context.navigator.status(text)

    def empty(self, entries: Sequence[Moved]) -> None:
        """Delete what lies in our trash. There is no way back."""
        kept = list(entries)
        self._start(lambda _control: self.trash.empty(kept))

    def _start(self, work: object) -> None:
        start = self._context.tasks.start
        start(work, succeeded=self._on_done, failed=self._on_failed)  # type: ignore[arg-type]  # a Work

    @Slot(object)
    def _on_done(self, _result: object) -> None:
        self._context.navigator.library_changed.emit()
        self.done.emit()

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        self._context.navigator.banner("bad", str(error), key="trash", stays=True)
        self.done.emit()
