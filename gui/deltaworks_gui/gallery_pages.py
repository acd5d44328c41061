"""What the gallery shows: likenesses of pages, made of the widgets alone.

Names and numbers are invented.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QRadioButton,
    QSlider,
    QSpinBox,
    QSplitter,
    QTabBar,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XL, current_theme, set_look
from deltaworks_gui.widgets.banner import Banner, BannerAction, BannerMessage
from deltaworks_gui.widgets.busy import Busy
from deltaworks_gui.widgets.buttons import (
    danger_button,
    icon_button,
    make_button,
    primary_button,
    quiet_button,
    secondary_button,
)
from deltaworks_gui.widgets.card import Card, caption, rule
from deltaworks_gui.widgets.chip import Chip
from deltaworks_gui.widgets.delegates import (
    CellDelegate,
    NameDelegate,
    NumberDelegate,
    PaintRole,
    ProgressDelegate,
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
from deltaworks_gui.widgets.segmented import SegmentedControl
from deltaworks_gui.widgets.state_cell import ROLE_ICONS, STATE_LOOKS, StateLabel
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
    FocusRing(app)
    current_theme().reduced_motion = True  # nothing half faded in the pictures
    pages = {
        "library": _library,
        "workbench": _workbench,
        "welcome": _welcome,
        "controls": _controls,
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


def _window(page: QWidget, row: int) -> QMainWindow:
    window = QMainWindow()
    window.resize(1280, 800)
    for title in ("File", "Edit", "Model", "Jobs", "View", "Help"):
        window.menuBar().addMenu(title).addAction(title)
    nav = NavList([(title.lower(), title) for title in _PAGES])
    nav.setCurrentRow({0: 0, 1: 2, 2: 0, 3: 5}[row])
    nav.set_badge(3, 1)
    centre = QWidget()
    line = _row(nav, page, margin=0, spacing=0)
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


def _page(header: PageHeader, *parts: QWidget) -> QWidget:
    page = QWidget()
    set_look(page, surface="page")
    column = QVBoxLayout(page)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(header)
    for part in parts:
        column.addWidget(part, 0 if isinstance(part, Banner) else 1)
    return page


def _row(*widgets: QWidget, margin: int = 0, spacing: int = SPACE_M) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(margin, margin, margin, margin)
    row.setSpacing(spacing)
    for widget in widgets:
        row.addWidget(widget)
    return row


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
    return _page(header, empty)


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
    return _page(header, banner, split)


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
    for column, width in enumerate((280, 76, 90, 80, 90, 82, 80, 120)):
        view.setColumnWidth(column, width)


def _inspector() -> QWidget:
    panel = QWidget()
    set_look(panel, surface="panel")
    column = QVBoxLayout(panel)
    column.setContentsMargins(0, 0, 0, SPACE_L)
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


def _workbench() -> QWidget:
    header = PageHeader("Workbench")
    names = ("Compress", "Merge", "Safety repair", "Transfer", "Fuse vision", "Grow")
    header.add_lead(SegmentedControl([(n.lower(), n) for n in names], object_name="OpSwitch"))
    balanced = QComboBox()
    balanced.addItems(["Balanced"])
    set_look(balanced, flat=True)
    header.add_action(balanced)
    body = QWidget()
    row = _row(_inputs(), _method(), _cost(), spacing=0)
    row.setStretch(1, 1)
    body.setLayout(row)
    return _page(header, body)


def _inputs() -> QWidget:
    column = QWidget()
    column.setFixedWidth(321)
    inner = QVBoxLayout(column)
    inner.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
    inner.setSpacing(SPACE_S + 2)
    inner.addWidget(_slot("Base", "Meridian 8B", "16.1 GB · hash verified", "base"))
    inner.addWidget(caption("Experts"))
    inner.addWidget(
        _slot("Expert 1", "Meridian 8B Math", "16.1 GB", "expert", "match",
              "Match · 99.8 % of tensors fit, distance .031")
    )  # fmt: skip
    inner.addWidget(
        _slot("Expert 2", "Lark 1.5B Legal", "3.1 GB", "expert", "doubtful",
              "Doubtful · distance 1.38; Lark 1.5B fits better")
    )  # fmt: skip
    inner.addWidget(make_button("Add expert", "dashed", icon="plus"))
    inner.addStretch(1)
    return column


def _slot(
    title: str, name: str, under: str, role: str, state: str = "", guard: str = ""
) -> QWidget:
    card = Card(title)
    icon = QLabel()
    theme = current_theme()
    icon.setPixmap(theme.pixmap(role, "accent", 20, icon.devicePixelRatioF()))
    first, second = QLabel(name), QLabel(under)
    set_look(first, role="strong")
    set_look(second, role="secondary")
    texts = QVBoxLayout()
    texts.setSpacing(0)
    texts.addWidget(first)
    texts.addWidget(second)
    line = _row(icon)
    line.addLayout(texts, 1)
    line.addWidget(icon_button("more", f"More for {name}", compact=True))
    card.body.addLayout(line)
    if state:
        card.add(rule())
        card.add(StateLabel(state, guard, wrap=True))
    return card


def _method() -> QWidget:
    column = QWidget()
    inner = QVBoxLayout(column)
    inner.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_L)
    inner.setSpacing(SPACE_S)
    inner.addWidget(caption("Method"))
    method = QComboBox()
    method.addItems(["RDC · rate–distortion codec", "BitDelta"])
    inner.addWidget(method)
    about = QLabel(
        "Spends bits where the model feels them, then entropy-codes. "
        "Any size from 0.05 to 4 bits a weight."
    )
    about.setWordWrap(True)
    set_look(about, role="secondary")
    inner.addWidget(about)
    form = QGridLayout()
    form.setSpacing(SPACE_S + 2)
    bits = QLineEdit("0.25, 0.5, 1, 2")
    bits.setObjectName("focus_here")
    rank = QSpinBox()
    rank.setSuffix(" ranks")
    rank.setValue(32)
    for place, (label, field) in enumerate(
        (("Bits per weight", bits), ("Weighting", QComboBox()), ("Low-rank head", rank))
    ):
        text = QLabel(label)
        set_look(text, role="fact")
        sweep = quiet_button("Sweep")
        sweep.setCheckable(True)
        sweep.setChecked(place == 0)
        form.addWidget(text, place, 0)
        form.addWidget(field, place, 1)
        form.addWidget(sweep, place, 2)
    form.setColumnMinimumWidth(0, 150)
    form.setColumnStretch(1, 1)
    inner.addLayout(form)
    inner.addWidget(quiet_button("Advanced", icon="chevron-right"), 0, Qt.AlignmentFlag.AlignLeft)
    well = Card("Also compare with", kind="well")
    checks = [QCheckBox(text) for text in ("BitDelta", "ImPart", "Delta-DCT", "Lossless")]
    for check in checks[:2]:
        check.setChecked(True)
    well.body.addLayout(_row(*checks))
    inner.addWidget(well)
    inner.addStretch(1)
    return column


def _cost() -> QWidget:
    panel = QWidget()
    panel.setFixedWidth(317)
    set_look(panel, surface="panel")
    column = QVBoxLayout(panel)
    column.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
    column.addWidget(caption("Cost"))
    facts = FactList(accessible_name="Cost")
    facts.set_fact("reads", "Reads", "48.3 GB")
    facts.set_fact("writes", "Writes", "at most 3.2 GB · 207 GB free after")
    facts.set_fact("memory", "Peak memory", "9.4 of 24 GB · fits")
    facts.set_fact("time", "Time", "8 to 11 min")
    lane = QComboBox()
    lane.addItems(["GPU 0", "CPU"])
    set_look(lane, flat=True)
    facts.set_widget("lane", "Lane", lane)
    column.addWidget(facts)
    column.addStretch(1)
    column.addWidget(primary_button("Run 14 trials", large=True))
    column.addLayout(
        _row(secondary_button("Add to queue"), secondary_button("Save recipe…"), spacing=SPACE_S)
    )
    return panel


def _controls() -> QWidget:
    header = PageHeader("Controls")
    header.add_action(primary_button("Keep this delta"))
    body = QWidget()
    grid = QGridLayout(body)
    grid.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_XL)
    grid.setSpacing(SPACE_XL)
    grid.addWidget(_buttons_card(), 0, 0)
    grid.addWidget(_fields_card(), 0, 1)
    grid.addWidget(_states_card(), 1, 0)
    grid.addWidget(_jobs_card(), 1, 1)
    grid.setRowStretch(2, 1)
    banners = []
    for kind, text in (("warn", "Disk reserve reached: the queue is held"), ("bad", "Job stopped")):
        banner = Banner()
        banner.post(BannerMessage(text, kind, actions=(BannerAction("x", "Open Storage"),)))  # type: ignore[arg-type]  # two of the kinds
        banners.append(banner)
    info = Banner()
    info.post(
        BannerMessage("Scanning ~/models: 212 models", "info", actions=(BannerAction("s", "Stop"),))
    )
    return _page(header, *banners, info, body)


def _buttons_card() -> QWidget:
    card = Card("Buttons")
    off = primary_button("Run")
    off.setEnabled(False)
    grey = secondary_button("Add to queue", icon="plus")
    grey.setEnabled(False)
    focused = secondary_button("Focused", name="focus_here")
    card.body.addLayout(_row(primary_button("Run", icon="play"), focused, quiet_button("Quiet")))
    card.body.addLayout(_row(off, grey, danger_button("Move to trash", icon="trash")))
    icons = ("plus", "download", "columns", "settings", "copy", "export", "undo", "help", "moon")
    card.body.addLayout(_row(*(icon_button(i, i) for i in icons), spacing=0))
    card.add(SegmentedControl([("a", "Size"), ("b", "% of full model"), ("c", "Bits per weight")]))
    return card


def _fields_card() -> QWidget:
    card = Card("Fields")
    form = QFormLayout()
    wrong = QLineEdit("-3")
    set_look(wrong, invalid=True)
    grey = QLineEdit("Disabled")
    grey.setEnabled(False)
    real = QDoubleSpinBox()
    real.setValue(0.5)
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setValue(40)
    check, radio, mixed = QCheckBox("Checked"), QRadioButton("Chosen"), QCheckBox("Partly")
    check.setChecked(True)
    radio.setChecked(True)
    mixed.setTristate(True)
    mixed.setCheckState(Qt.CheckState.PartiallyChecked)
    form.addRow("Wrong", wrong)
    form.addRow("Greyed", grey)
    form.addRow("Real", real)
    form.addRow("Slider", slider)
    form.addRow("Marks", _row(check, mixed, radio, QCheckBox("Off"), QRadioButton("Other")))
    card.body.addLayout(form)
    return card


def _states_card() -> QWidget:
    card = Card("States")
    grid = QGridLayout()
    states = tuple(STATE_LOOKS)[:20]
    for place, state in enumerate(states):
        grid.addWidget(StateLabel(state, state.capitalize()), place // 4, place % 4)
    card.body.addLayout(grid)
    card.body.addLayout(
        _row(Chip("lossy"), Chip("bit-exact"), Chip("warn", icon="warning"), Busy())
    )
    card.add(
        ElidedLabel(
            "/home/someone/models/a/very/long/path/that/goes/on/model.safetensors", is_path=True
        )
    )
    return card


def _jobs_card() -> QWidget:
    card = Card("Jobs and log")
    model = QStandardItemModel(0, 2)
    model.setHorizontalHeaderLabels(["Job", "Progress"])
    for name, value, text in (
        ("Compress 2 experts · sweep", 460, "trial 6/14 · layer 17/32 · 46 %"),
        ("Scan ~/models", -1, "212 models"),
    ):
        progress = QStandardItem(text)
        progress.setData(value, PaintRole.PROGRESS)
        model.appendRow([QStandardItem(name), progress])
    view = QTreeView()
    model.setParent(view)
    view.setModel(model)
    prepare_tree(view)
    view.setRootIsDecorated(False)
    view.setItemDelegate(CellDelegate(view))
    view.setItemDelegateForColumn(1, ProgressDelegate(view))
    view.setColumnWidth(0, 200)
    view.setFixedHeight(110)
    log = QPlainTextEdit("12:04:11 engine INFO layer 17/32 mlp.up_proj 0.51 bit")
    set_look(log, role="mono")
    log.setFixedHeight(60)
    card.add(view)
    card.add(log)
    return card
