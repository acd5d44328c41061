"""The Families: who descends from whom, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QCoreApplication, QItemSelectionModel, QModelIndex, QPoint, Qt, Slot
from PySide6.QtGui import QAction, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.context import AppContext
from deltaworks_gui.models.families import COLUMNS, FOUND, NUMBERS, FamilyModel, relation_word
from deltaworks_gui.models.roles import ModelRole
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages.families_controller import FamiliesController
from deltaworks_gui.pages.families_graph import FamilyGraph, relation_pen
from deltaworks_gui.payloads import LibraryChoice, WorkbenchInputs
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import link_button, quiet_button, secondary_button
from deltaworks_gui.widgets.delegates import CellDelegate, NameDelegate, NumberDelegate
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.flow_box import FlowBox
from deltaworks_gui.widgets.tables import prepare_tree

_WIDTHS = {"relation": 140, "confidence": 90, "distance": 74, "size": 78, "quality": 72}
_LEFT, _RIGHT = 652, 268
_NAMES = 5
"""Least width of the names, in heights of a control."""
_LEAST = 12
"""Least width of the list, in heights of a control."""
_KEY = "families/split"


class FamilyTree(QTreeView):
    """The families as a list. Enter confirms, Del rejects."""

    def __init__(self, page: FamiliesPage) -> None:
        super().__init__(page)
        self._page = page
        prepare_tree(self, name="FamilyTree", accessible_name=page.tr("Families"))
        self.setSortingEnabled(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setExpandsOnDoubleClick(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The names take what the other columns leave, and never too little."""
        super().resizeEvent(event)
        header = self.header()
        others = sum(header.sectionSize(number) for number in range(1, header.count()))
        least = _NAMES * current_theme().metrics.control
        header.resizeSection(0, max(least, self.viewport().width() - others))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter and Del are for relations."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._page.controller.confirm()
        elif event.key() == Qt.Key.Key_Delete:
            self._page.controller.reject()
        else:
            super().keyPressEvent(event)


