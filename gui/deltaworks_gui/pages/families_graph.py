"""Families drawn as trees: a picture beside the list, from which everything can be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from PySide6.QtCore import QCoreApplication, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QPainter,
    QPainterPath,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QGraphicsItem,
    QGraphicsPathItem,
    QGraphicsScene,
    QGraphicsView,
    QStyleOptionGraphicsItem,
    QWidget,
)

from deltaworks.library.pedigree import Branch
from deltaworks_gui.formats import format_size
from deltaworks_gui.models.families import FOUND, relation_word
from deltaworks_gui.theme import (
    FOCUS_GAP,
    FOCUS_WIDTH,
    SPACE_M,
    SPACE_S,
    current_theme,
    set_look,
)
from deltaworks_gui.widgets.state_cell import ROLE_ICONS

_LEAST, _MOST = 0.4, 0.72
"""Radius of the smallest and the largest model, in heights of a control."""
_COLUMN, _ROW, _WORDS = 2.2, 1.75, 4.0
"""Distances between generations and models, and room for a name, in heights of a control."""
_GAP = 0.6
"""Between families, in rows."""
_FAINT = 0.55
"""How much of a link is seen."""
_ZOOM = 1.15
_DASHES = {"declared": [7.0, 4.0], FOUND: [1.0, 3.0]}


def _tr(text: str) -> str:
    return QCoreApplication.translate("FamilyGraph", text)


def relation_pen(relation: str, color: QColor) -> QPen:
    """Solid for what was made here, long dashes for what is declared, dots for what was found."""
    pen = QPen(color, 1.6)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    if dashes := _DASHES.get(relation):
        pen.setDashPattern(dashes)
    return pen


class _Node(QGraphicsItem):
    """One model: a disc as large as it is on disk, its icon, its name and size beside it."""

    def __init__(self, branch: Branch, radius: float, room: float) -> None:
        super().__init__()
        self.branch = branch
        self.radius = radius
        self._room = room
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemIsSelectable)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        kin = branch.kin
        lines = [branch.row.name, branch.row.path]
        if kin is not None:
            lines.append(relation_word(kin.relation))
        self.setToolTip("\n".join(lines))

    def boundingRect(self) -> QRectF:  # noqa: N802 - Qt's name
        edge = self.radius + FOCUS_GAP + FOCUS_WIDTH
        return QRectF(-edge, -edge, 2 * edge + SPACE_S + self._room, 2 * edge)

    def paint(
        self, painter: QPainter, _option: QStyleOptionGraphicsItem, _widget: QWidget | None = None
    ) -> None:
        theme = current_theme()
        radius = self.radius
        disc = QRectF(-radius, -radius, 2 * radius, 2 * radius)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.color("line-strong"), 1))
        painter.setBrush(theme.color("soft" if self.branch.kin is None else "raised"))
        painter.drawEllipse(disc)
        if self.isSelected():
            grown = disc.adjusted(-FOCUS_GAP, -FOCUS_GAP, FOCUS_GAP, FOCUS_GAP)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent"), FOCUS_WIDTH))
            painter.drawEllipse(grown)
        side = theme.metrics.icon_small
        icon = ROLE_ICONS.get(self.branch.row.role.casefold(), "unknown")
        ratio = painter.device().devicePixelRatioF()
        painter.drawPixmap(QPointF(-side / 2, -side / 2), theme.pixmap(icon, "text", side, ratio))
        self._paint_words(painter)

    def _paint_words(self, painter: QPainter) -> None:
        theme = current_theme()
        left = self.radius + FOCUS_GAP + FOCUS_WIDTH + SPACE_S
        name_font = theme.font("strong" if self.branch.kin is None else "base")
        words = QFontMetricsF(name_font).elidedText(
            self.branch.row.name, Qt.TextElideMode.ElideRight, self._room
        )
        small = theme.font("secondary")
        height, below = QFontMetricsF(name_font).height(), QFontMetricsF(small).height()
        top = -(height + below) / 2
        painter.setFont(name_font)
        painter.setPen(theme.color("text"))
        flags = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        painter.drawText(QRectF(left, top, self._room, height), flags, words)
        painter.setFont(small)
        painter.setPen(theme.color("text-2"))
        size = format_size(self.branch.row.size_bytes)
        painter.drawText(QRectF(left, top + height, self._room, below), flags, size)


class FamilyGraph(QGraphicsView):
    """Draws branches from left to right; the list beside it shares its selection.

    Signals:
        chosen: ids of the selected models.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("FamilyGraph")
        self.setAccessibleName(_tr("Families as a picture"))
        self.setAccessibleDescription(_tr("The list beside it says the same."))
        self.setScene(QGraphicsScene(self))
        self.setDragMode(QGraphicsView.DragMode.ScrollHandDrag)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.setFrameShape(QGraphicsView.Shape.NoFrame)
        set_look(self, surface="page")
        self._branches: tuple[Branch, ...] = ()
        self._nodes: list[_Node] = []
        self._is_choosing = False
        self.scene().selectionChanged.connect(self._on_selection)
        current_theme().changed.connect(self._draw)

    def show_branches(self, branches: Sequence[Branch]) -> None:
        """Draw other families."""
        if tuple(branches) != self._branches:
            self._branches = tuple(branches)
            self._draw()

    def choose(self, ids: Sequence[int]) -> None:
        """Mark these models, here only."""
        wanted = set(ids)
        self._is_choosing = True
        for node in self._nodes:
            node.setSelected(node.branch.row.id in wanted)
        self._is_choosing = False
        first = next((node for node in self._nodes if node.isSelected()), None)
        if first is not None:
            self.ensureVisible(first)
            self.horizontalScrollBar().setValue(self.horizontalScrollBar().minimum())

    @property
    def n_nodes(self) -> int:
        """How many models are drawn, links counted."""
        return len(self._nodes)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """With Ctrl the wheel zooms."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            factor = _ZOOM if event.angleDelta().y() > 0 else 1 / _ZOOM
            if 0.3 < self.transform().m11() * factor < 3.0:
                self.scale(factor, factor)
            return
        super().wheelEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The families stand at the left, with air around them."""
        super().resizeEvent(event)
        self._fit_scene()

    def _draw(self) -> None:
        scene = self.scene()
        scene.blockSignals(True)
        scene.clear()
        unit = float(current_theme().metrics.control)
        places = arrange(self._branches)
        largest = max((place.branch.row.size_bytes for place in places), default=0) or 1
        self._nodes = [self._node(place, unit, largest) for place in places]
        for place, node in zip(places, self._nodes, strict=True):
            if place.parent >= 0:
                scene.addItem(_edge(self._nodes[place.parent], node))
        for node in self._nodes:
            scene.addItem(node)
        scene.blockSignals(False)
        self.setBackgroundBrush(current_theme().color("bg"))
        self._fit_scene()

    def _node(self, place: Place, unit: float, largest: int) -> _Node:
        share = sqrt(max(0, place.branch.row.size_bytes) / largest)
        node = _Node(place.branch, unit * (_LEAST + (_MOST - _LEAST) * share), _WORDS * unit)
        node.setPos(_COLUMN * unit * place.depth, _ROW * unit * place.row)
        if place.branch.is_link:
            node.setOpacity(_FAINT)
        return node

    def _on_selection(self) -> None:
        if not self._is_choosing:
            items = self.scene().selectedItems()
            self.chosen.emit([item.branch.row.id for item in items if isinstance(item, _Node)])

    def _fit_scene(self) -> None:
        edge = current_theme().metrics.control
        self.setSceneRect(self.scene().itemsBoundingRect().adjusted(-edge, -edge, edge, edge))


