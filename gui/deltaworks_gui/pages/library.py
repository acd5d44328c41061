"""The Library: what models are here, how big, in what state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QItemSelectionModel, QPoint, Qt, QUrl, Slot
from PySide6.QtGui import QAction, QDesktopServices, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QStackedWidget,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from deltaworks.library.rows import ModelRow
from deltaworks.recipes.documents import dump_recipe
from deltaworks.recipes.schema import ModelRef, RebuildRecipe
from deltaworks_gui.context import AppContext
from deltaworks_gui.dialogs.rebuild import RebuildDialog
from deltaworks_gui.formats import format_size
from deltaworks_gui.models.library_entry import COLUMNS, NUMBERS
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages.library_controller import LibraryController, LibraryState
from deltaworks_gui.payloads import (
    LibraryChoice,
    WorkbenchDemo,
    WorkbenchInputs,
)
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import link_button, quiet_button, secondary_button
from deltaworks_gui.widgets.delegates import (
    CellDelegate,
    NameDelegate,
    NumberDelegate,
    StateDelegate,
)
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.tables import prepare_tree

HIDDEN = ("safety", "used", "location", "arch", "licence", "source", "hash", "tags")
"""Columns that are not shown until asked for."""
WIDTHS = {
    "name": 230,
    "role": 78,
    "family": 118,
    "params": 92,
    "dtype": 74,
    "size": 82,
    "saved": 82,
    "quality": 78,
    "state": 126,
    "modified": 108,
}
"""At a text size of 100 %."""
_KEY = "library/header"
_ROW = 34
"""Height of a row at a text size of 100 %; widths grow with it."""


class LibraryView(QTreeView):
    """The table: its first column takes what the others leave, and never too little."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the names."""
        super().resizeEvent(event)
        self.fit_names()

    def fit_names(self) -> None:
        """Widen the first column; the rest scrolls when there is no room."""
        header = self.header()
        others = sum(header.sectionSize(number) for number in range(1, header.count()))
        least = int(WIDTHS["name"] * current_theme().metrics.row / _ROW)
        header.resizeSection(0, max(least, self.viewport().width() - others))


