"""The gallery's likeness of the Workbench, and every control in its states."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QRadioButton,
    QSlider,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.gallery_parts import page_of, row_of
from deltaworks_gui.theme import SPACE_L, SPACE_S, SPACE_XL, current_theme, set_look
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
    PaintRole,
    ProgressDelegate,
)
from deltaworks_gui.widgets.elided_label import ElidedLabel
from deltaworks_gui.widgets.fact_list import FactList
from deltaworks_gui.widgets.header import PageHeader
from deltaworks_gui.widgets.number_field import IntField, RealField
from deltaworks_gui.widgets.segmented import SegmentedControl
from deltaworks_gui.widgets.state_cell import STATE_LOOKS, StateLabel
from deltaworks_gui.widgets.tables import prepare_tree


def workbench() -> QWidget:
    """Inputs, method, cost."""
    header = PageHeader("Workbench")
    names = ("Compress", "Merge", "Safety repair", "Transfer", "Fuse vision", "Grow")
    header.add_lead(SegmentedControl([(n.lower(), n) for n in names], object_name="OpSwitch"))
    balanced = QComboBox()
    balanced.addItems(["Balanced"])
    set_look(balanced, flat=True)
    header.add_action(balanced)
    body = QWidget()
    row = row_of(_inputs(), _method(), _cost(), spacing=0)
    row.setStretch(1, 1)
    body.setLayout(row)
    return page_of(header, body)


def _inputs() -> QWidget:
    column = QWidget()
    column.setFixedWidth(322)
    set_look(column, surface="left")
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
    line = row_of(icon)
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
    rank = IntField(1, 512, unit="ranks")
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
    advanced = quiet_button("Advanced", icon="chevron-right")
    set_look(advanced, align="start")
    inner.addWidget(advanced, 0, Qt.AlignmentFlag.AlignLeft)
    well = Card("Also compare with", kind="well")
    checks = [QCheckBox(text) for text in ("BitDelta", "ImPart", "Delta-DCT", "Lossless")]
    for check in checks[:2]:
        check.setChecked(True)
    well.body.addLayout(row_of(*checks))
    inner.addWidget(well)
    inner.addStretch(1)
    return column


def _cost() -> QWidget:
    panel = QWidget()
    panel.setFixedWidth(317)
    set_look(panel, surface="right")
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
        row_of(secondary_button("Add to queue"), secondary_button("Save recipe…"), spacing=SPACE_S)
    )
    return panel


def controls() -> QWidget:
    """Buttons, fields, states, jobs."""
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
    return page_of(header, *banners, info, body)


def _buttons_card() -> QWidget:
    card = Card("Buttons")
    off = primary_button("Run")
    off.setEnabled(False)
    grey = secondary_button("Add to queue", icon="plus")
    grey.setEnabled(False)
    focused = secondary_button("Focused", name="focus_here")
    card.body.addLayout(row_of(primary_button("Run", icon="play"), focused, quiet_button("Quiet")))
    card.body.addLayout(row_of(off, grey, danger_button("Move to trash", icon="trash")))
    icons = ("plus", "download", "columns", "settings", "copy", "export", "undo", "help", "moon")
    card.body.addLayout(row_of(*(icon_button(i, i) for i in icons), spacing=0))
    card.add(SegmentedControl([("a", "Size"), ("b", "% of full model"), ("c", "Bits per weight")]))
    return card


def _fields_card() -> QWidget:
    card = Card("Fields")
    form = QFormLayout()
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    wrong = QLineEdit("-3")
    set_look(wrong, invalid=True)
    grey = QLineEdit("Disabled")
    grey.setEnabled(False)
    real = RealField()
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
    form.addRow("Marks", row_of(check, mixed, radio, QCheckBox("Off"), QRadioButton("Other")))
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
        row_of(Chip("lossy"), Chip("bit-exact"), Chip("warn", icon="warning"), Busy())
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
