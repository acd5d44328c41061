"""What stands in place of a list, a plot or a form that has nothing to show."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from deltaworks_gui.theme import (
    SPACE_L,
    SPACE_M,
    SPACE_S,
    SPACE_XXL,
    SPACE_XXXL,
    current_theme,
    set_look,
)
from deltaworks_gui.widgets.busy import Busy
from deltaworks_gui.widgets.buttons import make_button


class EmptyState(QWidget):
    """A picture, a title, one sentence, at most two buttons, a hint.

    Args:
        object_name: ``Empty_*``, ``Loading_*`` or ``Error_*``.
        title: what is the matter, in a few words.
        sentence: what this place is for, or why it is as it is.
        primary: text of the button to press; none without.
        secondary: text of the other way on.
        secondary_icon: an icon on it.
        icon: an icon's name for the picture.
        illustration: a drawing's name, instead of an icon.
        hint: a last line, quieter.
        busy: a spinner instead of a picture.

    Signals:
        primary_clicked, secondary_clicked: the buttons.
    """

    primary_clicked = Signal()
    secondary_clicked = Signal()

    def __init__(
        self,
        object_name: str,
        title: str,
        sentence: str = "",
        *,
        primary: str = "",
        secondary: str = "",
        secondary_icon: str = "",
        icon: str = "",
        illustration: str = "",
        hint: str = "",
        busy: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self._icon_name = icon
        self._illustration = illustration
        self._picture = QLabel()
        self._title = _line(title, "empty-title")
        self._sentence = _line(sentence, "lead")
        self._sentence.setWordWrap(True)
        self._hint = _line(hint, "hint")
        self.primary = make_button(primary, "primary", large=True, name=f"{object_name}_primary")
        self.secondary = make_button(
            secondary, icon=secondary_icon, large=True, name=f"{object_name}_secondary"
        )
        self.primary.clicked.connect(self.primary_clicked)
        self.secondary.clicked.connect(self.secondary_clicked)
        self._build(busy)
        self.set_texts(title, sentence)
        set_look(self, surface="page")
        current_theme().changed.connect(self._draw)
        self._draw()

    @property
    def title(self) -> str:
        """The title shown."""
        return self._title.text()

    @property
    def sentence(self) -> str:
        """The sentence shown."""
        return self._sentence.text()

    def set_texts(self, title: str, sentence: str = "") -> None:
        """Show another title and sentence."""
        self._title.setText(title)
        self._sentence.setText(sentence)
        self._sentence.setVisible(bool(sentence))
        self.setAccessibleName(f"{title}. {sentence}".strip())

    def set_buttons(self, primary: str = "", secondary: str = "") -> None:
        """Show other buttons; an empty text hides one."""
        for button, text in ((self.primary, primary), (self.secondary, secondary)):
            button.setText(text)
            button.setAccessibleName(text)
            button.setVisible(bool(text))

    def _build(self, busy: bool) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_XXL, SPACE_XXL, SPACE_XXL, SPACE_XXL)
        column.setSpacing(0)
        column.addStretch(1)
        if busy:
            column.addWidget(Busy(size=SPACE_XXL), 0, Qt.AlignmentFlag.AlignHCenter)
            column.addSpacing(SPACE_L)
        column.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addSpacing(SPACE_XXXL if self._illustration else SPACE_L)
        column.addWidget(self._title)
        column.addSpacing(SPACE_S)
        column.addWidget(self._sentence)
        column.addSpacing(SPACE_XXL - 2)
        column.addLayout(_centred(self.primary, self.secondary))
        column.addSpacing(SPACE_XXL)
        column.addWidget(self._hint)
        column.addStretch(1)
        self._hint.setVisible(bool(self._hint.text()))
        self._picture.setVisible(bool(self._icon_name or self._illustration))
        for button in (self.primary, self.secondary):
            button.setVisible(bool(button.text()))

    def _draw(self) -> None:
        theme = current_theme()
        ratio = self.devicePixelRatioF()
        if self._illustration:
            height = theme.metrics.illustration
            self._picture.setPixmap(theme.illustration(self._illustration, height, ratio))
        elif self._icon_name:
            side = theme.metrics.control
            self._picture.setPixmap(theme.pixmap(self._icon_name, "text-3", side, ratio))
            self._picture.setFixedSize(QSize(side, side))


def _line(text: str, role: str) -> QLabel:
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
    set_look(label, role=role)
    return label


def _centred(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(SPACE_M - 2)
    row.addStretch(1)
    for button in buttons:
        row.addWidget(button)
    row.addStretch(1)
    return row
