"""The one window: pages in the middle, docks around them, a line at the foot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QGuiApplication,
    QKeyEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QMainWindow

from deltaworks.product import DISPLAY_NAME
from deltaworks_gui.actions import ActionSet, action_records
from deltaworks_gui.collector import ArtefactCollector
from deltaworks_gui.commands import DEFAULT_SIZE, Commands
from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.subjects import job_subject
from deltaworks_gui.drop_zone import DropZone, dropped_paths, is_recipe, refusal, what_happens
from deltaworks_gui.jobs_news import JobsNews
from deltaworks_gui.lanes.jobs import FULL, Job, JobState
from deltaworks_gui.logs import LogBook
from deltaworks_gui.page import Handler, Page
from deltaworks_gui.pages_table import PAGES, PageRecord
from deltaworks_gui.room import Room, RoomWatch
from deltaworks_gui.status_bar import StatusBar
from deltaworks_gui.widgets.banner import BannerMessage
from deltaworks_gui.workspace import Workspace

log = logging.getLogger(__name__)

MINIMUM = QSize(960, 600)
QUIT_MS = 5000


class MainWindow(QMainWindow):
    """Owns the parts and connects them; decides nothing about models or methods.

    Args:
        context: what all pages share.
        book: the log.
        pages: which pages there are.

    Signals:
        shown: the window is on screen.
        gone: everything has ended; the process may too.
    """

    shown = Signal()
    gone = Signal()

    def __init__(
        self, context: AppContext, book: LogBook, pages: Sequence[PageRecord] = PAGES
    ) -> None:
        super().__init__()
        self.context = context
        self._book = book
        self._records = {record.name: record for record in pages}
        self._pages: dict[str, Page] = {}
        self._running: Job | None = None
        self._is_quitting = False
        self._was_shown = False
        self.setObjectName("MainWindow")
        self.setMinimumSize(MINIMUM)
        self.setAcceptDrops(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.space = Workspace(context, book.model, pages)
        self.setCentralWidget(self.space)
        self._status = StatusBar(context.queue.lanes())
        self.setStatusBar(self._status)
        self._drop = DropZone(self)
        self.commands = Commands(self, book)
        self.actions_ = self._make_actions()
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(0)
        self._late.timeout.connect(self.actions_.refresh)
        self._collector = ArtefactCollector(context, self)
        self._news = JobsNews(context, self)
        self._room = RoomWatch(context, self)
        self._give_up = QTimer(self)
        self._give_up.setSingleShot(True)
        self._give_up.setInterval(QUIT_MS)
        self._connect()
        self._restore()

    # --- pages ------------------------------------------------------------------------------

    @property
    def page(self) -> Page:
        """The page in front."""
        return self._pages[self.space.page_name]

    def page_named(self, name: str) -> Page:
        """A page, built when it was not before.

        Raises:
            KeyError: there is no such page.
        """
        if name not in self._pages:
            record = self._records[name]
            page = record.make(self.context)
            self._pages[name] = page
            self.space.add_page(page)
            self._add_table_actions(page, record)
        return self._pages[name]

    def _add_table_actions(self, page: Page, record: PageRecord) -> None:
        """Single letters would be typed into search fields; they work in the table alone."""
        table = page.action_widget()
        if table is not None:
            names = [name for name in sorted(record.handles) if name in self.actions_]
            table.addActions(
                [self.actions_[name] for name in names if self.actions_.is_in_table(name)]
            )

    def show_page(self, name: str, payload: object = None) -> None:
        """Bring a page to the front."""
        if name not in self._records:
            log.error("there is no page %s", name)
            return
        before = self._pages.get(self.space.page_name)
        page = self.page_named(name)
        if before is not None and before is not page:
            before.deactivate()
        self.space.show_page(name)
        self.space.want_inspector(page.wants_inspector)
        page.activate(payload)
        self._name_window()
        self._late.start()

    @property
    def page_names(self) -> list[str]:
        """Every page, in the order of the navigation."""
        return list(self._records)

    def page_places(self) -> Iterator[tuple[int, PageRecord]]:
        """Number and record of each page."""
        return ((record.number, record) for record in self._records.values())

    def page_shower(self, name: str) -> Callable[[], None]:
        """What shows a page, for its action."""
        return lambda: self.show_page(name)

    def page_checker(self, name: str) -> Callable[[], bool]:
        """What tells whether a page is in front."""
        return lambda: self.space.page_name == name

    # --- putting it together -------------------------------------------------------------------

    def _make_actions(self) -> ActionSet:
        handled = frozenset(name for record in self._records.values() for name in record.handles)
        actions = ActionSet(action_records(self, self.commands), handled, self._handler, self)
        for action in actions.all:
            if not actions.is_in_table(action.objectName()):
                self.addAction(action)
        actions.fill(self.menuBar())
        names = ("act_job_pause", "act_job_cancel", "act_job_retry")
        self.space.jobs.set_actions([actions[name] for name in names])
        self.space.inspector.set_actions(actions)
        return actions

    def _handler(self, name: str) -> Handler | None:
        page = self._pages.get(self.space.page_name)
        return page.handlers().get(name) if page is not None else None

    def _connect(self) -> None:
        navigator, queue = self.context.navigator, self.context.queue
        navigator.page_asked.connect(self.show_page)
        navigator.banner_asked.connect(self._on_banner)
        navigator.status_asked.connect(self._status.showMessage)
        navigator.inspected.connect(self.space.inspector.show_subject)
        navigator.inspector_wanted.connect(self.space.want_inspector)
        navigator.dock_asked.connect(self.space.show_dock)
        navigator.badge_asked.connect(self.space.set_badge)
        navigator.selection_changed.connect(self._late.start)
        self.context.undo.indexChanged.connect(self._late.start)
        self.space.banner.acted.connect(self._on_banner_acted)
        self.space.page_chosen.connect(self.show_page)
        self.space.docks_changed.connect(self._late.start)
        self.space.jobs.selection_changed.connect(self._on_job_selected)
        self.space.jobs.opened.connect(self._on_job_opened)
        self._news.details_asked.connect(self.commands.show_job_error)
        queue.job_added.connect(self._on_job_added)
        queue.job_changed.connect(self._on_job)
        queue.job_removed.connect(self._late.start)
        queue.hold_changed.connect(self._late.start)
        queue.lane_changed.connect(self._status.show_lane)
        queue.idle.connect(self._on_idle)
        self._room.measured.connect(self._on_room)
        self._status.saved_clicked.connect(self.page_shower("Storage"))
        self._give_up.timeout.connect(self.quit_now)

    def _restore(self) -> None:
        settings = self.context.settings
        start = settings.text("window/page", next(iter(self._records)))
        geometry = settings.blob("window/geometry")
        self.resize(DEFAULT_SIZE)
        if not self.context.is_safe:
            if not geometry.isEmpty():
                self.restoreGeometry(geometry)
            self.space.restore(settings.blob("window/docks"))
        self._keep_on_screen()
        first = next(iter(self._records))
        self.show_page(start if start in self._records and not self.context.is_safe else first)
        self.actions_.refresh()

    def _keep_on_screen(self) -> None:
        """Bring back a window whose screen is gone."""
        frame = self.frameGeometry()
        screens = QGuiApplication.screens()
        if any(
            screen.availableGeometry().intersects(frame.adjusted(40, 40, -40, -40))
            for screen in screens
        ):
            return
        room = QGuiApplication.primaryScreen().availableGeometry()
        self.resize(DEFAULT_SIZE.boundedTo(room.size()))
        self.move(room.topLeft())

    def showEvent(self, event: QShowEvent) -> None:
        """Once it shows: measure the disk, build the Library if it is not there yet."""
        super().showEvent(event)
        if not self._was_shown:
            self._was_shown = True
            QTimer.singleShot(0, self._on_shown)

    @Slot()
    def _on_shown(self) -> None:
        self.page_named(next(iter(self._records)))  # it takes what is dropped on other pages
        queue = self.context.queue
        if queue.busy or any(job.state is JobState.QUEUED for job in queue.jobs()):
            self._build_hearers()
        self._room.start()
        self.shown.emit()

    def _build_hearers(self) -> None:
        """Pages that tell how jobs end must be there before they do."""
        for record in self._records.values():
            if record.hears_jobs:
                self.page_named(record.name)

    # --- news -------------------------------------------------------------------------------------

    @Slot(object)
    def _on_banner(self, message: object) -> None:
        assert isinstance(message, BannerMessage)
        self.space.banner.post(message)

    @Slot(str, str)
    def _on_banner_acted(self, key: str, action: str) -> None:
        self.space.banner.dismiss()
        self.context.navigator.banner_acted.emit(key, action)

    @Slot(object)
    def _on_job_added(self, job: Job) -> None:
        self._build_hearers()
        self._on_job(job)

    @Slot(object)
    def _on_job(self, job: Job) -> None:
        before = self._running
        busy = self.context.queue.busy
        self._running = busy[0] if busy else None
        if before is None or self._running is None or job.id == self._running.id:
            self._status.show_job(self._running)
            self._name_window()
        if before is None or self._running is None or before.state is not self._running.state:
            self._late.start()
        if self._running is not None and before is None:
            self.space.open_jobs_once()

    @Slot()
    def _on_job_selected(self) -> None:
        jobs = self.space.jobs.selected_rows()
        if jobs:
            self.context.navigator.inspect(job_subject(jobs[0]))
        self._late.start()

    @Slot(object)
    def _on_job_opened(self, job: Job) -> None:
        if job.error:
            self.commands.show_job_error(job)
        else:
            self.context.navigator.inspect(job_subject(job))
            self.space.show_dock("InspectorDock")

    @Slot(object)
    def _on_room(self, room: Room) -> None:
        self._status.show_saved(room.saved)
        self._status.show_free(room.free, room.total)

    def _name_window(self) -> None:
        job = self._running
        title = self._records[self.space.page_name].title() if self.space.page_name else ""
        if job is not None:
            title = f"{job.progress * 100 // FULL}% {job.name}"
        self.setWindowTitle(f"{title} — {DISPLAY_NAME}")

    def take_paths(self, paths: Sequence[Path]) -> None:
        """Open a recipe, or add folders and model files to the library."""
        if len(paths) == 1 and is_recipe(paths[0]) and "Workbench" in self._records:
            self.show_page("Workbench", paths[0])
        elif paths:
            self.page_named("Library")
            self.show_page("Library")
            self.context.navigator.paths_added.emit(list(paths))

    # --- drag and drop ------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Say what a drop would do, or why it does nothing."""
        if not event.mimeData().hasUrls():
            return
        paths = dropped_paths(event.mimeData())
        text = what_happens(paths)
        self._drop.show_text(text or refusal(paths), is_taken=bool(text))
        event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Take the drag only where a drop does something."""
        if what_happens(dropped_paths(event.mimeData())):
            event.acceptProposedAction()
        else:
            event.ignore()

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        """The drag went elsewhere."""
        self._drop.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take what was dropped."""
        self._drop.hide()
        paths = dropped_paths(event.mimeData())
        if what_happens(paths):
            event.acceptProposedAction()
            self.take_paths(paths)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc: the page's search, its selection, the banner, whichever is there first."""
        if event.key() == Qt.Key.Key_Escape:
            if not self.page.escape():
                self.space.banner.dismiss()
            return
        super().keyPressEvent(event)

    # --- the end ----------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask while jobs run; else end everything in order."""
        busy = self.context.queue.busy
        if not self._is_quitting and busy:
            event.ignore()
            self._ask(busy)
            return
        if busy and self._give_up.isActive():
            event.ignore()  # still waiting for them to stop
            return
        event.accept()
        self._end()

    def _ask(self, busy: list[Job]) -> None:
        from deltaworks_gui.dialogs.quit_busy import QuitBusyDialog

        if self.findChild(QuitBusyDialog) is not None:
            return
        dialog = QuitBusyDialog(busy, self)
        dialog.background_chosen.connect(self.showMinimized)
        dialog.quit_chosen.connect(self._cancel_and_quit)
        dialog.open()

    @Slot()
    def _cancel_and_quit(self) -> None:
        self._is_quitting = True
        self.context.queue.hold(True)
        self.context.queue.cancel_all()
        self.setEnabled(False)
        self._status.showMessage(self.tr("Stopping jobs…"))
        if self.context.queue.busy:
            self._give_up.start()
        else:
            self.close()

    @Slot()
    def quit_now(self) -> None:
        """End without asking, as the end of a session wants; jobs that run are interrupted."""
        self._is_quitting = True
        self._give_up.stop()
        self.close()

    @Slot()
    def _on_idle(self) -> None:
        if self._is_quitting:
            self.quit_now()

    def _end(self) -> None:
        """End threads and engines, then save. Once."""
        if QCoreApplication.closingDown() or self.property("ended"):
            return
        self.setProperty("ended", True)
        self._is_quitting = True
        self._save()
        self.hide()
        for page in self._pages.values():
            page.save_state()
        self.context.settings.save()
        ended = [page.end() for page in self._pages.values()]
        if not all(ended):
            log.error("what a page runs did not end in time")
        if not self.context.tasks.close():
            log.error("background work did not end in time")
        if not self.context.queue.shutdown():
            log.error("a lane did not end in time")
        self.gone.emit()

    def _save(self) -> None:
        settings = self.context.settings
        settings.set("window/geometry", self.saveGeometry())
        settings.set("window/docks", self.space.save())
        settings.set("window/page", self.space.page_name)
