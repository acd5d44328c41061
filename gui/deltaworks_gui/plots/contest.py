"""Merges against base and experts, live: a row a method, as high as it needs to be."""

from __future__ import annotations

from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QResizeEvent, QShowEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from deltaworks.figures import DARK, LIGHT
from deltaworks.figures.contest import best_of_each, draw_contest, height_of
from deltaworks.studies.contest_record import Contest
from deltaworks_gui.plots.contest_words import winner_text
from deltaworks_gui.theme import current_theme

REDRAW_MS = 500
"""Full redraws come no faster than this."""
_BAND = 0.14


class ContestCanvas(FigureCanvasQTAgg):
    """Shows a comparison; a click chooses a method. The table beside it says the same.

    Signals:
        chosen: number of an entry; 0 for none.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Figure())
        self.setParent(parent)
        self.setObjectName("ContestCanvas")
        self.setAccessibleName(self.tr("Merges against base and experts"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumWidth(420)
        self._contest: Contest | None = None
        self._selected = 0
        self._is_due = True
        self._timer = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._timer.timeout.connect(self._on_timer)
        current_theme().changed.connect(self.redraw)
        self.mpl_connect("button_press_event", self._on_press)

    def show_contest(self, contest: Contest | None, selected: int = 0) -> None:
        """Show this one, soon, with one of its entries marked."""
        if contest is self._contest and selected == self._selected:
            return
        self._contest, self._selected = contest, selected
        if contest is not None:
            self.setMinimumHeight(height_of(contest))
            measured = sum(entry.average is not None for entry in contest.entries)
            text = self.tr("{0} of {1} merges measured. {2}")
            self.setAccessibleDescription(
                text.format(measured, len(contest.entries), winner_text(contest)).strip()
            )
        self.redraw()

    @property
    def methods(self) -> list[int]:
        """Numbers of the entries that are drawn, from below."""
        return [one.number for one in best_of_each(self._contest)] if self._contest else []

    @Slot()
    def redraw(self) -> None:
        """Draw when it is next seen, and not too often."""
        self._is_due = True
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def showEvent(self, event: QShowEvent) -> None:
        """Draw what changed meanwhile."""
        super().showEvent(event)
        if self._is_due:
            self._timer.start(0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay the figure out anew."""
        super().resizeEvent(event)
        self.redraw()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave scrolling to the area around."""
        event.ignore()

    @Slot()
    def _on_timer(self) -> None:
        self._timer.setInterval(REDRAW_MS)
        if not self._is_due or not self.isVisible() or self._contest is None:
            return
        self._is_due = False
        look = DARK if current_theme().is_dark else LIGHT
        axes = draw_contest(self.figure, self._contest, look=look)
        at = self._row_of(self._selected)
        if at is not None:
            axes.axhspan(at - 0.5, at + 0.5, color=look.accent, alpha=_BAND, zorder=1)
        self.draw()

    def _row_of(self, number: int) -> int | None:
        """The row of an entry's method, which shows its best setting."""
        entries = self._contest.entries if self._contest is not None else ()
        chosen = next((one for one in entries if one.number == number), None)
        if chosen is None or self._contest is None:
            return None
        same = (chosen.title, chosen.pre and chosen.pre["method"])
        drawn = [(one.title, one.pre and one.pre["method"]) for one in best_of_each(self._contest)]
        return drawn.index(same) if same in drawn else None

    def _on_press(self, event: MouseEvent) -> None:
        if event.button is not MouseButton.LEFT or event.inaxes is None or event.ydata is None:
            return
        place, methods = round(event.ydata), self.methods
        self.chosen.emit(methods[place] if 0 <= place < len(methods) else 0)
