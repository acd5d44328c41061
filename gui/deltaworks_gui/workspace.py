"""Everything between menu bar and status bar: navigation, header, banner, pages, docks."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QByteArray, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QTabBar,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.inspector import InspectorDock
from deltaworks_gui.docks.jobs_dock import JobsDock
from deltaworks_gui.docks.log_dock import LogDock
from deltaworks_gui.models.log import LogModel
from deltaworks_gui.page import Page
from deltaworks_gui.pages_table import PageRecord
from deltaworks_gui.theme import current_theme, set_look
from deltaworks_gui.widgets.banner import Banner
from deltaworks_gui.widgets.nav_list import NavList

_RIGHT = Qt.DockWidgetArea.RightDockWidgetArea
_BOTTOM = Qt.DockWidgetArea.BottomDockWidgetArea
STATE_VERSION = 1
_DIRECT = Qt.FindChildOption.FindDirectChildrenOnly


class Workspace(QWidget):
    """An inner main window holds pages and docks, so that navigation and headers frame them.

    Signals:
        page_chosen: name of the page that the user wants.
        docks_changed: one was shown or hidden.
    """

    page_chosen = Signal(str)
    docks_changed = Signal()

    def __init__(
        self,
        context: AppContext,
        log: LogModel,
        records: Sequence[PageRecord],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._settings = context.settings
        self._names = [record.name for record in records]
        self._page_name = ""
        self._inspector_wanted = True
        self.nav = NavList([(record.icon, record.title()) for record in records])
        self.headers = QStackedWidget()
        self.headers.setObjectName("Headers")
        self.banner = Banner()
        self.pages = QStackedWidget()
        self.pages.setObjectName("Pages")
        self.inspector = InspectorDock(context.tasks)
        self.jobs = JobsDock(context)
        self.log = LogDock(log)
        self._docks = {dock.objectName(): dock for dock in (self.inspector, self.jobs, self.log)}
        self._inner = QMainWindow()
        self._inner.setObjectName("Docks")
        self._inner.setWindowFlags(Qt.WindowType.Widget)
        self._build_docks()
        self._first = self._inner.saveState(STATE_VERSION)
        self._lay_out()
        self._fit()
        self.nav.currentRowChanged.connect(self._on_row)
        current_theme().changed.connect(self._fit)

    # --- pages ------------------------------------------------------------------------------

    @property
    def page_name(self) -> str:
        """Name of the page in front; empty before the first."""
        return self._page_name

    def add_page(self, page: Page) -> None:
        """Take in a page and its header."""
        self.headers.addWidget(page.header)
        self.pages.addWidget(page)

    def show_page(self, name: str) -> None:
        """Bring a page that was added to the front."""
        self._page_name = name
        page = self.pages.findChild(Page, f"Page_{name}")
        assert page is not None
        self.headers.setCurrentWidget(page.header)
        self.pages.setCurrentWidget(page)
        self.nav.setCurrentRow(self._names.index(name))

    @Slot(object, object, object)
    def set_badge(self, name: str, count: int, meaning: str) -> None:
        """Put a number on a page's icon."""
        if name in self._names:
            self.nav.set_badge(self._names.index(name), count, meaning)

    @Slot(int)
    def _on_row(self, row: int) -> None:
        if 0 <= row < len(self._names) and self._names[row] != self._page_name:
            self.page_chosen.emit(self._names[row])

    # --- docks ------------------------------------------------------------------------------

    def is_dock_open(self, name: str) -> bool:
        """Whether a dock shows."""
        return not self._docks[name].isHidden()

    def toggle_dock(self, name: str) -> None:
        """Show or hide a dock."""
        if not self.is_dock_open(name):
            self.show_dock(name)
            return
        self._docks[name].close()
        if name == "InspectorDock":
            self._settings.set("window/inspector", False)

    @Slot(object)
    def show_dock(self, name: str) -> None:
        """Show a dock, over its neighbours in a tab."""
        if name == "InspectorDock":
            self._settings.set("window/inspector", True)
        self._docks[name].show()
        self._docks[name].raise_()

    def open_jobs_once(self) -> None:
        """Show the jobs when the first one runs, unless the user closed them before."""
        if not self._settings.flag("window/jobs_closed") and self.jobs.isHidden():
            self.jobs.show()
            self._give_first_sizes()

    @Slot(object)
    def want_inspector(self, wanted: bool) -> None:
        """The page in front has a use for the Inspector, or none."""
        self._inspector_wanted = wanted
        self._fit_inspector()

    def save(self) -> QByteArray:
        """Where the docks are."""
        return self._inner.saveState(STATE_VERSION)

    def restore(self, state: QByteArray) -> None:
        """Put the docks where they were."""
        if not state.isEmpty():
            self._inner.restoreState(state, STATE_VERSION)
        self._fit_inspector()
        self._on_dock()

    def reset(self) -> None:
        """Put the docks where they are at the first start."""
        self._inner.restoreState(self._first, STATE_VERSION)
        self._fit_inspector()

    def focus_pane(self, step: int) -> None:
        """Move the keyboard round: navigation, page, Inspector, bottom dock."""
        panes = self._panes()
        focus = QApplication.focusWidget()
        here = next(
            (
                at
                for at, pane in enumerate(panes)
                if focus and (pane is focus or pane.isAncestorOf(focus))
            ),
            -step if step > 0 else 0,
        )
        pane = panes[(here + step) % len(panes)]
        if isinstance(pane, Page):
            pane.focus_body()
        else:
            _first_focus(pane).setFocus(Qt.FocusReason.TabFocusReason)

    def _panes(self) -> list[QWidget]:
        page = self.pages.currentWidget()
        panes: list[QWidget] = [self.nav]
        if page is not None:
            panes.append(page)
        return panes + [dock for dock in self._docks.values() if dock.isVisible()]

    def _build_docks(self) -> None:
        inner = self._inner
        inner.setCentralWidget(self.pages)
        inner.setDockNestingEnabled(True)
        inner.setCorner(Qt.Corner.BottomRightCorner, _RIGHT)
        inner.setTabPosition(_BOTTOM, QTabWidget.TabPosition.North)
        inner.addDockWidget(_RIGHT, self.inspector)
        inner.addDockWidget(_BOTTOM, self.jobs)
        inner.addDockWidget(_BOTTOM, self.log)
        inner.tabifyDockWidget(self.jobs, self.log)
        # At first start there is nothing to tell; the jobs show themselves with the first job.
        self.jobs.hide()
        self.log.hide()
        for dock in self._docks.values():
            dock.visibilityChanged.connect(self._on_dock)
            dock.setFeatures(
                QDockWidget.DockWidgetFeature.DockWidgetClosable
                | QDockWidget.DockWidgetFeature.DockWidgetMovable
                | QDockWidget.DockWidgetFeature.DockWidgetFloatable
            )
        self.jobs.title.closed.connect(self._on_jobs_closed)
        self.inspector.title.closed.connect(self._on_inspector_closed)

    def _lay_out(self) -> None:
        right = QVBoxLayout()
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(0)
        for widget in (self.headers, self.banner):
            right.addWidget(widget)
        right.addWidget(self._inner, 1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.nav)
        row.addLayout(right, 1)
        set_look(self._inner, surface="page")

    def _fit(self) -> None:
        self.headers.setFixedHeight(current_theme().metrics.header)

    def _give_first_sizes(self) -> None:
        """A few rows for the jobs, the rest for the page; what was restored stays."""
        if self._settings.blob("window/docks").isEmpty():
            height = self.jobs.sizeHint().height()
            self._inner.resizeDocks([self.jobs], [height], Qt.Orientation.Vertical)

    def _fit_inspector(self) -> None:
        wanted = self._inspector_wanted and self._settings.flag("window/inspector", True)
        self.inspector.setVisible(wanted)

    @Slot()
    def _on_dock(self) -> None:
        tabbed = not self.jobs.isHidden() and not self.log.isHidden()
        tabbed = tabbed and self.log in self._inner.tabifiedDockWidgets(self.jobs)
        self.jobs.title.show_name(not tabbed)
        self.log.title.show_name(not tabbed)
        for bar in self._inner.findChildren(QTabBar, options=_DIRECT):
            bar.setAccessibleName(self.tr("Docks"))
        self.docks_changed.emit()

    @Slot()
    def _on_jobs_closed(self) -> None:
        self._settings.set("window/jobs_closed", True)

    @Slot()
    def _on_inspector_closed(self) -> None:
        self._settings.set("window/inspector", False)


def _first_focus(pane: QWidget) -> QWidget:
    """The first widget in a pane that takes the keyboard."""
    if pane.focusPolicy() != Qt.FocusPolicy.NoFocus:
        return pane
    inside = pane.findChildren(QWidget)
    return next(
        (
            one
            for one in inside
            if one.focusPolicy() & Qt.FocusPolicy.TabFocus and one.isVisible() and one.isEnabled()
        ),
        pane,
    )
