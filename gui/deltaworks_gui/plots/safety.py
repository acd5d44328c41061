"""Repairs, live: refusals against skill, redrawn as trials end."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from deltaworks.figures import DARK, LIGHT
from deltaworks.figures.safety_tradeoff import SafetyArtists, draw_safety_tradeoff
from deltaworks.studies.trials import Sweep
from deltaworks_gui.theme import current_theme

REDRAW_MS = 500
"""Full redraws come no faster than this."""
_NEAR_PX = 10.0


class SafetyCanvas(FigureCanvasQTAgg):
    """Shows repairs; a click chooses the nearest point. The table beside it says the same.

    Signals:
        chosen: (sweep id, trial number) or None, whether it joins the selection.
    """

    chosen = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Figure())
        self.setParent(parent)
        self.setObjectName("SafetyCanvas")
        self.setAccessibleName(self.tr("Refusals against skill"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 220)
        self._sweeps: tuple[Sweep, ...] = ()
        self._artists: SafetyArtists | None = None
        self._is_due = True
        self._timer = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._timer.timeout.connect(self._on_timer)
        current_theme().changed.connect(self.redraw)
        self.mpl_connect("button_press_event", self._on_press)

    def show_sweeps(self, sweeps: Sequence[Sweep]) -> None:
        """Show these, soon."""
        if tuple(sweeps) != self._sweeps:
            self._sweeps = tuple(sweeps)
            self._describe()
            self.redraw()

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

    @Slot()
    def _on_timer(self) -> None:
        self._timer.setInterval(REDRAW_MS)
        if self._is_due and self.isVisible():
            self._is_due = False
            look = DARK if current_theme().is_dark else LIGHT
            target = self._sweeps[0].recipe.get("target") if self._sweeps else None
            self._artists = draw_safety_tradeoff(
                self.figure, self._sweeps, look=look, target=target
            )
            self.draw()

    def _on_press(self, event: MouseEvent) -> None:
        if self._artists is None or event.button is not MouseButton.LEFT:
            return
        found: tuple[float, tuple[str, int]] | None = None
        for sweep, number, x, y in self._artists.points:
            across, up = self._artists.axes.transData.transform((x, y))
            gap = hypot(across - event.x, up - event.y)
            if gap <= _NEAR_PX * self.devicePixelRatioF() and (found is None or gap < found[0]):
                found = gap, (sweep, number)
        self.chosen.emit(found[1] if found else None, event.key == "control")

    def _describe(self) -> None:
        trials = [trial for sweep in self._sweeps for trial in sweep.trials]
        done = [trial for trial in trials if "refusal" in trial.measures]
        best = next((trial for trial in done if trial.recommended), None)
        text = self.tr("{0} repairs measured").format(len(done))
        if best is not None:
            refusal = 100 * best.measures["refusal"]["value"]
            utility = 100 * best.measures["utility"]["value"]
            more = self.tr("; picked: {0} {1}, refuses {2:.0f} %, keeps {3:.0f} % of the skill")
            text += more.format(best.title, best.settings, refusal, utility)
        self.setAccessibleDescription(text)
