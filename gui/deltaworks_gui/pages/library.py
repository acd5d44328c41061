"""The Library: what models are here, how big, in what state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, QUrl, Slot
from PySide6.QtGui import QAction, QDesktopServices, QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedWidget, QVBoxLayout, QWidget

from deltaworks.library.rows import ModelRow
from deltaworks_gui.context import AppContext
from deltaworks_gui.dialogs.confirm_trash import ConfirmTrashDialog
from deltaworks_gui.dialogs.dependents import DependentsDialog
from deltaworks_gui.dialogs.rebuild import RebuildDialog
from deltaworks_gui.formats import format_size
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages.library_controller import LibraryController, LibraryState
from deltaworks_gui.pages.library_menu import LibraryMenu
from deltaworks_gui.pages.library_view import LibraryView
from deltaworks_gui.payloads import LibraryChoice, WorkbenchDemo, WorkbenchInputs
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.buttons import link_button, quiet_button, secondary_button
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.search_field import SearchField

_KEY = "library/header"
_LONGEST = 36
"""Letters of a search or a path that a title in large type holds."""


class LibraryPage(Page):
    """Shows the controller's rows; decides nothing."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "Library", self.tr("Library"))
        self.controller = LibraryController(context, self)
        self.search = SearchField(
            self.tr("Search name, family, tag, path"), object_name="LibrarySearch"
        )
        self.view = LibraryView(self.controller.filter)
        self._wanted: tuple[str, ...] = ()
        self._needing: tuple[str, ...] = ()
        self._build_header()
        self._build_strip()
        self._build_states()
        self._stack = QStackedWidget()
        self._table = self._build_table()
        for widget in (self._loading, self._welcome, self._table, self._no_match, self._fault):
            self._stack.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._stack)
        columns = context.settings.blob(_KEY)
        if not context.is_safe and not columns.isEmpty():
            self.view.restore(columns)
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

    def _build_strip(self) -> None:
        self._strip, self._strip_text = QWidget(), QLabel()
        self._strip.setObjectName("LibraryStrip")
        set_look(self._strip, surface="info")
        self._stop = link_button(self.tr("Stop"), name="btn_stop_scan")
        row = QHBoxLayout(self._strip)
        row.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_S)
        row.addWidget(self._strip_text, 1)
        row.addWidget(self._stop)

    def _build_table(self) -> QWidget:
        table, foot = QWidget(), QWidget()
        set_look(table, surface="panel")
        set_look(foot, surface="footer")
        row = QHBoxLayout(foot)
        row.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, SPACE_S)
        row.setSpacing(SPACE_M)
        self._counts, self._hint = QLabel(), QLabel()
        self._counts.setObjectName("LibraryCounts")
        self._hint.setObjectName("LibraryHint")
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

    def _build_states(self) -> None:
        self._welcome = EmptyState(
            "Empty_Library",
            self.tr("Welcome"),
            self.tr("See what your models weigh, and make the fine-tunes small."),
            primary=self.tr("Try the demo"),
            secondary=self.tr("Add folder…"),
            secondary_icon="plus",
            illustration="welcome",
            hint=self.tr("or drop a folder of models anywhere in this window"),
        )
        self._welcome.primary.setObjectName("btn_demo")
        self._welcome.secondary.setObjectName("btn_add_folder")
        self._no_match = EmptyState("Empty_LibraryMatch", "", icon="search")
        self._no_match.set_buttons(self.tr("Clear filters"))
        self._loading = EmptyState("Loading_Library", self.tr("Reading the library…"), busy=True)
        self._fault = EmptyState("Error_Library", "", icon="warning")
        self._fault.set_buttons(self.tr("Retry"), self.tr("Remove folder"))

    def _connect(self) -> None:
        controller = self.controller
        controller.changed.connect(self._show)
        controller.demo_ready.connect(self._on_demo_ready)
        controller.refused.connect(self._on_refused)
        controller.model.renamed.connect(controller.rename)
        self.search.textChanged.connect(controller.search)
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        self.view.customContextMenuRequested.connect(self._on_menu)
        self.view.activated.connect(self._on_activated)
        self.view.search_asked.connect(self.focus_search)
        self._columns.clicked.connect(self._on_columns)
        self._add.clicked.connect(self._on_add_folder)
        self._stop.clicked.connect(controller.stop)
        self._loading.primary_clicked.connect(controller.stop)
        self._welcome.primary_clicked.connect(controller.try_demo)
        self._welcome.secondary_clicked.connect(self._on_add_folder)
        self._no_match.primary_clicked.connect(self.search.clear)
        self._fault.primary_clicked.connect(controller.rescan)
        self._fault.secondary_clicked.connect(self._on_remove_root)

    # Showing

    @Slot()
    def _show(self) -> None:
        state = self.controller.state
        self._stack.setCurrentWidget(self._body(state))
        self._strip.setVisible(bool(state.busy))
        self._strip_text.setText(_cut(state.busy, 90))
        self._hint.setText(_cut(state.hint, 90))
        self._hint.setToolTip(state.hint)
        self._counts.setText(self._count_text(state))
        if self._wanted and not state.is_loading:
            self._choose_wanted()
        if self.isVisible():
            self.context.navigator.want_inspector(self.wants_inspector)

    def _body(self, state: LibraryState) -> QWidget:
        if state.is_loading or (state.busy and not state.total):
            self._loading.set_texts(_cut(state.busy, 60) or self.tr("Reading the library…"))
            self._loading.set_buttons(self.tr("Stop") if state.busy else "")
            return self._loading
        if not state.total and state.fault:
            title = self.tr("Cannot read {0}").format(_cut(state.faulty_root))
            self._fault.set_texts(title, state.fault)
            return self._fault
        if not state.total:
            return self._welcome
        if not state.shown and state.query.strip():
            title = self.tr("Nothing matches “{0}”").format(_cut(state.query.strip()))
            hidden = self.tr("{0} models are hidden by filters.").format(state.total)
            self._no_match.set_texts(title, state.hint or hidden)
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
            "act_repair": Handler(lambda: self._to_workbench("repair"), usable),
            "act_restore": Handler(self._rebuild, self._why_no_rebuild),
            "act_verify": Handler(self.controller.verify, self._why_none),
            "act_show_folder": Handler(self._show_folder, self._why_none),
            "act_rename": Handler(self._rename, self._why_not_one),
            "act_remove": Handler(self.controller.forget, self._why_none),
            "act_trash": Handler(self._ask_trash, self._why_none),
            "act_refresh": Handler(self.controller.rescan),
        }

    def action_widget(self) -> QWidget:
        """Where single-letter keys work."""
        return self.view

    def activate(self, payload: object = None) -> None:
        """Select what another page points at, or begin the demo."""
        self.controller.show_in_front(True)
        if isinstance(payload, LibraryChoice):
            self.search.clear()
            self._wanted = payload.paths
            self._choose_wanted()
        elif payload == "demo":
            self.controller.try_demo()

    def deactivate(self) -> None:
        """From now on the Inspector is about something else."""
        self.controller.show_in_front(False)

    @Slot()
    def focus_search(self) -> bool:
        """Put the keyboard in the search field."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()
        return True

    def focus_body(self) -> None:
        """Put the keyboard on the table, or on the button to press."""
        body = self._stack.currentWidget()
        (body.primary if isinstance(body, EmptyState) else self.view).setFocus()

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
        """Remember the columns and the order."""
        self.context.settings.set(_KEY, self.view.header().saveState())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """``/`` goes to the search field."""
        if event.text() == "/":
            self.focus_search()
            return
        super().keyPressEvent(event)

    # What was clicked

    def _action(self, name: str) -> QAction | None:
        """One of the window's actions; None where the page stands alone."""
        return self.window().findChild(QAction, name)

    @Slot()
    def _on_add_folder(self) -> None:
        action = self._action("act_add_folder")
        if action is not None:
            action.trigger()

    @Slot()
    def _on_selection(self) -> None:
        self.controller.select(self.view.selected_ids())

    @Slot(QPoint)
    def _on_menu(self, place: QPoint) -> None:
        if self.controller.selected:
            menu = LibraryMenu(self.view, self._action, list(self.handlers()))
            menu.role_chosen.connect(self.controller.set_role)
            menu.popup(self.view.viewport().mapToGlobal(place))

    @Slot()
    def _on_columns(self) -> None:
        button = self._columns
        self.view.show_column_menu(button.mapToGlobal(button.rect().bottomLeft()))

    @Slot()
    def _on_activated(self) -> None:
        """Enter or a double click: all about this model."""
        self.context.navigator.show_dock("InspectorDock")

    @Slot()
    def _on_remove_root(self) -> None:
        self.controller.remove_root(self.controller.state.faulty_root)

    @Slot(object)
    def _on_demo_ready(self, demo: object) -> None:
        self.context.navigator.show_page("Workbench", WorkbenchDemo(demo))  # type: ignore[arg-type]  # signals carry objects

    def _to_workbench(self, operation: str) -> None:
        inputs = self.controller.inputs(operation)
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
        self.view.edit(self.view.index_of(self.controller.selected[0].id))

    def _show_folder(self) -> None:
        row = self.controller.selected[0]
        is_file = any(file.path == row.path for file in row.files)
        folder = Path(row.path).parent if is_file else Path(row.path)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _rebuild(self) -> None:
        from deltaworks_gui.pages.library_rebuild import proposed_folder

        row = self.controller.selected[0]
        folder = proposed_folder(self.context.home.store, row)
        dialog = RebuildDialog(row, folder, self.context, self.window())
        dialog.accepted_at.connect(self._on_rebuild)
        dialog.open()

    @Slot(object, object)
    def _on_rebuild(self, row: ModelRow, folder: str) -> None:
        from deltaworks_gui.pages.library_rebuild import rebuild_recipe

        base = self.controller.model.row_by_id(row.family_id or 0)
        recipe = rebuild_recipe(row, base, folder)
        self.context.queue.submit(self.tr("Rebuild {0}").format(row.name), recipe)

    def _ask_trash(self) -> None:
        going = self.controller.going()
        if not going:
            return  # others need one of them; that was said
        dialog = ConfirmTrashDialog(going, self.window(), self.context.settings)
        dialog.confirmed.connect(self.controller.trash)
        dialog.open()

    def _choose_wanted(self) -> None:
        """Select what another page pointed at, as soon as it is listed."""
        rows = [row.id for row in self.controller.model.rows if row.path in self._wanted]
        if rows:
            self._wanted = ()
            self.view.choose(rows)

    @Slot(object, object)
    def _on_refused(self, why: str, paths: list[str]) -> None:
        self._needing = tuple(paths)
        dialog = DependentsDialog(why, self.window(), self.context.settings)
        dialog.rebuild_asked.connect(self._on_show_dependents)
        dialog.open()

    @Slot()
    def _on_show_dependents(self) -> None:
        self._wanted = self._needing
        self._choose_wanted()

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


def _cut(text: str, longest: int = _LONGEST) -> str:
    """Leave out the middle of what is too long for one line."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}…{text[-half:]}"
