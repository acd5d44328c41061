"""The trade-off figure, live: points appear as trials end, can be pointed at and chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.artist import Artist
from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from PySide6.QtCore import QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QHideEvent, QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QToolTip, QWidget

from deltaworks.figures import DARK, LIGHT, TradeoffArtists, describe_tradeoff, draw_tradeoff
from deltaworks.figures.axis_choices import Point, points_of
from deltaworks.figures.look import Look
from deltaworks.figures.tradeoff_points import RING, draw_points, draw_ring, draw_whisker
from deltaworks.figures.tradeoff_styles import styles_of
from deltaworks.studies.trials import Sweep
from deltaworks_gui.plots.choice import PlotChoice
from deltaworks_gui.plots.places import Places
from deltaworks_gui.plots.words import point_words
from deltaworks_gui.theme import current_theme

REDRAW_MS = 500
"""Full redraws come no faster than this."""
HOVER_PX = 8
_CLICK_PX = 4
"""A press that moves less than this is a click, not a drag."""
_ZOOM = 0.8
"""A notch of the wheel shows this share of what was shown."""

Key = tuple[str, int]
Limits = tuple[tuple[float, float], tuple[float, float]]


class TradeoffCanvas(FigureCanvasQTAgg):
    """Shows sweeps; hovering tells, a click chooses, the wheel zooms, dragging moves.

    The figure is drawn in full at most twice a second. What must be seen at once, new
    points and the selection, is drawn over the saved picture of the last full one.

    Signals:
        chosen: (sweep id, trial number) or None for none, whether it joins the selection.
        opened: a double-clicked point's key.
        menu_asked: (key, global QPoint).
    """

    chosen = Signal(object, object)
    opened = Signal(object)
    menu_asked = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._artists: TradeoffArtists | None = None
        self._background: Any = None
        super().__init__(Figure())
        self.setParent(parent)
        self.setObjectName("TradeoffCanvas")
        self.setAccessibleName(self.tr("Size against quality"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 220)
        self._sweeps: tuple[Sweep, ...] = ()
        self._choice = PlotChoice()
        self._selected: tuple[Key, ...] = ()
        self._points: dict[Key, Point] = {}
        self._fresh: tuple[Point, ...] = ()
        self._places = Places()
        self._home: Limits | None = None
        self._is_due = True
        self._is_held = False
        self._pressed: tuple[float, float] | None = None
        self.full_redraws = 0
        self._timer = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._timer.timeout.connect(self._on_timer)
        current_theme().changed.connect(self.redraw)
        self.mpl_connect("motion_notify_event", self._on_motion)
        self.mpl_connect("button_press_event", self._on_press)
        self.mpl_connect("button_release_event", self._on_release)
        self.mpl_connect("scroll_event", self._on_scroll)
        self.mpl_connect("figure_leave_event", self._on_leave)

    @property
    def points(self) -> list[tuple[str, int, float, float]]:
        """Sweep id, trial number and place of every point that is drawn."""
        return [(*point.key, point.x, point.y) for point in self._points.values()]

    # What is shown

    def show_sweeps(self, sweeps: Sequence[Sweep], choice: PlotChoice) -> None:
        """Show these: new points at once, everything soon."""
        fresh = tuple(sweeps)
        if fresh == self._sweeps and choice == self._choice:
            return
        is_other = choice.axes != self._choice.axes
        if is_other or {one.id for one in self._sweeps} != {one.id for one in fresh}:
            self._home = None
        self._sweeps, self._choice = fresh, choice
        text = describe_tradeoff(fresh, x=choice.x, y=choice.y)
        self.setAccessibleDescription(text)
        if not is_other:
            self._show_fresh()
        self.redraw()

    def select(self, keys: Sequence[Key]) -> None:
        """Ring these points, at once."""
        if tuple(keys) != self._selected:
            self._selected = tuple(keys)
            self._draw_over()

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
        self.redraw()

    @Slot()
    def _on_timer(self) -> None:
        if not self._is_due or not self.isVisible() or self._is_held:
            return
        self._is_due = False
        self._draw_now()
        self._timer.start()

    def _draw_now(self) -> None:
        zoom, choice = self._zoom(), self._choice
        self._artists = draw_tradeoff(
            self.figure,
            self._sweeps,
            look=self._look(),
            x=choice.x,
            y=choice.y,
            log_x=choice.log_x,
            at_least=choice.at_least,
            at_most=choice.at_most,
        )
        places = {(sweep, number): (x, y) for sweep, number, x, y in self._artists.points}
        self._points = {
            point.key: _held(point, *places[point.key])
            for point in self._all_points()
            if point.key in places
        }
        self._fresh = ()
        axes = self._artists.axes
        self._home = (axes.get_xlim(), axes.get_ylim())
        if zoom is not None:
            self._set_limits(*zoom)
        self.full_redraws += 1
        self.draw()

    def draw(self) -> None:
        """Draw the figure, keep its picture, and put over it what changes faster."""
        super().draw()
        if self._artists is not None:
            self._background = self.copy_from_bbox(self.figure.bbox)
            self._draw_over()

    def _draw_over(self) -> None:
        """Draw new points and the rings of chosen ones over the saved picture."""
        if self._artists is None or self._background is None:
            return
        axes, look = self._artists.axes, self._look()
        self._places = Places(axes, list(self._points.values()))
        self.restore_region(self._background)
        before = {*axes.collections, *axes.lines}
        fresh = [point for point in self._fresh if self._places.of(point.key)]
        draw_points(axes, fresh, styles_of(self._sweeps, look), ())
        for key in self._selected:
            if self._places.of(key):
                draw_whisker(axes, self._points[key], look.text)
                draw_ring(axes, self._points[key], look.text, size=RING - 5)
        for artist in sorted({*axes.collections, *axes.lines} - before, key=_height):
            axes.draw_artist(artist)
            artist.remove()
        self.update()

    def _show_fresh(self) -> None:
        if self._artists is None or not self.isVisible():
            return
        known = set(self._points)
        fresh = tuple(point for point in self._all_points() if point.key not in known)
        if fresh:
            self._fresh = (*self._fresh, *fresh)
            self._points |= {point.key: point for point in fresh}
            self._draw_over()

    def _all_points(self) -> list[Point]:
        choice = self._choice
        return [point for sweep in self._sweeps for point in points_of(sweep, choice.x, choice.y)]

    @staticmethod
    def _look() -> Look:
        return DARK if current_theme().is_dark else LIGHT

    # Zoom

    def _zoom(self) -> Limits | None:
        """Limits that the user set and that must survive; None when the view is whole."""
        if self._artists is None or self._home is None:
            return None
        now = (self._artists.axes.get_xlim(), self._artists.axes.get_ylim())
        return None if now == self._home else now

    def _set_limits(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        """Show a part; marks beyond it may not lie over legend and titles."""
        assert self._artists is not None
        axes = self._artists.axes
        axes.set_xlim(across)
        axes.set_ylim(up)
        for artist in (*axes.collections, *axes.lines):
            artist.set_clip_on(True)

    def _on_scroll(self, event: MouseEvent) -> None:
        if self._artists is None or not self._points or event.inaxes is not self._artists.axes:
            return
        axes = self._artists.axes
        share = _ZOOM**event.step
        left, bottom, right, top = axes.bbox.extents
        corners = [
            (event.x + (x - event.x) * share, event.y + (y - event.y) * share)
            for x, y in ((left, bottom), (right, top))
        ]
        (x0, y0), (x1, y1) = axes.transData.inverted().transform(corners)
        self._set_limits((x0, x1), (y0, y1))
        self.draw_idle()

    # What the user does

    def near(self, x: float, y: float) -> Key | None:
        """The point within a few pixels of a place on the canvas, origin bottom left."""
        return self._places.near(x, y, HOVER_PX * self.device_pixel_ratio)

    def _on_motion(self, event: MouseEvent) -> None:
        if self._pressed is not None and self._artists is not None:
            QToolTip.hideText()
            self._artists.axes.drag_pan(MouseButton.LEFT, None, event.x, event.y)
            self._set_limits(self._artists.axes.get_xlim(), self._artists.axes.get_ylim())
            self.draw_idle()
            return
        key = self.near(event.x, event.y)
        self.setCursor(Qt.CursorShape.PointingHandCursor if key else Qt.CursorShape.ArrowCursor)
        text = self.tooltip(key) if key is not None else ""
        if key is None or not text:
            QToolTip.hideText()
            return
        # Qt puts it 16 px below this, or 8 px above when there is no room: never on the point.
        place = self.place_of(key) + QPoint(2 * HOVER_PX, 0)
        QToolTip.showText(self.mapToGlobal(place), text, self)

    def _on_press(self, event: MouseEvent) -> None:
        key = self.near(event.x, event.y)
        if event.button == MouseButton.RIGHT:
            if key is not None:
                self.menu_asked.emit(key, self._global(event))
        elif event.button == MouseButton.LEFT:
            if event.dblclick and key is not None:
                self.opened.emit(key)
            elif key is not None:
                self._is_held = True
                self.chosen.emit(key, _has_control(event))
            elif event.inaxes is not None and self._artists is not None:
                self._is_held = True
                self._pressed = (event.x, event.y)
                self._artists.axes.start_pan(event.x, event.y, MouseButton.LEFT)

    def _on_release(self, event: MouseEvent) -> None:
        pressed, self._pressed = self._pressed, None
        self._is_held = False
        if pressed is not None and self._artists is not None:
            self._artists.axes.end_pan()
            moved = max(abs(event.x - pressed[0]), abs(event.y - pressed[1]))
            if moved < _CLICK_PX * self.device_pixel_ratio:
                self.chosen.emit(None, False)
        if not self._timer.isActive():
            self._on_timer()

    def _on_leave(self, _event: Any) -> None:
        QToolTip.hideText()

    def _global(self, event: MouseEvent) -> QPoint:
        ratio = self.device_pixel_ratio
        place = QPoint(int(event.x / ratio), int(self.height() - event.y / ratio))
        return QWidget.mapToGlobal(self, place)

    def place_of(self, key: Key) -> QPoint:
        """Where a point is on this widget; its middle for one that is not drawn."""
        found = self._places.of(key)
        if found is None:
            return QPoint(self.width() // 2, self.height() // 2)
        ratio = self.device_pixel_ratio
        return QPoint(round(found[0] / ratio), round(self.height() - found[1] / ratio))

    def tooltip(self, key: Key) -> str:
        """Everything about a point, as a small text; empty for one that is gone."""
        sweep = next((one for one in self._sweeps if one.id == key[0]), None)
        point = self._points.get(key)
        return "" if sweep is None or point is None else point_words(sweep, point.trial)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows walk along the front; Enter and Menu open the menu."""
        front = self._front()
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right) and front:
            step = 1 if event.key() == Qt.Key.Key_Right else -1
            here = [key for key in self._selected if key in front]
            at = front.index(here[0]) if here else None
            after = 0 if at is None else max(0, min(len(front) - 1, at + step))
            self.chosen.emit(front[after], False)
        elif (
            event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Menu) and self._selected
        ):
            place = self.mapToGlobal(self.place_of(self._selected[0]))
            self.menu_asked.emit(self._selected[0], place)
        else:
            QWidget.keyPressEvent(self, event)

    def _front(self) -> list[Key]:
        on_front = [point for point in self._points.values() if point.trial.on_front]
        return [point.key for point in sorted(on_front, key=lambda point: point.x)]

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while the page was away."""
        super().showEvent(event)
        self._on_timer()

    def hideEvent(self, event: QHideEvent) -> None:
        """Draw nothing unseen; a press that was not released is over."""
        self._timer.stop()
        self._is_held = False
        self._pressed = None
        QToolTip.hideText()
        super().hideEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Margins are in pixels, so everything is laid out again."""
        super().resizeEvent(event)
        self.redraw()


def _held(point: Point, x: float, y: float) -> Point:
    """A point where it was drawn; one below the axes is held at their edge, without whisker."""
    if (point.x, point.y) == (x, y):
        return point
    return replace(point, x=x, y=y, low=None, high=None)


def _height(artist: Artist) -> float:
    return artist.get_zorder()


def _has_control(event: MouseEvent) -> bool:
    modifiers = event.guiEvent.modifiers() if event.guiEvent is not None else None
    return modifiers is not None and bool(modifiers & Qt.KeyboardModifier.ControlModifier)