class FamiliesPage(Page):
    """Shows the controller's families; decides nothing."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "Families", self.tr("Families"))
        self.controller = FamiliesController(context, self)
        self.model = FamilyModel(self)
        self.tree = FamilyTree(self)
        self.graph = FamilyGraph()
        self._is_choosing = False
        self._build_header()
        self._build_states()
        self._stack = QStackedWidget()
        self._body = self._build_body()
        for widget in (self._loading, self._empty, self._body):
            self._stack.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)
        self._connect()
        self._show()

    # Building

    def _build_header(self) -> None:
        self._find = secondary_button(
            self.tr("Find relations"), icon="search", name="btn_find_relations"
        )
        self._compress = secondary_button(
            self.tr("Compress whole family…"), icon="delta", name="btn_compress_family"
        )
        self.header.add_action(self._find)
        self.header.add_action(self._compress)

    def _build_states(self) -> None:
        self._loading = EmptyState("Loading_Families", self.tr("Reading the library…"), busy=True)
        self._empty = EmptyState(
            "Empty_Families",
            self.tr("No family found yet"),
            self.tr("A family needs a base and a fine-tune of it."),
            primary=self.tr("Find relations"),
            icon="families",
        )

    def _build_body(self) -> QWidget:
        self.tree.setModel(self.model)
        for number, column in enumerate(COLUMNS):
            self.tree.setItemDelegateForColumn(number, self._delegate(column))
            if column in _WIDTHS:
                scale = current_theme().metrics.row / 34
                self.tree.setColumnWidth(number, int(_WIDTHS[column] * scale))
        header = self.tree.header()
        header.setStretchLastSection(False)
        left = QWidget()
        left.setMinimumWidth(_LEAST * current_theme().metrics.control)
        set_look(left, surface="panel")
        column_box = QVBoxLayout(left)
        column_box.setContentsMargins(0, 0, 0, 0)
        column_box.setSpacing(0)
        column_box.addWidget(self._build_strip())
        column_box.addWidget(self.tree, 1)
        column_box.addWidget(self._build_foot())
        right = QWidget()
        right_box = QVBoxLayout(right)
        right_box.setContentsMargins(0, 0, 0, 0)
        right_box.setSpacing(0)
        right_box.addWidget(self.graph, 1)
        right_box.addWidget(_Legend())
        split = QSplitter(Qt.Orientation.Horizontal)
        split.setObjectName("FamilySplit")
        split.setChildrenCollapsible(False)
        split.addWidget(left)
        split.addWidget(right)
        split.setSizes([_LEFT, _RIGHT])
        split.setStretchFactor(0, 1)
        split.setStretchFactor(1, 1)
        self._split = split
        state = self.context.settings.blob(_KEY)
        if not self.context.is_safe and not state.isEmpty():
            split.restoreState(state)
        return split

    def _delegate(self, column: str) -> CellDelegate:
        if column == "model":
            return NameDelegate(self.tree)
        return NumberDelegate(self.tree) if column in NUMBERS else CellDelegate(self.tree)

    def _build_strip(self) -> QWidget:
        self._strip, self._strip_text = QWidget(), QLabel()
        set_look(self._strip, surface="info")
        self._stop = link_button(self.tr("Stop"), name="btn_stop_relations")
        row = QHBoxLayout(self._strip)
        row.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_S)
        row.addWidget(self._strip_text, 1)
        row.addWidget(self._stop)
        return self._strip

    def _build_foot(self) -> QWidget:
        foot = QWidget()
        set_look(foot, surface="footer")
        self._confirm = quiet_button(self.tr("Confirm"), icon="check", name="btn_confirm")
        self._reject = quiet_button(self.tr("Reject"), icon="cross", name="btn_reject")
        self._set_base = quiet_button(self.tr("Set base…"), icon="base", name="btn_set_base")
        self._counts = QLabel()
        self._counts.setObjectName("FamilyCounts")
        set_look(self._counts, role="secondary")
        row = QHBoxLayout(foot)
        row.setContentsMargins(SPACE_L, SPACE_S, SPACE_M, SPACE_S)
        row.setSpacing(SPACE_S)
        row.addWidget(self._counts, 1)
        for button in (self._confirm, self._reject, self._set_base):
            row.addWidget(button)
        return foot

    def _connect(self) -> None:
        controller = self.controller
        controller.changed.connect(self._show)
        self.tree.selectionModel().selectionChanged.connect(self._on_tree)
        self.tree.customContextMenuRequested.connect(self._on_menu)
        self.tree.doubleClicked.connect(self._on_opened)
        self.graph.chosen.connect(self._on_graph)
        self._find.clicked.connect(controller.find)
        self._empty.primary_clicked.connect(controller.find)
        self._stop.clicked.connect(controller.stop)
        self._confirm.clicked.connect(controller.confirm)
        self._reject.clicked.connect(controller.reject)
        self._set_base.clicked.connect(self._on_set_base)
        self._compress.clicked.connect(self._on_compress)

    # Showing

    @Slot()
    def _show(self) -> None:
        state = self.controller.state
        body = self._loading if state.is_loading else self._body if state.branches else self._empty
        self._stack.setCurrentWidget(body)
        self._strip.setVisible(bool(state.busy))
        self._strip_text.setText(state.busy)
        self._find.setEnabled(not state.busy)
        if state.branches != getattr(self, "_shown", None):
            self._shown = state.branches
            self.model.show_branches(state.branches)
            self.tree.expandAll()
            self.graph.show_branches(state.branches)
        self._choose(state.selected)
        self._show_buttons()
        if self.isVisible():
            self.context.navigator.want_inspector(self.wants_inspector)

    def _show_buttons(self) -> None:
        controller = self.controller
        some = bool(controller.state.selected)
        first = self.tr("Select a model first.")
        proposal = self.tr("Nothing selected was found from weights and waits for an answer.")
        _say(self._confirm, "" if controller.proposals else proposal if some else first)
        none = self.tr("Nothing selected stands under another model.")
        _say(self._reject, "" if controller.related else none if some else first)
        _say(self._set_base, "" if some else first)
        base, experts = controller.family()
        which = self.tr("Select a model of one family first.")
        empty = self.tr("This family has no expert to compress.")
        _say(self._compress, which if base is None else "" if experts else empty)
        branches = controller.state.branches
        self._counts.setText(_count(len(branches)))

    def _choose(self, ids: tuple[int, ...]) -> None:
        """Mark the selected models in the list and in the picture."""
        wanted = set(ids)
        flags = QItemSelectionModel.SelectionFlag
        self._is_choosing = True
        selection = self.tree.selectionModel()
        here = {index.data(ModelRole.ID) for index in selection.selectedRows()}
        if here != wanted:
            selection.clearSelection()
            for index in self.model.indexes():
                if index.data(ModelRole.ID) in wanted:
                    selection.select(index, flags.Select | flags.Rows)
        self._is_choosing = False
        self.graph.choose(ids)

    # The window's questions

    @property
    def wants_inspector(self) -> bool:
        """Not beside the empty page."""
        return self._stack.currentWidget() is self._body

    def handlers(self) -> Mapping[str, Handler]:
        """What can be done to the selected models."""
        usable = self.controller.why_not_usable
        return {
            "act_compress": Handler(lambda: self._to_workbench("compress"), usable),
            "act_merge": Handler(lambda: self._to_workbench("merge"), usable),
            "act_repair": Handler(lambda: self._to_workbench("repair"), usable),
            "act_refresh": Handler(self.controller.find),
        }

    def _to_workbench(self, operation: str) -> None:
        inputs = self.controller.inputs(operation)
        self.context.navigator.show_page("Workbench", inputs)

    def activate(self, payload: object = None) -> None:
        """Read what changed; select what another page points at."""
        self.controller.show_in_front(True)
        if isinstance(payload, LibraryChoice):
            rows = self.controller.rows
            self.controller.select([row.id for row in rows if row.path in payload.paths])

    def deactivate(self) -> None:
        """The Inspector is about something else."""
        self.controller.show_in_front(False)

    def focus_body(self) -> None:
        """Put the keyboard on the list, or on the button to press."""
        body = self._stack.currentWidget()
        (body.primary if isinstance(body, EmptyState) else self.tree).setFocus()

    def escape(self) -> bool:
        """Clear the selection."""
        if self.controller.state.selected:
            self.controller.select(())
            return True
        return False

    def save_state(self) -> None:
        """Remember how the page is divided."""
        self.context.settings.set(_KEY, self._split.saveState())

    # What was clicked

    @Slot()
    def _on_tree(self) -> None:
        if not self._is_choosing:
            rows = self.tree.selectionModel().selectedRows()
            self.controller.select([index.data(ModelRole.ID) for index in rows])

    @Slot(object)
    def _on_graph(self, ids: object) -> None:
        if isinstance(ids, list):
            self.controller.select(ids)

    @Slot(QModelIndex)
    def _on_opened(self, index: QModelIndex) -> None:
        branch = self.model.branch_at(index)
        if branch is not None:
            self.context.navigator.show_page("Library", LibraryChoice((branch.row.path,)))

    @Slot(QPoint)
    def _on_menu(self, place: QPoint) -> None:
        if not self.controller.state.selected:
            return
        menu = QMenu(self.tree)
        menu.setObjectName("FamilyMenu")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for button in (self._confirm, self._reject, self._set_base, self._compress):
            action = QAction(button.text(), menu)
            action.setEnabled(button.isEnabled())
            action.triggered.connect(button.click)
            menu.addAction(action)
        menu.popup(self.tree.viewport().mapToGlobal(place))

    @Slot()
    def _on_set_base(self) -> None:
        from deltaworks_gui.dialogs.choose_model import ChooseModelDialog

        selected = set(self.controller.state.selected)
        rows = [row for row in self.controller.rows if row.id not in selected]
        dialog = ChooseModelDialog(
            self.tr("Set base"), rows, self.window(), self.context.settings, first="Base"
        )
        dialog.chosen.connect(self._on_base)
        dialog.open()

    @Slot(object)
    def _on_base(self, rows: object) -> None:
        if isinstance(rows, list) and rows:
            self.controller.set_base(rows[0])

    @Slot()
    def _on_compress(self) -> None:
        base, experts = self.controller.family()
        inputs = WorkbenchInputs(base, tuple(experts), "compress")
        self.context.navigator.show_page("Workbench", inputs)


def _count(families: int) -> str:
    if families == 1:
        return QCoreApplication.translate("FamiliesPage", "1 family")
    return QCoreApplication.translate("FamiliesPage", "{0} families").format(families)


def _say(button: QPushButton, why_not: str) -> None:
    """Enable a button, or say why it is not."""
    button.setEnabled(not why_not)
    button.setToolTip(why_not)


class _Line(QWidget):
    """A sample of the line that stands for a relation."""

    def __init__(self, relation: str) -> None:
        super().__init__()
        self._relation = relation
        metrics = current_theme().metrics
        self.setFixedSize(metrics.control, metrics.badge)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """One line across the middle."""
        painter = QPainter(self)
        painter.setPen(relation_pen(self._relation, current_theme().color("line-strong")))
        middle = self.height() // 2
        painter.drawLine(2, middle, self.width() - 2, middle)


class _Legend(QWidget):
    """What the lines of the picture mean."""

    def __init__(self) -> None:
        super().__init__()
        set_look(self, surface="footer")
        box = FlowBox(gap=SPACE_L)
        for relation in ("made here", "declared", FOUND):
            box.add(_sample(relation))
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_S)
        column.addWidget(box)


def _sample(relation: str) -> QWidget:
    """A line and its word."""
    pair, text = QWidget(), QLabel(relation_word(relation))
    set_look(text, role="secondary")
    row = QHBoxLayout(pair)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE_S)
    row.addWidget(_Line(relation))
    row.addWidget(text)
    return pair
