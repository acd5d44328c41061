"""The ring around whatever has the keyboard: 2 px of accent, 2 px away.

One a process. Style sheets cannot draw outside a widget; this can, as a
sibling that lets every click through.
"""

from __future__ import annotations

import shiboken6
from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QSlider,
    QSplitter,
    QWidget,
)

from deltaworks_gui.theme import FOCUS_GAP, FOCUS_WIDTH, RADIUS, current_theme

_RINGED = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QSlider)
_MOVES = (QEvent.Type.Move, QEvent.Type.Resize)
_GOES = (QEvent.Type.Hide, QEvent.Type.Close, QEvent.Type.ParentChange)
_OUT = FOCUS_GAP + FOCUS_WIDTH


class FocusRing(QObject):
    """Draws the ring around the focused control.

    Fields show it however they were reached; buttons only when the keyboard led
    there, so that a click leaves no trace.
    """

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._target: QWidget | None = None
        self._frame: _Frame | None = None
        self._watched: list[QWidget] = []
        app.focusChanged.connect(self._on_focus)

    @property
    def target(self) -> QWidget | None:
        """What the ring stands around now."""
        return self._target

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the target; never take an event."""
        if watched in self._watched and event.type() in _MOVES:
            self._place()
        elif watched is self._target and event.type() in _GOES:
            self._drop()
        return False

    def _on_focus(self, _old: QWidget | None, new: QWidget | None) -> None:
        self._drop()
        parent = new.parentWidget() if new is not None else None
        if new is None or parent is None or not _wants(new, parent):
            return
        self._target = new
        host = _host(new, parent)
        around: QWidget | None = new
        while around is not None and around is not host:
            self._watched.append(around)
            around.installEventFilter(self)
            around = around.parentWidget()
        self._frame = _Frame(host)
        self._place()
        self._frame.show()
        self._frame.raise_()

    def _place(self) -> None:
        if self._frame is not None and self._target is not None and shiboken6.isValid(self._frame):
            host = self._frame.parentWidget()
            assert host is not None
            self._frame.setGeometry(_around(self._target, host))

    def _drop(self) -> None:
        if self._frame is not None and shiboken6.isValid(self._frame):
            self._frame.hide()
            self._frame.deleteLater()
        for widget in self._watched:
            if shiboken6.isValid(widget):
                widget.removeEventFilter(self)
        self._watched = []
        self._frame = None
        self._target = None


def _around(widget: QWidget, host: QWidget) -> QRect:
    """Where the ring stands in a widget further out."""
    inside = QRect(widget.mapTo(host, QPoint()), widget.size())
    return inside.adjusted(-_OUT, -_OUT, _OUT, _OUT)


def _host(widget: QWidget, parent: QWidget) -> QWidget:
    """The nearest widget around that has room for the ring, inside the same scroll area."""
    host = parent
    while not host.isWindow() and not host.rect().contains(_around(widget, host)):
        above = host.parentWidget()
        if above is None or isinstance(above.parentWidget(), QAbstractScrollArea):
            break
        host = above
    return host


def _wants(widget: QWidget, parent: QWidget) -> bool:
    if not isinstance(widget, _RINGED) or isinstance(parent, QSplitter):
        return False
    if isinstance(widget, QAbstractButton):
        return QGuiApplication.mouseButtons() == Qt.MouseButton.NoButton
    return not isinstance(parent, (QAbstractSpinBox, QComboBox))


class _Frame(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("FocusRing")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(current_theme().color("accent"), FOCUS_WIDTH))
        half = FOCUS_WIDTH / 2
        radius = RADIUS + FOCUS_GAP + half
        painter.drawRoundedRect(
            QRectF(self.rect()).adjusted(half, half, -half, -half), radius, radius
        )
