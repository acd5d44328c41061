"""What the gallery shows: likenesses of pages, made of the widgets alone.

Names and numbers are invented.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QApplication,
    QLabel,
    QMainWindow,
    QSplitter,
    QTabBar,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.gallery_forms import controls, workbench
from deltaworks_gui.gallery_parts import page_of, row_of
from deltaworks_gui.gallery_windows import windows
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, current_theme, set_look
from deltaworks_gui.widgets.banner import Banner, BannerAction, BannerMessage
from deltaworks_gui.widgets.buttons import (
    primary_button,
    quiet_button,
    secondary_button,
)
from deltaworks_gui.widgets.card import caption, rule
from deltaworks_gui.widgets.chip import Chip
from deltaworks_gui.widgets.delegates import (
    CellDelegate,
    NameDelegate,
    NumberDelegate,
    PaintRole,
    StateDelegate,
)
from deltaworks_gui.widgets.elided_label import ElidedLabel
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.fact_list import FactList
from deltaworks_gui.widgets.focus_ring import FocusRing
from deltaworks_gui.widgets.header import PageHeader
from deltaworks_gui.widgets.nav_list import NavList
from deltaworks_gui.widgets.progress_line import ProgressLine
from deltaworks_gui.widgets.search_field import SearchField
from deltaworks_gui.widgets.state_cell import ROLE_ICONS, StateLabel
from deltaworks_gui.widgets.tables import prepare_tree

_PAGES = ("Library", "Families", "Workbench", "Results", "Playground", "Storage")
_ROWS = (
    ("Meridian 8B", "base", "8.03 B", "BF16", "16.1 GB", "", "", "ready", "Ready", ()),
    ("Meridian 8B Math", "expert", "8.03 B", "BF16", "16.1 GB", "", "100 %", "ready", "Ready", ()),
    ("Meridian 8B Math · RDC 0.5", "delta", "8.03 B", "0.51 bit", "0.52 GB", "15.6 GB", "99.1 %",
     "ready", "Ready", ("lossy",)),
    ("Meridian 8B Code", "expert", "8.03 B", "BF16", "16.1 GB", "", "100 %", "ready", "Ready", ()),
    ("Meridian 8B Code · lossless", "delta", "8.03 B", "bit-exact", "5.9 GB", "10.2 GB", "exact",
     "ready", "Ready", ("bit-exact",)),
    ("Meridian 8B Math+Code · TSV", "merge", "8.03 B", "BF16", "recipe", "16.1 GB", "≈ 94 %",
     "running", "Running", ("recipe",)),
    ("Meridian 8B Chat · Safe Delta", "repaired", "8.03 B", "BF16", "16.1 GB", "", "98.2 %",
     "in-use", "In use", ()),
    ("Meridian 8B Math copy", "expert", "8.03 B", "BF16", "0 B", "", "100 %", "duplicate",
     "Duplicate", ()),
    ("Lark 1.5B Legal", "expert", "1.54 B", "BF16", "2.2 GB", "", "", "incomplete", "Incomplete",
     ()),
    ("Lark 1.5B Mail", "expert", "1.54 B", "BF16", "3.1 GB", "", "", "unsafe", "Unsafe format", ()),
    ("old-finetune-ckpt", "unknown", "7.24 B", "F16", "14.5 GB", "", "", "missing", "Missing", ()),
)  # fmt: skip
_COLUMNS = ("Name", "Role", "Parameters", "Type", "On disk", "Saved", "Quality", "State")
_RIGHT = (2, 4, 5, 6)


def render(scheme: str, text_scale: float, folder: Path, suffix: str) -> None:
    """Draw every page of the gallery in one theme."""
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    current_theme().apply(app, scheme, text_scale=text_scale)
    ring = FocusRing(app)
    current_theme().reduced_motion = True  # nothing half faded in the pictures
    pages = {
        "library": _library,
        "workbench": workbench,
        "welcome": _welcome,
        "controls": controls,
        "windows": windows,
    }
    for row, (name, build) in enumerate(pages.items()):
        window = _window(build(), row)
        window.show()
        for field in window.findChildren(QWidget, "focus_here"):
            field.setFocus(Qt.FocusReason.TabFocusReason)
        app.processEvents()
        window.grab().save(str(folder / f"{name}-{suffix}.png"))
        window.close()
        window.deleteLater()
    ring.deleteLater()


def _window(page: QWidget, row: int) -> QMainWindow:
    window = QMainWindow()
    window.resize(1280, 800)
    for title in ("File", "Edit", "Model", "Jobs", "View", "Help"):
        window.menuBar().addMenu(title).addAction(title)
    nav = NavList([(title.lower(), title) for title in _PAGES])
    nav.setCurrentRow({0: 0, 1: 2, 2: 0, 3: 5, 4: 3}[row])
    nav.set_badge(3, 1)
    centre = QWidget()
    line = row_of(nav, page, margin=0, spacing=0)
    line.setStretch(1, 1)
    centre.setLayout(line)
    window.setCentralWidget(centre)
    status = window.statusBar()
    status.setContentsMargins(SPACE_M, 0, SPACE_M, 0)
    status.addWidget(
        Chip("GPU 0 running · 11.2 / 24 GB", dot="accent", object_name="LaneChip_gpu0")
    )
    status.addWidget(Chip("CPU idle", dot="text-3"))
    status.addWidget(QLabel("Compress 2 experts"))
    progress = ProgressLine(thin=True)
    progress.set_value(460)
    status.addWidget(progress)
    status.addPermanentWidget(quiet_button("Saved so far: 412 GB"))
    status.addPermanentWidget(QLabel("Free: 210 GB"))
    return window


def _welcome() -> QWidget:
    header = PageHeader("Library")
    header.add_lead(SearchField("Search name, family, tag, path"))
    header.add_action(secondary_button("Download…", icon="download"))
    header.add_action(secondary_button("Add folder…", icon="plus"))
    empty = EmptyState(
        "Empty_Library",
        "Welcome",
        "See what your models weigh, and make the fine-tunes small.",
        primary="Try the demo",
        secondary="Add folder…",
        secondary_icon="plus",
        illustration="welcome",
        hint="or drop a folder of models anywhere in this window",
    )
    return page_of(header, empty)


def _library() -> QWidget:
    header = PageHeader("Library")
    header.add_lead(SearchField("Search name, family, tag, path"))
    header.add_lead(quiet_button("Filter", icon="filter"))
    header.add_action(secondary_button("Download…", icon="download"))
    header.add_action(secondary_button("Add folder…", icon="plus"))
    banner = Banner()
    banner.post(
        BannerMessage(
            "Done: 1.03 GB instead of 16.1 GB, 99.1 % of quality kept",
            "good",
            actions=(BannerAction("a", "Show delta"), BannerAction("b", "Try it in Playground")),
        )
    )
    split = QSplitter()
    split.addWidget(_table())
    split.addWidget(_inspector())
    split.setSizes([920, 272])
    split.setStretchFactor(0, 1)
    return page_of(header, banner, split)


def _table() -> QTreeView:
    model = QStandardItemModel()
    model.setHorizontalHeaderLabels(list(_COLUMNS))
    for name, role, params, kind, size, saved, quality, state, word, badges in _ROWS:
        texts = (name, role.capitalize(), params, kind, size, saved, quality, word)
        items = [QStandardItem(text) for text in texts]
        items[0].setData(ROLE_ICONS[role], PaintRole.ICON)
        items[0].setData(badges, PaintRole.BADGES)
        items[5].setData("good", PaintRole.TONE)
        items[7].setData(state, PaintRole.STATE)
        model.appendRow(items)
    view = QTreeView()
    model.setParent(view)
    for column in _RIGHT:
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        model.setHeaderData(
            column, Qt.Orientation.Horizontal, right, Qt.ItemDataRole.TextAlignmentRole
        )
    view.setModel(model)
    view.setRootIsDecorated(False)
    prepare_tree(view, accessible_name="Models")
    _delegate(view)
    view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
    view.header().setSortIndicator(4, Qt.SortOrder.DescendingOrder)
    rows = QItemSelectionModel.SelectionFlag.Rows | QItemSelectionModel.SelectionFlag.Select
    view.header().setSortIndicatorShown(True)
    for row in (1, 3):
        view.selectionModel().select(model.index(row, 0), rows)
    return view


def _delegate(view: QTreeView) -> None:
    view.setItemDelegate(CellDelegate(view, tone="text-2"))
    view.setItemDelegateForColumn(0, NameDelegate(view))
    for column in _RIGHT:
        view.setItemDelegateForColumn(column, NumberDelegate(view))
    view.setItemDelegateForColumn(7, StateDelegate(view))
    for column, width in enumerate((290, 82, 90, 80, 86, 80, 76, 120)):
        view.setColumnWidth(column, width)


def _inspector() -> QWidget:
    panel = QWidget()
    set_look(panel, surface="panel")
    column = QVBoxLayout(panel)
    column.setContentsMargins(0, 0, 0, SPACE_L)
    column.setSpacing(0)
    tabs = QTabBar()
    for name in ("Overview", "Tensors", "Recipe", "Used by"):
        tabs.addTab(name)
    column.addWidget(tabs)
    column.addWidget(rule())
    inner = QVBoxLayout()
    inner.setContentsMargins(SPACE_L, SPACE_S, SPACE_L, 0)
    inner.setSpacing(SPACE_S)
    title = QLabel("2 experts selected")
    set_look(title, role="subtitle")
    under = ElidedLabel("Meridian 8B Math, Meridian 8B Code, Meridian 8B Chat")
    set_look(under, role="secondary")
    facts = FactList()
    facts.set_fact("base", "Common base", "Meridian 8B")
    facts.set_widget("match", "Match", StateLabel("match", "99.8 %, distance .031"))
    facts.set_fact("disk", "On disk", "32.2 GB")
    facts.set_fact("deltas", "As deltas, about", "1.0 GB", tone="accent")
    facts.set_fact("cosine", "Deltas' cosine", "0.12")
    parts: tuple[QWidget, ...] = (title, under, facts, caption("What next"))
    for part in parts:
        inner.addWidget(part)
    for button in (
        primary_button("Compress…", icon="delta"),
        secondary_button("Merge…", icon="merge"),
        secondary_button("Safety repair…", icon="repaired"),
    ):
        set_look(button, align="start")
        inner.addWidget(button)
    inner.addStretch(1)
    column.addLayout(inner, 1)
    return panel
