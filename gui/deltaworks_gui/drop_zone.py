"""What shows over the window while something is dragged onto it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QMimeData, QRect, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from deltaworks_gui.theme import LINE, RADIUS_CARD, SPACE_L, current_theme

RECIPE_ENDINGS = (".json", ".yaml", ".yml")
MODEL_ENDINGS = (".safetensors", ".index.json")


def _tr(text: str) -> str:
    return QCoreApplication.translate("DropZone", text)


def dropped_paths(data: QMimeData) -> list[Path]:
    """The local folders and files in a drag."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


def is_recipe(path: Path) -> bool:
    """Whether its name looks like a recipe's: JSON or YAML, but not a shard index."""
    return path.suffix in RECIPE_ENDINGS and not path.name.endswith(MODEL_ENDINGS)


def what_happens(paths: Sequence[Path]) -> str:
    """``Add 2 folders``; empty when nothing of it can be taken."""
    if len(paths) == 1 and is_recipe(paths[0]):
        return _tr("Open recipe")
    models = [path for path in paths if path.is_dir() or path.name.endswith(MODEL_ENDINGS)]
    if not models or len(models) < len(paths):
        return ""
    folders = sum(path.is_dir() for path in models)
    files = len(models) - folders
    parts = []
    if folders:
        parts.append(_tr("1 folder") if folders == 1 else _tr("{0} folders").format(folders))
    if files:
        parts.append(_tr("1 file") if files == 1 else _tr("{0} files").format(files))
    return _tr("Add {0}").format(_tr(" and ").join(parts))


def refusal(paths: Sequence[Path]) -> str:
    """Why a drag is not taken."""
    if not paths:
        return _tr("Only folders and files can be dropped here")
    other = next(
        (path.name for path in paths if not (path.is_dir() or path.name.endswith(MODEL_ENDINGS))),
        "",
    )
    return _tr("{0} is neither a folder nor a .safetensors file").format(other)


class DropZone(QWidget):
    """Covers the window and says what a drop would do. Lets every event through."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("DropZone")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._text = ""
        self._is_taken = True
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text

    def show_text(self, text: str, *, is_taken: bool) -> None:
        """Cover the parent."""
        self._text, self._is_taken = text, is_taken
        parent = self.parentWidget()
        assert parent is not None
        self.setGeometry(QRect(0, 0, parent.width(), parent.height()))
        self.setAccessibleName(text)
        self.show()
        self.raise_()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """A veil, a dashed border, a line of text."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        veil = theme.color("bg")
        veil.setAlphaF(0.88)
        painter.fillRect(self.rect(), veil)
        tone = "accent" if self._is_taken else "bad"
        painter.setPen(QPen(theme.color(tone), 2 * LINE, Qt.PenStyle.DashLine))
        room = self.rect().adjusted(SPACE_L, SPACE_L, -SPACE_L, -SPACE_L)
        painter.drawRoundedRect(room, RADIUS_CARD, RADIUS_CARD)
        painter.setFont(theme.font("empty-title" if self._is_taken else "lead"))
        painter.setPen(theme.color("text" if self._is_taken else "bad"))
        painter.drawText(
            room, int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), self._text
        )