def _edge(parent: _Node, child: _Node) -> QGraphicsPathItem:
    """A line from a model to what descends from it."""
    start, end = parent.pos() + QPointF(0, parent.radius), child.pos() - QPointF(child.radius, 0)
    path = QPainterPath(start)
    path.lineTo(start.x(), end.y() - SPACE_M)
    path.quadTo(QPointF(start.x(), end.y()), QPointF(start.x() + SPACE_M, end.y()))
    path.lineTo(end)
    item = QGraphicsPathItem(path)
    kin = child.branch.kin
    relation = kin.relation if kin is not None else ""
    item.setPen(relation_pen(relation, current_theme().color("line-strong")))
    return item


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is drawn, in rows and columns.

    Args:
        branch: the model.
        depth: generations above it.
        row: from the top.
        parent: number of the place that it stands under; -1 for none.
    """

    branch: Branch
    depth: int
    row: float
    parent: int


def arrange(branches: Sequence[Branch]) -> list[Place]:
    """Lay families out below each other, a model a row, each under its parent."""
    places: list[Place] = []
    row = 0.0

    def place(branch: Branch, depth: int, parent: int) -> None:
        nonlocal row
        number = len(places)
        places.append(Place(branch, depth, row, parent))
        row += 1
        for child in branch.children:
            place(child, depth + 1, number)

    for branch in branches:
        place(branch, 0, -1)
        row += _GAP
    return places
