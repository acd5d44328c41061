"""Storage: where the disk went, and what can go."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from deltaworks.library.rows import ModelRow
from deltaworks.library.storage import KINDS, VolumeUse
from deltaworks_gui.context import AppContext
from deltaworks_gui.formats import format_size
from deltaworks_gui.page import Page
from deltaworks_gui.pages.storage_controller import UNUSED_DAYS, StorageController, StorageState
from deltaworks_gui.pages.storage_tables import ModelTable, ReclaimTable
from deltaworks_gui.payloads import LibraryChoice
from deltaworks_gui.theme import SPACE_L, SPACE_XL, set_look
from deltaworks_gui.widgets.buttons import link_button, primary_button, secondary_button
from deltaworks_gui.widgets.card import Card
from deltaworks_gui.widgets.empty_state import EmptyState
from deltaworks_gui.widgets.fact_list import FactList
from deltaworks_gui.widgets.stack_bar import Part, StackBar

_FAMILIES = 5
"""How many families the savings name."""


class StoragePage(Page):
    """Shows the controller's figures; decides nothing."""

    def __init__(self, context: AppContext) -> None:
        super().__init__(context, "Storage", self.tr("Storage"))
        self.controller = StorageController(context, self)
        self._volumes: dict[str, tuple[QLabel, StackBar]] = {}
        self._build_header()
        self._measuring = EmptyState("Loading_Storage", self.tr("Measuring…"), busy=True)
        self._stack = QStackedWidget()
        self._body = self._build_body()
        self._stack.addWidget(self._measuring)
        self._stack.addWidget(self._body)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)
        self._connect()
        self._show()

    # Building

    def _build_header(self) -> None:
        self._empty = secondary_button(self.tr("Empty trash…"), icon="trash", name="btn_empty")
        self._reclaim = primary_button(self.tr("Reclaim…"), name="btn_reclaim")
        self.header.add_action(self._empty)
        self.header.add_action(self._reclaim)

    def _build_body(self) -> QScrollArea:
        self._disks = Card(self.tr("Disks"))
        self._saved = self._build_saved()
        self._safe = ReclaimTable("SafeTable", self.tr("Safe to reclaim"))
        self._call = ReclaimTable("CallTable", self.tr("Your call"))
        self._largest = ModelTable("LargestTable", self.tr("Largest"), "role")
        self._unused = ModelTable("UnusedTable", self.tr("Not used"), "used")
        self._safe_card = self._card(self.tr("Safe to reclaim"), self._safe)
        self._nothing = self._note(self.tr("Nothing here can go without losing something."))
        self._safe_card.add(self._nothing)
        self._call_card = self._card(self.tr("Your call"), self._call)
        self._largest_card = self._card(self.tr("Largest"), self._largest)
        title = self.tr("Not used for {0} days").format(UNUSED_DAYS)
        self._unused_card = self._card(title, self._unused)
        self._all_used = self._note(self.tr("Everything was used or changed since then."))
        self._unused_card.add(self._all_used)
        inside = QWidget()
        set_look(inside, surface="page")
        column = QVBoxLayout(inside)
        column.setContentsMargins(SPACE_XL, SPACE_L, SPACE_XL, SPACE_XL)
        column.setSpacing(SPACE_L)
        self._disks.body.setAlignment(Qt.AlignmentFlag.AlignTop)
        column.addLayout(_side_by_side(self._disks, self._saved, shares=(3, 2), top=False))
        column.addWidget(self._safe_card)
        column.addWidget(self._call_card)
        column.addLayout(_side_by_side(self._largest_card, self._unused_card, shares=(1, 1)))
        column.addStretch(1)
        area = QScrollArea()
        area.setObjectName("StorageScroll")
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        set_look(area, surface="page")
        return area

    def _build_saved(self) -> Card:
        card = Card(self.tr("Saved so far"))
        self._total = QLabel()
        self._total.setObjectName("SavedTotal")
        set_look(self._total, role="title")
        self._facts = FactList(accessible_name=self.tr("Saved so far"))
        self._trace = link_button(self.tr("How is this computed?"), name="btn_trace")
        card.add(self._total)
        card.add(self._facts)
        card.body.addStretch(1)
        card.body.addWidget(self._trace, 0, Qt.AlignmentFlag.AlignLeft)
        return card

    def _card(self, title: str, table: QWidget) -> Card:
        card = Card(title)
        card.add(table)
        return card

    def _note(self, text: str) -> QLabel:
        label = QLabel(text)
        set_look(label, role="secondary")
        return label

    def _connect(self) -> None:
        controller = self.controller
        controller.changed.connect(self._show)
        self._reclaim.clicked.connect(self._on_reclaim)
        self._empty.clicked.connect(self._on_empty)
        self._trace.clicked.connect(self._on_trace)
        for table in (self._safe, self._call):
            table.ticked.connect(controller.choose)
        for models in (self._largest, self._unused):
            models.opened.connect(self._on_opened)

    # Showing

    @Slot()
    def _show(self) -> None:
        state = self.controller.state
        self._stack.setCurrentWidget(self._measuring if state.is_measuring else self._body)
        if state.is_measuring:
            return
        self._show_volumes(state)
        self._show_saved(state)
        places = list(enumerate(state.reclaim))
        safe = [one for one in places if one[1].is_safe]
        call = [one for one in places if not one[1].is_safe]
        self._safe.show_things(safe, state.chosen)
        self._call.show_things(call, state.chosen)
        self._safe.setVisible(bool(safe))
        self._nothing.setVisible(not safe)
        self._call_card.setVisible(bool(call))
        self._largest.show_rows(state.largest)
        self._largest_card.setVisible(bool(state.largest))
        self._unused.show_rows(state.unused)
        self._unused.setVisible(bool(state.unused))
        self._all_used.setVisible(not state.unused)
        self._show_buttons(state)

    def _show_buttons(self, state: StorageState) -> None:
        chosen = self.controller.chosen
        size = format_size(sum(one.size_bytes for one in chosen))
        text = self.tr("Reclaim {0}…").format(size) if chosen else self.tr("Reclaim…")
        self._reclaim.setText(text)
        self._reclaim.setAccessibleName(text)
        self._reclaim.setEnabled(bool(chosen))
        tip = self.tr("Lists every file first; then moves them to the trash")
        self._reclaim.setToolTip(tip if chosen else self.tr("Tick what is to go first."))
        self._empty.setVisible(bool(state.trash))

    def _show_volumes(self, state: StorageState) -> None:
        for volume in state.volumes:
            if volume.mount not in self._volumes:
                label, bar = QLabel(), StackBar()
                bar.setObjectName(f"VolumeBar_{len(self._volumes)}")
                self._disks.add(label)
                self._disks.add(bar)
                self._volumes[volume.mount] = (label, bar)
            label, bar = self._volumes[volume.mount]
            free = format_size(volume.free)
            text = self.tr("{0}: {1} free of {2}")
            label.setText(text.format(volume.mount, free, format_size(volume.total)))
            bar.show_parts(_parts(volume, self.tr("Free")))

    def _show_saved(self, state: StorageState) -> None:
        saved = state.saved
        self._total.setText(format_size(saved.total))
        facts = [(self.tr("This month"), saved.this_month), *saved.by_family[:_FAMILIES]]
        self._facts.clear()
        for number, (label, size) in enumerate(facts):
            self._facts.set_fact(str(number), label or "?", format_size(size))
        self._trace.setVisible(bool(saved.parts))

    # The window's questions

    @property
    def wants_inspector(self) -> bool:
        """This page tells everything itself."""
        return False

    def activate(self, _payload: object = None) -> None:
        """Measure what changed."""
        self.controller.show_in_front(True)

    def deactivate(self) -> None:
        """Another page comes to the front."""
        self.controller.show_in_front(False)

    def focus_body(self) -> None:
        """Put the keyboard on what can go."""
        (self._safe if self._safe.isVisible() else self._largest).setFocus()

    # What was clicked

    @Slot()
    def _on_reclaim(self) -> None:
        from deltaworks_gui.dialogs.confirm_trash import ConfirmTrashDialog

        dialog = ConfirmTrashDialog(self.controller.going(), self.window(), self.context.settings)
        dialog.confirmed.connect(self.controller.take)
        dialog.open()

    @Slot()
    def _on_empty(self) -> None:
        from deltaworks_gui.dialogs.empty_trash import EmptyTrashDialog

        trash = self.controller.state.trash
        dialog = EmptyTrashDialog(trash, self.window(), self.context.settings)
        dialog.confirmed.connect(self.controller.empty_trash)
        dialog.open()

    @Slot()
    def _on_trace(self) -> None:
        from deltaworks_gui.dialogs.saved_trace import SavedTraceDialog

        saved = self.controller.state.saved
        SavedTraceDialog(saved.parts, self.window(), self.context.settings).open()

    @Slot(object)
    def _on_opened(self, row: ModelRow) -> None:
        self.context.navigator.show_page("Library", LibraryChoice((row.path,)))


def _parts(volume: VolumeUse, free: str) -> list[Part]:
    parts = [
        Part(kind, format_size(size), size, -1 if kind == "Other" else KINDS.index(kind))
        for kind in KINDS
        if (size := volume.kinds.get(kind, 0))
    ]
    return [*parts, Part(free, format_size(volume.free), volume.free, -2)]


def _side_by_side(
    left: QWidget, right: QWidget, *, shares: tuple[int, int], top: bool = True
) -> QHBoxLayout:
    """Two cards in a row; each as high as it needs, or both as high as the higher one."""
    row = QHBoxLayout()
    row.setSpacing(SPACE_L)
    for widget, share in zip((left, right), shares, strict=True):
        row.addWidget(widget, share)
        if top:
            row.setAlignment(widget, Qt.AlignmentFlag.AlignTop)
    return row
