"""Which pages there are. A page plugs in with one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from PySide6.QtCore import QCoreApplication

from deltaworks_gui.context import AppContext
from deltaworks_gui.page import Page


@dataclass(frozen=True, slots=True)
class PageRecord:
    """One page.

    Args:
        name: its key everywhere; the objectName becomes ``Page_<name>``.
        icon: in the navigation.
        number: of its key, Alt+1 to Alt+6.
        make: builds it when it is first needed; imports its module only then.
        handles: names of the window's actions that its ``handlers`` do.
        hears_jobs: it is built when the first job is queued, so that it hears how jobs end.
    """

    name: str
    icon: str
    number: int
    make: Callable[[AppContext], Page]
    handles: frozenset[str] = field(default=frozenset())
    hears_jobs: bool = False

    def title(self) -> str:
        """Its name for people."""
        return QCoreApplication.translate("pages", self.name)


def _library(context: AppContext) -> Page:
    from deltaworks_gui.pages.library import LibraryPage

    return LibraryPage(context)


def _families(context: AppContext) -> Page:
    from deltaworks_gui.pages.families import FamiliesPage

    return FamiliesPage(context)


def _workbench(context: AppContext) -> Page:
    from deltaworks_gui.pages.workbench import WorkbenchPage

    return WorkbenchPage(context)


def _results(context: AppContext) -> Page:
    from deltaworks_gui.pages.results import ResultsPage

    return ResultsPage(context)


def _playground(context: AppContext) -> Page:
    from deltaworks_gui.pages.playground import PlaygroundPage

    return PlaygroundPage(context)


def _storage(context: AppContext) -> Page:
    from deltaworks_gui.pages.storage import StoragePage

    return StoragePage(context)


_LIBRARY_ACTIONS = frozenset(
    {
        "act_use_base",
        "act_use_expert",
        "act_compress",
        "act_merge",
        "act_repair",
        "act_restore",
        "act_verify",
        "act_show_folder",
        "act_rename",
        "act_remove",
        "act_trash",
        "act_refresh",
    }
)

_FAMILY_ACTIONS = frozenset({"act_compress", "act_merge", "act_repair", "act_refresh"})

PAGES: tuple[PageRecord, ...] = (
    PageRecord("Library", "library", 1, _library, _LIBRARY_ACTIONS),
    PageRecord("Families", "families", 2, _families, _FAMILY_ACTIONS),
    PageRecord("Workbench", "workbench", 3, _workbench, frozenset({"act_run"})),
    PageRecord(
        "Results",
        "results",
        4,
        _results,
        frozenset({"act_export_plot", "act_export_table"}),
        hears_jobs=True,
    ),
    PageRecord("Playground", "playground", 5, _playground),
    PageRecord("Storage", "storage", 6, _storage),
)