class LibraryPage(Page):
    """Shows the controller's rows; decides nothing."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "Library", self.tr("Library"))
        self.controller = LibraryController(context, self)
        self.search = SearchField(
            self.tr("Search name, family, tag, path"), object_name="LibrarySearch"
        )
        self.view = LibraryView()
        self._counts = QLabel()
        self._build_header()
        self._build_view()
        self._strip, self._strip_text, self._stop = self._build_strip()
        self._stack = QStackedWidget()
        self._table = self._build_table()
        self._welcome = self._build_welcome()
        self._no_match = EmptyState("Empty_LibraryMatch", "", icon="search")
        self._no_match.set_buttons(self.tr("Clear filters"))
        self._loading = EmptyState("Loading_Library", self.tr("Reading the library…"), busy=True)
        self._fault = EmptyState("Error_Library", "", icon="warning")
        self._fault.set_buttons(self.tr("Retry"), self.tr("Remove folder"))
        for widget in (self._loading, self._welcome, self._table, self._no_match, self._fault):
            self._stack.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._stack)
        self._connect()
        self._show()
        self.controller.start()

    # Building

    def _build_header(self) -> None:
        self.search.setMinimumWidth(current_theme().metrics.control * 9)
        self.header.add_lead(self.search)
        self._columns = quiet_button(self.tr("Columns"), icon="columns", name="btn_columns")
        self._add = secondary_button(self.tr("Add folder…"), icon="plus", name="btn_add_folder")
        self.header.add_action(self._columns)
        self.header.add_action(self._add)

    def _build_view(self) -> None:
        view, controller = self.view, self.controller
        view.setModel(controller.filter)
        prepare_tree(view, name="LibraryView", accessible_name=self.tr("Models"))
        view.setDragEnabled(True)
        view.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.setExpandsOnDoubleClick(False)
        header = view.header()
        header.setStretchLastSection(False)
        for number, column in enumerate(COLUMNS):
            view.setItemDelegateForColumn(number, self._delegate(column))
            view.setColumnHidden(number, column in HIDDEN)
        self._fit_columns()
        if not self.context.is_safe and not (state := self.context.settings.blob(_KEY)).isEmpty():
            header.restoreState(state)
        view.sortByColumn(0, Qt.SortOrder.AscendingOrder)

    def _delegate(self, column: str) -> CellDelegate:
        if column == "name":
            return NameDelegate(self.view)
        if column == "state":
            return StateDelegate(self.view)
        return NumberDelegate(self.view) if column in NUMBERS else CellDelegate(self.view)

    def _build_strip(self) -> tuple[QWidget, QLabel, QWidget]:
        strip, text = QWidget(), QLabel()
        strip.setObjectName("LibraryStrip")
        set_look(strip, surface="info")
        stop = link_button(self.tr("Stop"), name="btn_stop_scan")
        row = QHBoxLayout(strip)
        row.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_S)
        row.addWidget(text, 1)
        row.addWidget(stop)
        stop.clicked.connect(self.controller.stop_scan)
        return strip, text, stop

    def _build_table(self) -> QWidget:
        table = QWidget()
        set_look(table, surface="panel")
        foot = QWidget()
        set_look(foot, surface="footer")
        row = QHBoxLayout(foot)
        row.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_S)
        row.setSpacing(SPACE_M)
        self._hint = QLabel()
        set_look(self._counts, role="secondary")
        set_look(self._hint, role="caption", tone="warn")
        row.addWidget(self._counts)
        row.addStretch(1)
        row.addWidget(self._hint)
        column = QVBoxLayout(table)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._strip)
        column.addWidget(self.view, 1)
        column.addWidget(foot)
        return table

    def _build_welcome(self) -> EmptyState:
        welcome = EmptyState(
            "Empty_Library",
            self.tr("Welcome"),
            self.tr("See what your models weigh, and make the fine-tunes small."),
            primary=self.tr("Try the demo"),
            secondary=self.tr("Add folder…"),
            secondary_icon="plus",
            illustration="welcome",
            hint=self.tr("or drop a folder of models anywhere in this window"),
        )
        welcome.primary.setObjectName("btn_demo")
        welcome.secondary.setObjectName("btn_add_folder")
        return welcome

    def _connect(self) -> None:
        controller = self.controller
        controller.changed.connect(self._show)
        controller.demo_ready.connect(self._on_demo_ready)
        self.search.textChanged.connect(controller.search)
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        self.view.customContextMenuRequested.connect(self._on_menu)
        self.view.doubleClicked.connect(self._on_double_click)
        self._columns.clicked.connect(self._on_columns)
        self._add.clicked.connect(self.add_folder)
        self._welcome.primary_clicked.connect(controller.try_demo)
        self._welcome.secondary_clicked.connect(self.add_folder)
        self._no_match.primary_clicked.connect(self.search.clear)
        self._fault.primary_clicked.connect(controller.rescan)
        self._fault.secondary_clicked.connect(self._on_remove_root)
        current_theme().changed.connect(self._fit_columns)
        controller.model.renamed.connect(controller.rename)

    # Showing

    @Slot()
    def _show(self) -> None:
        state = self.controller.state
        self._stack.setCurrentWidget(self._body(state))
        self._strip.setVisible(bool(state.scanning))
        self._strip_text.setText(state.scanning)
        self._hint.setText(state.hint)
        self._counts.setText(self._count_text(state))
        self._welcome.primary.setEnabled(not state.scanning)
        self.context.navigator.want_inspector(self.wants_inspector)

    def _body(self, state: LibraryState) -> QWidget:
        if state.is_loading:
            return self._loading
        if not state.total:
            if state.fault:
                title = self.tr("Cannot read {0}").format(state.faulty_root)
                self._fault.set_texts(title, state.fault)
                return self._fault
            return self._welcome
        if not state.shown and state.query.strip():
            title = self.tr("Nothing matches “{0}”").format(state.query)
            hidden = self.tr("{0} models are hidden by filters.").format(state.total)
            self._no_match.set_texts(title, hidden)
            return self._no_match
        return self._table

    def _count_text(self, state: LibraryState) -> str:
        parts = [
            self.tr("{0} of {1} models").format(state.shown, state.total),
            self.tr("{0} on disk").format(format_size(state.sizes.on_disk)),
        ]
        if state.sizes.shared:
            parts.append(self.tr("{0} shared").format(format_size(state.sizes.shared)))
        if state.selected:
            size = sum(row.size_bytes for row in self.controller.selected)
            parts.append(
                self.tr("selected {0}, {1}").format(len(state.selected), format_size(size))
            )
        return " · ".join(parts)

    @Slot()
    def _fit_columns(self) -> None:
        scale = current_theme().metrics.row / _ROW
        for name, width in WIDTHS.items():
            self.view.setColumnWidth(COLUMNS.index(name), int(width * scale))
        self.view.fit_names()

    # The window's questions

    @property
    def wants_inspector(self) -> bool:
        """Not beside the welcome."""
        return self._stack.currentWidget() is self._table

    def handlers(self) -> Mapping[str, Handler]:
        """What can be done to the selected models."""
        usable = self.controller.why_not_usable
        return {
            "act_use_base": Handler(self._use_base, self._why_not_one_usable),
            "act_use_expert": Handler(self._use_expert, usable),
            "act_compress": Handler(lambda: self._to_workbench("compress"), usable),
            "act_merge": Handler(lambda: self._to_workbench("merge"), usable),
            "act_restore": Handler(self._rebuild, self._why_no_rebuild),
            "act_verify": Handler(self.controller.verify, self._why_none),
            "act_show_folder": Handler(self._show_folder, self._why_none),
            "act_rename": Handler(self._rename, self._why_not_one),
            "act_remove": Handler(self.controller.forget, self._why_none),
            "act_refresh": Handler(self.controller.rescan),
        }

    def action_widget(self) -> QWidget:
        """Where single-letter keys work."""
        return self.view

    def activate(self, payload: object = None) -> None:
        """Select what another page points at, or begin the demo."""
        if isinstance(payload, LibraryChoice):
            self._choose(payload.paths)
        elif payload == "demo":
            self.controller.try_demo()

    def focus_search(self) -> bool:
        """Put the keyboard in the search field."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()
        return True

    def focus_body(self) -> None:
        """Put the keyboard on the table, or on the button to press."""
        on_table = self._stack.currentWidget() is self._table
        (self.view if on_table else self._welcome.primary).setFocus()

    def escape(self) -> bool:
        """Clear the search, else the selection."""
        if self.search.text():
            self.search.clear()
            return True
        if self.controller.state.selected:
            self.view.clearSelection()
            return True
        return False

    def save_state(self) -> None:
        """Remember the columns."""
        self.context.settings.set(_KEY, self.view.header().saveState())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """``/`` goes to the search field."""
        if event.text() == "/":
            self.focus_search()
            return
        super().keyPressEvent(event)

    # What was clicked

    @Slot()
    def add_folder(self) -> None:
        """Ask for a folder and watch it."""
        chosen = QFileDialog.getExistingDirectory(self, self.tr("Add folder"), str(Path.home()))
        if chosen:
            self.controller.add_paths([chosen])

    @Slot()
    def _on_selection(self) -> None:
        self.controller.select(
            self.controller.filter.ids(self.view.selectionModel().selectedRows())
        )

    @Slot(QPoint)
    def _on_menu(self, place: QPoint) -> None:
        menu = QMenu(self.view)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        names = [name for name in self.handlers() if name != "act_refresh"]
        actions = {one.objectName(): one for one in self.window().findChildren(QAction)}
        for name in names:
            if name in {"act_compress", "act_restore", "act_rename"}:
                menu.addSeparator()
            if name in actions:
                menu.addAction(actions[name])
        roles = menu.addMenu(self.tr("Set role"))
        roles.setEnabled(bool(self.controller.state.selected))
        for role in ("Base", "Expert", "Merge", "Repaired"):
            roles.addAction(role).triggered.connect(self._on_role)
        roles.addSeparator()
        roles.addAction(self.tr("As found")).triggered.connect(self._on_role)
        menu.popup(self.view.viewport().mapToGlobal(place))

    @Slot()
    def _on_role(self) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            text = action.text()
            self.controller.set_role("" if text == self.tr("As found") else text)

    @Slot()
    def _on_columns(self) -> None:
        menu = QMenu(self._columns)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for number in range(1, len(COLUMNS)):
            title = self.controller.model.headerData(number, Qt.Orientation.Horizontal)
            action = menu.addAction(str(title))
            action.setCheckable(True)
            action.setChecked(not self.view.isColumnHidden(number))
            action.setData(number)
            action.toggled.connect(self._on_column)
        menu.popup(self._columns.mapToGlobal(self._columns.rect().bottomLeft()))

    @Slot(bool)
    def _on_column(self, shown: bool) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.view.setColumnHidden(int(action.data()), not shown)
            self.view.fit_names()

    @Slot()
    def _on_double_click(self) -> None:
        self.context.navigator.want_inspector(True)

    @Slot()
    def _on_remove_root(self) -> None:
        self.controller.remove_root(self.controller.state.faulty_root)

    @Slot(object)
    def _on_demo_ready(self, demo: object) -> None:
        self.context.navigator.show_page("Workbench", WorkbenchDemo(demo))  # type: ignore[arg-type]  # signals carry objects

    def _to_workbench(self, operation: str) -> None:
        base, experts = self.controller.inputs()
        inputs = WorkbenchInputs(base, tuple(experts), operation)
        self.context.navigator.show_page("Workbench", inputs)

    def _use_base(self) -> None:
        row = self.controller.selected[0]
        self._hand_over(WorkbenchInputs(base=row, adds=True), row.name)

    def _use_expert(self) -> None:
        rows = tuple(self.controller.selected)
        self._hand_over(WorkbenchInputs(experts=rows, adds=True), ", ".join(r.name for r in rows))

    def _hand_over(self, inputs: WorkbenchInputs, names: str) -> None:
        self.context.navigator.show_page("Workbench", inputs)
        self.context.navigator.status(self.tr("In the Workbench: {0}").format(names))

    def _rename(self) -> None:
        self.view.edit(self.view.currentIndex().siblingAtColumn(0))

    def _show_folder(self) -> None:
        path = Path(self.controller.selected[0].path)
        folder = path if path.is_dir() else path.parent
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _rebuild(self) -> None:
        row = self.controller.selected[0]
        name = row.name.replace("/", "-").replace(" · ", "-").replace(" ", "-")
        folder = self.context.home.store / "rebuilt" / name
        dialog = RebuildDialog(row, folder, self.window(), self.context.settings)
        dialog.accepted_at.connect(self._on_rebuild)
        dialog.open()

    @Slot(object)
    def _on_rebuild(self, folder: str) -> None:
        row = self.controller.selected[0]
        base = self.controller.model.row_by_id(row.family_id or 0)
        recipe = RebuildRecipe(
            delta=ModelRef(path=row.path, name=row.name),
            base=ModelRef(path=base.path, name=base.name) if base is not None else None,
            output=folder,
        )
        self.context.queue.submit(self.tr("Rebuild {0}").format(row.name), dump_recipe(recipe))

    def _choose(self, paths: tuple[str, ...]) -> None:
        model, view = self.controller.filter, self.view
        self.search.clear()
        view.clearSelection()
        rows = [row for row in self.controller.model.rows if row.path in paths]
        command = QItemSelectionModel.SelectionFlag
        for row in rows:
            index = model.mapFromSource(self.controller.model.index_of(row.id))
            view.selectionModel().select(index, command.Select | command.Rows)
            view.scrollTo(index)

    # Why something cannot be done

    def _why_none(self) -> str:
        return "" if self.controller.selected else self.tr("Select a model first.")

    def _why_not_one(self) -> str:
        alone = len(self.controller.selected) == 1
        return "" if alone else self.tr("Select one model.")

    def _why_not_one_usable(self) -> str:
        return self._why_not_one() or self.controller.why_not_usable()

    def _why_no_rebuild(self) -> str:
        rows: list[ModelRow] = self.controller.selected
        if len(rows) != 1 or rows[0].role != "Delta":
            return self.tr("Select one delta.")
        return self.controller.why_not_usable()
