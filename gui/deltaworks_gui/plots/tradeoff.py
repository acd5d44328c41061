"""The trade-off figure, live: points appear as trials end, can be pointed at and chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from PySide6.QtCore import QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QToolTip, QWidget

from deltaworks.figures import DARK, LIGHT, TradeoffArtists, describe_tradeoff, draw_tradeoff
from deltaworks.studies.trials import Sweep
from deltaworks_gui.plots.choice import PlotChoice
from deltaworks_gui.theme import current_theme

REDRAW_MS = 500
"""Full redraws come no faster than this."""
HOVER_PX = 8

Key = tuple[str, int]


class TradeoffCanvas(FigureCanvasQTAgg):
    """Shows sweeps; hover tells, click chooses, the wheel and drag belong to the tools.

    Signals:
        chosen: (sweep id, trial number), whether it joins the selection.
        opened: a double-clicked point's key.
        menu_asked: (key, global QPoint).
    """

    chosen = Signal(object, object)
    opened = Signal(object)
    menu_asked = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Figure())
        self.setParent(parent)
        self.setObjectName("TradeoffCanvas")
        self.setAccessibleName(self.tr("Size against quality"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 220)
        self._sweeps: tuple[Sweep, ...] = ()
        self._choice = PlotChoice()
        self._selected: tuple[Key, ...] = ()
        self._artists: TradeoffArtists | None = None
        self._home: tuple[tuple[float, float], tuple[float, float]] | None = None
        self._is_due = False
        self.full_redraws = 0
        self._timer = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._timer.timeout.connect(self._on_timer)
        current_theme().changed.connect(self.redraw)
        self.mpl_connect("motion_notify_event", self._on_motion)
        self.mpl_connect("button_press_event", self._on_press)
        self.mpl_connect("button_release_event", self._on_release)
        self.mpl_connect("figure_leave_event", self._on_leave)
        self._is_held = False

    @property
    def points(self) -> list[tuple[str, int, float, float]]:
        """Sweep id, trial number and place of every point that is drawn."""
        return [] if self._artists is None else list(self._artists.points)

    def show_sweeps(self, sweeps: Sequence[Sweep], choice: PlotChoice) -> None:
        """Show these soon; at once when nothing was drawn for a while."""
        if choice != self._choice:
            self._home = None
        fresh = tuple(sweeps)
        if fresh == self._sweeps and choice == self._choice:
            return
        before, self._sweeps, self._choice = self._sweeps, fresh, choice
        if {sweep.id for sweep in before} != {sweep.id for sweep in fresh}:
            self._home = None
        self.setAccessibleDescription(describe_tradeoff(fresh, y=choice.y))
        self.redraw()

    def select(self, keys: Sequence[Key]) -> None:
        """Ring these points."""
        if tuple(keys) != self._selected:
            self._selected = tuple(keys)
            self.redraw()

    @Slot()
    def redraw(self) -> None:
        """Draw everything again, at most twice a second, and only when someone looks."""
        self._is_due = True
        if not self._timer.isActive():
            self._on_timer()

    @Slot()
    def reset_view(self) -> None:
        """Show all points again."""
        self._home = None
        if self._artists is not None:
            self._artists = None
        self.redraw()

    @Slot()
    def _on_timer(self) -> None:
        if not self._is_due or not self.isVisible() or self._is_held:
            return
        self._is_due = False
        self._draw_now()
        self._timer.start()

    def _draw_now(self) -> None:
        zoom = self._zoom()
        choice = self._choice
        self._artists = draw_tradeoff(
            self.figure,
            self._sweeps,
            look=DARK if current_theme().is_dark else LIGHT,
            x=choice.x,
            y=choice.y,
            log_x=choice.log_x,
            selected=self._selected,
            at_least=choice.at_least,
            at_most=choice.at_most,
        )
        axes = self._artists.axes
        self._home = (axes.get_xlim(), axes.get_ylim())
        if zoom is not None:
            axes.set_xlim(zoom[0])
            axes.set_ylim(zoom[1])
        self.full_redraws += 1
        self.draw()

    def _zoom(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Limits that the user set and that must survive; None when the view is whole."""
        if self._artists is None or self._home is None:
            return None
        now = (self._artists.axes.get_xlim(), self._artists.axes.get_ylim())
        return None if now == self._home else now

    # What the user does

    def near(self, x: float, y: float) -> Key | None:
        """The point within a few pixels of a place on the canvas, origin bottom left."""
        if self._artists is None or not self._artists.points:
            return None
        places = self._artists.axes.transData.transform(
            [(across, up) for _, _, across, up in self._artists.points]
        )
        reach = HOVER_PX * self.device_pixel_ratio
        best, best_distance = None, reach * reach
        for (sweep, number, _, _), (px, py) in zip(self._artists.points, places, strict=True):
            distance = (px - x) ** 2 + (py - y) ** 2
            if distance <= best_distance:
                best, best_distance = (sweep, number), distance
        return best

    def _on_motion(self, event: MouseEvent) -> None:
        key = self.near(event.x, event.y)
        self.setCursor(Qt.CursorShape.PointingHandCursor if key else Qt.CursorShape.ArrowCursor)
        if key is None:
            QToolTip.hideText()
            return
        place = self._global(event) + QPoint(HOVER_PX * 2, HOVER_PX * 2)
        QToolTip.showText(place, self.tooltip(key), self)

    def _on_press(self, event: MouseEvent) -> None:
        self._is_held = True
        key = self.near(event.x, event.y)
        if key is None:
            return
        if event.button == MouseButton.RIGHT:
            self._is_held = False
            self.menu_asked.emit(key, self._global(event))
        elif event.dblclick:
            self.opened.emit(key)
        else:
            self.chosen.emit(key, event.key == "control")

    def _on_release(self, _event: MouseEvent) -> None:
        self._is_held = False
        self._on_timer()

    def _on_leave(self, _event: Any) -> None:
        QToolTip.hideText()

    def _global(self, event: MouseEvent) -> QPoint:
        ratio = self.device_pixel_ratio
        place = QPoint(int(event.x / ratio), int(self.height() - event.y / ratio))
        return QWidget.mapToGlobal(self, place)

    def tooltip(self, key: Key) -> str:
        """Everything about a point, as a small text."""
        from deltaworks_gui.plots.words import point_words

        sweep = next(one for one in self._sweeps if one.id == key[0])
        trial = next(one for one in sweep.trials if one.number == key[1])
        return point_words(sweep, trial)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows walk along the front."""
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        step = steps.get(Qt.Key(event.key()))
        front = self._front()
        if step is None or not front:
            QWidget.keyPressEvent(self, event)
            return
        at = (
            front.index(self._selected[0])
            if self._selected[:1] and self._selected[0] in front
            else -1
        )
        after = max(0, min(len(front) - 1, at + step)) if at >= 0 else 0
        self.chosen.emit(front[after], False)

    def _front(self) -> list[Key]:
        on_front = {
            (sweep.id, trial.number)
            for sweep in self._sweeps
            for trial in sweep.trials
            if trial.on_front
        }
        placed = [(x, (sweep, number)) for sweep, number, x, _ in self.points]
        return [key for _, key in sorted(placed) if key in on_front]

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while the page was away."""
        super().showEvent(event)
        self._on_timer()

    def hideEvent(self, event: QHideEvent) -> None:
        """Draw nothing unseen."""
        self._timer.stop()
        super().hideEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Margins are in pixels, so everything is laid out again."""
        super().resizeEvent(event)
        self.redraw()
