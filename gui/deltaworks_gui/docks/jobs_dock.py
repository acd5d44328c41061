"""The Jobs dock: every job as a row, and what can be done to it."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QDockWidget,
    QMenu,
    QStackedWidget,
    QTableView,
    QToolButton,
    QWidget,
)

from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.dock_title import DockTitle
from deltaworks_gui.formats import format_seconds
from deltaworks_gui.lanes.jobs import ENDED, Job, JobState
from deltaworks_gui.models.jobs import COLUMNS, NUMBERS, JobsModel
from deltaworks_gui.theme import SPACE_S, current_theme
from deltaworks_gui.widgets.buttons import icon_button, make_button
from deltaworks_gui.widgets.delegates import (
    CellDelegate,
    NumberDelegate,
    ProgressDelegate,
    StateDelegate,
)
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.tables import prepare_table

_S = JobState
_AT_WORK = (_S.PREPARING, _S.RUNNING, _S.PAUSED, _S.CANCELLING)
_WIDTHS = {
    "name": 200, "state": 130, "progress": 300, "elapsed": 86, "remaining": 104,
    "lane": 62, "mem": 104, "out": 110, "queued": 90,
}  # fmt: skip
ASK_ABOVE_S = 60.0


class JobsDock(QDockWidget):
    """Table over ``JobsModel`` with its tools.

    Signals:
        opened: a Job the user wants to see more of.
        selection_changed: which jobs the actions are about.
    """

    opened = Signal(object)
    selection_changed = Signal()

    def __init__(self, context: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue = context.queue
        self._navigator = context.navigator
        self.setObjectName("JobsDock")
        self.setWindowTitle(self.tr("Jobs"))
        self.model = JobsModel(context.queue, self)
        self.table = QTableView()
        self._build_table()
        self._empty = EmptyState(
            "Empty_Jobs", self.tr("No jobs"), self.tr("Work you start shows up here.")
        )
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.table)
        self._stack.setMinimumHeight(current_theme().metrics.row * 2)  # below the empty state's own
        self.setWidget(self._stack)
        self.title = DockTitle(self)
        self.setTitleBarWidget(self.title)
        self._menu = QMenu(self)
        self._hold = make_button(self.tr("Hold queue"), "quiet", name="btn_hold")
        self._hold.setCheckable(True)
        self._clear = make_button(self.tr("Clear finished"), "quiet", name="btn_jobs_clear")
        self._hold.clicked.connect(self.toggle_hold)
        self._clear.clicked.connect(self.clear_finished)
        self.title.add_tool(self._clear)
        self.title.add_tool(self._hold)
        self._connect(context)
        self._on_rows()
        self._on_hold(context.queue.is_held)

    def sizeHint(self) -> QSize:
        """A few rows."""
        metrics = current_theme().metrics
        return QSize(600, metrics.row * 3 + metrics.table_header + SPACE_S)

    def set_actions(self, actions: list[QAction]) -> None:
        """Offer these in the context menu and, where they have an icon, as tools."""
        self._menu.addActions(actions)
        with_icon = [action for action in actions if not action.icon().isNull()]
        for place, action in enumerate(with_icon):
            self.title.add_tool(_tool(action), place)

    def selected(self) -> list[Job]:
        """The selected jobs; the running ones when none is."""
        return self.selected_rows() or self._queue.busy

    def selected_rows(self) -> list[Job]:
        """The selected jobs."""
        rows = sorted({index.row() for index in self.table.selectionModel().selectedIndexes()})
        return [self.model.job_at(row) for row in rows]

    def select(self, job_id: str) -> None:
        """Show a job and select it."""
        row = self.model.row_of(job_id)
        if row >= 0:
            self.table.selectRow(row)
            self.table.scrollTo(self.model.index(row, 0))

    # --- what the actions do -------------------------------------------------------------------

    def pause_or_resume(self) -> None:
        """Let running jobs rest and resting ones go on."""
        for job in self.selected():
            if job.state is _S.PAUSED:
                self._queue.resume(job.id)
            elif job.state is _S.RUNNING:
                self._queue.pause(job.id)

    def why_no_pause(self) -> str:
        """Empty when there is something to pause or resume."""
        if any(job.state in (_S.RUNNING, _S.PAUSED) for job in self.selected()):
            return ""
        return self.tr("No job is running or paused")

    def cancel(self) -> None:
        """Stop jobs; ask first where more than a minute of work would be lost."""
        for job in self.selected():
            if job.state is not _S.CANCELLING and job.running_seconds > ASK_ABOVE_S:
                lost = format_seconds(job.running_seconds)
                self._navigator.banner(
                    "warn",
                    self.tr("Cancelling “{0}” loses {1} of work").format(job.name, lost),
                    [("cancel", self.tr("Cancel the job"))],
                    key=f"ask-cancel:{job.id}",
                    stays=True,
                )
            elif job.state in _AT_WORK or job.state is _S.QUEUED:
                self._queue.cancel(job.id)

    def why_no_cancel(self) -> str:
        """Empty when there is something to cancel."""
        if any(job.state in _AT_WORK or job.state is _S.QUEUED for job in self.selected()):
            return ""
        return self.tr("No job is queued or running")

    def retry(self) -> None:
        """Run jobs that are over again."""
        for job in self.selected():
            if job.state in ENDED or job.state is _S.INTERRUPTED:
                self._queue.retry(job.id)

    def why_no_retry(self) -> str:
        """Empty when a job that is over is selected."""
        if any(job.state in ENDED or job.state is _S.INTERRUPTED for job in self.selected()):
            return ""
        return self.tr("Select a job that is over")

    def move_up(self) -> None:
        """Let selected queued jobs go sooner."""
        for job in self.selected():
            self._queue.move(job.id, -1)

    def move_down(self) -> None:
        """Let selected queued jobs go later."""
        for job in reversed(self.selected()):
            self._queue.move(job.id, 1)

    def toggle_hold(self) -> None:
        """Hold the queue or let it go."""
        self._queue.hold(not self._queue.is_held)

    def is_held(self) -> bool:
        """Whether the queue waits."""
        return self._queue.is_held

    def clear_finished(self) -> None:
        """Take finished jobs off the list."""
        self._queue.clear_finished()

    def why_no_clear(self) -> str:
        """Empty when a job is finished."""
        done = any(job.state in ENDED for job in self._queue.jobs())
        return "" if done else self.tr("No job is finished")

    # --- inside ---------------------------------------------------------------------------------

    def _build_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        prepare_table(table, name="JobsView", accessible_name=self.tr("Jobs"))
        table.setItemDelegate(CellDelegate(table, tone="text-2"))
        delegates = {"name": CellDelegate(table), "state": StateDelegate(table)}
        delegates["progress"] = ProgressDelegate(table, share=0.4)
        delegates |= {name: NumberDelegate(table, tone="text-2") for name in NUMBERS}
        for name, delegate in delegates.items():
            table.setItemDelegateForColumn(COLUMNS.index(name), delegate)
        for name, width in _WIDTHS.items():
            table.setColumnWidth(COLUMNS.index(name), width)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(self._on_menu)
        table.activated.connect(self._on_opened)
        table.selectionModel().selectionChanged.connect(self.selection_changed)
        keys = (
            ("Space", self.pause_or_resume),
            ("Del", self.cancel),
            ("Alt+Up", self.move_up),
            ("Alt+Down", self.move_down),
        )
        for key, run in keys:
            shortcut = QShortcut(QKeySequence(key), table)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(run)

    def _connect(self, context: AppContext) -> None:
        self._queue.hold_changed.connect(self._on_hold)
        self.model.rowsInserted.connect(self._on_rows)
        self.model.rowsRemoved.connect(self._on_rows)
        context.navigator.banner_acted.connect(self._on_banner)

    @Slot()
    def _on_rows(self) -> None:
        has_rows = self.model.rowCount() > 0
        self._stack.setCurrentWidget(self.table if has_rows else self._empty)

    @Slot(object)
    def _on_hold(self, held: bool) -> None:
        self._hold.setChecked(held)
        text = self.tr("Queue held") if held else self.tr("Hold queue")
        self._hold.setText(text)
        self._hold.setAccessibleName(text)

    @Slot(QPoint)
    def _on_menu(self, at: QPoint) -> None:
        self._menu.popup(self.table.viewport().mapToGlobal(at))

    @Slot(QModelIndex)
    def _on_opened(self, index: QModelIndex | QPersistentModelIndex) -> None:
        self.opened.emit(self.model.job_at(index.row()))

    @Slot(object, object)
    def _on_banner(self, key: str, action: str) -> None:
        kind, _, job_id = key.partition(":")
        if self._queue.job(job_id) is None:
            return
        if kind == "ask-cancel" and action == "cancel":
            self._queue.cancel(job_id)


_TOOL_ICONS = {"act_job_pause": "pause", "act_job_cancel": "close", "act_job_retry": "retry"}
"""A tool's own icon: it follows the theme at the size of the strip."""


def _tool(action: QAction) -> QToolButton:
    icon = _TOOL_ICONS[action.objectName()]
    button = icon_button(icon, action.text(), name=f"tool_{action.objectName()}", compact=True)
    button.setDefaultAction(action)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
    button.setAccessibleName(action.text())
    button.setAccessibleDescription(action.statusTip())
    return button
