"""The gallery's likeness of docks, menus, lists that drop down and dialogs."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QDockWidget,
    QGroupBox,
    QLabel,
    QListWidget,
    QMainWindow,
    QMenu,
    QPlainTextEdit,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.gallery_parts import page_of, row_of
from deltaworks_gui.theme import SPACE_L, SPACE_XL, current_theme, set_look
from deltaworks_gui.widgets.buttons import danger_button, icon_button, quiet_button
from deltaworks_gui.widgets.card import Card
from deltaworks_gui.widgets.choice_field import ChoiceField
from deltaworks_gui.widgets.header import PageHeader


def windows() -> QWidget:
    """A window in the window: docks at its sides, and what floats above it."""
    inner = QMainWindow()
    inner.setCentralWidget(_floating())
    right = QDockWidget("Inspector", inner)
    tabs = QTabWidget()
    tabs.addTab(QLabel("Overview"), "Overview")
    tabs.addTab(QLabel("Tensors"), "Tensors")
    right.setWidget(tabs)
    inner.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, right)
    jobs, log = QDockWidget("Jobs", inner), QDockWidget("Log", inner)
    rows = QListWidget()
    rows.addItems(["Compress 2 experts · sweep", "Verify Meridian 8B"])
    rows.setCurrentRow(0)
    jobs.setWidget(rows)
    log.setWidget(QPlainTextEdit("layer 17/32\n" * 20))
    for dock in (jobs, log):
        inner.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
    inner.tabifyDockWidget(jobs, log)
    inner.setTabPosition(Qt.DockWidgetArea.BottomDockWidgetArea, QTabWidget.TabPosition.North)
    header = PageHeader("Windows")
    header.add_action(icon_button("help", "Help"))
    return page_of(header, inner)


def _floating() -> QWidget:
    place = QWidget()
    set_look(place, surface="page")
    column = QVBoxLayout(place)
    column.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_XL)
    menu, combo, dialog = _menu(place), _combo(place), _dialog(place)
    pictures = [_picture(widget) for widget in (menu, combo.view().window(), dialog)]
    column.addLayout(row_of(*pictures, spacing=SPACE_L))
    column.addStretch(1)
    for widget in (menu, combo, dialog):
        widget.hide()
    return place


def _picture(widget: QWidget) -> QLabel:
    widget.ensurePolished()
    label = QLabel()
    label.setPixmap(widget.grab())
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    return label


def _menu(parent: QWidget) -> QMenu:
    menu = QMenu(parent)
    theme = current_theme()
    for icon, text, keys in (
        ("base", "Use as base", "B"),
        ("expert", "Add as expert", "E"),
        ("delta", "Compress…", "Ctrl+1"),
        ("trash", "Move files to trash…", "Shift+Del"),
    ):
        action = menu.addAction(text)
        action.setShortcut(keys)
        action.setShortcutVisibleInContextMenu(True)
        theme.bind_icon(action, icon)
    menu.addSeparator()
    for text, on in (("Quality", True), ("Safety", False)):
        action = menu.addAction(text)
        action.setCheckable(True)
        action.setChecked(on)
    menu.addAction("Not now").setEnabled(False)
    menu.addMenu("Theme").addAction("Dark")
    menu.setActiveAction(menu.actions()[2])
    return menu


def _combo(parent: QWidget) -> ChoiceField:
    names = ("RDC · rate–distortion codec", "BitDelta", "ImPart", "Delta-DCT", "Lossless")
    combo = ChoiceField([(name, name) for name in names], parent=parent)
    combo.view().setCurrentIndex(combo.model().index(1, 0))
    combo.view().window().resize(260, 170)
    return combo


def _dialog(parent: QWidget) -> QDialog:
    dialog = QDialog(parent)
    column = QVBoxLayout(dialog)
    column.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_XL)
    column.setSpacing(SPACE_L)
    title = QLabel("Move 2 models to trash?")
    set_look(title, role="subtitle")
    column.addWidget(title)
    group = QGroupBox("Files")
    inside = QVBoxLayout(group)
    inside.setContentsMargins(0, 0, 0, 0)
    inside.addWidget(QLabel("~/models/old-finetune-ckpt/model.safetensors"))
    column.addWidget(group)
    well = Card("Frees 14.5 GB when emptied", kind="well")
    well.add(quiet_button("Show in file manager", icon="folder"))
    column.addWidget(well)
    buttons = QDialogButtonBox()
    buttons.addButton(danger_button("Move to trash"), QDialogButtonBox.ButtonRole.AcceptRole)
    buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
    column.addWidget(buttons)
    return dialog
