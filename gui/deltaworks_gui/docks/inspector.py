"""The Inspector: facts about whatever is selected."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QDockWidget,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QTabBar,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from deltaworks_gui.actions import ActionSet
from deltaworks_gui.docks.dock_title import DockTitle
from deltaworks_gui.docks.inspector_tensors import TensorsView
from deltaworks_gui.docks.subjects import Subject
from deltaworks_gui.formats import format_exact_size, format_size
from deltaworks_gui.lanes.tasks import TaskPool
from deltaworks_gui.theme import SPACE_L, SPACE_M, SPACE_S, set_look
from deltaworks_gui.widgets.card import caption
from deltaworks_gui.widgets.delegates import CellDelegate, NumberDelegate, PaintRole
from deltaworks_gui.widgets.elided_label import ElidedLabel
from deltaworks_gui.widgets.fact_list import FactList
from deltaworks_gui.widgets.tables import prepare_tree

WIDTH = 300
_TENSORS, _RECIPE, _FILES, _NOTHING = 1, 2, 3, 4
"""Places of the tabs after the overview, and of what stands there without a subject."""


class InspectorDock(QDockWidget):
    """Overview, tensors, recipe and files of a ``Subject``.

    Args:
        tasks: reads headers beside the window's thread.
    """

    def __init__(self, tasks: TaskPool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("InspectorDock")
        self.setWindowTitle(self.tr("Inspector"))
        self._subject: Subject | None = None
        self._actions: ActionSet | None = None
        self._empty = QLabel(self.tr("Select a model, a point or a job"))
        self._empty.setObjectName("Empty_Inspector")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        set_look(self._empty, role="hint", surface="panel")
        self._overview = _Overview()
        self.tensors = TensorsView(tasks)
        self._recipe = QPlainTextEdit()
        self._recipe.setReadOnly(True)
        self._recipe.setObjectName("InspectorRecipe")
        self._recipe.setAccessibleName(self.tr("Recipe"))
        set_look(self._recipe, role="mono")
        self._files = QTreeWidget()
        self._build_files()
        self._tabs = QTabBar()
        self._tabs.setObjectName("InspectorTabs")
        self._tabs.setAccessibleName(self.tr("Inspector"))
        self._tabs.setExpanding(False)
        titles = (self.tr("Overview"), self.tr("Tensors"), self.tr("Recipe"), self.tr("Files"))
        for title in titles:
            self._tabs.addTab(title)
        self._stack = QStackedWidget()
        overview = _scrolled(self._overview)
        for widget in (overview, self.tensors, self._recipe, self._files, self._empty):
            self._stack.addWidget(widget)
        self.title = DockTitle(self, self._tabs)
        self.setTitleBarWidget(self.title)
        self._stack.setMinimumWidth(WIDTH)
        self.setWidget(self._stack)
        self._tabs.currentChanged.connect(self._on_tab)
        self.show_subject(None)

    @property
    def subject(self) -> Subject | None:
        """What it is about now."""
        return self._subject

    def sizeHint(self) -> QSize:
        """As wide as in the product's pictures."""
        return QSize(WIDTH, 400)

    def set_actions(self, actions: ActionSet) -> None:
        """Where the offers of a subject come from."""
        self._actions = actions

    @Slot(object)
    def show_subject(self, subject: Subject | None) -> None:
        """Be about something else; None when nothing is selected."""
        self._subject = subject
        if subject is not None:
            self._overview.show_subject(subject, self._offers(subject))
            self._recipe.setPlainText(subject.recipe)
            self._show_files(subject)
        self._tabs.setTabEnabled(_TENSORS, subject is not None and bool(subject.path))
        self._tabs.setTabEnabled(_RECIPE, subject is not None and bool(subject.recipe))
        self._tabs.setTabEnabled(_FILES, subject is not None and bool(subject.files))
        self._on_tab()

    def _offers(self, subject: Subject) -> list[QAction]:
        actions = self._actions
        if actions is None:
            return []
        return [actions[name] for name in subject.actions if name in actions]

    def _build_files(self) -> None:
        self._files.setHeaderLabels([self.tr("File"), self.tr("Size")])
        self._files.setRootIsDecorated(False)
        prepare_tree(self._files, name="InspectorFiles", accessible_name=self.tr("Files"))
        self._files.setItemDelegate(CellDelegate(self._files))
        self._files.setItemDelegateForColumn(1, NumberDelegate(self._files, tone="text-2"))
        self._files.setColumnWidth(0, WIDTH - 90)

    def _show_files(self, subject: Subject) -> None:
        self._files.clear()
        for file in subject.files:
            name = file.path.replace("\\", "/").rpartition("/")[2]
            item = QTreeWidgetItem([name, format_size(file.size_bytes)])
            item.setToolTip(0, file.path)
            item.setToolTip(1, format_exact_size(file.size_bytes))
            item.setData(0, PaintRole.FOLDED, True)
            item.setData(0, PaintRole.STRONG, file.is_weight)
            self._files.addTopLevelItem(item)

    @Slot()
    def _on_tab(self) -> None:
        place = _NOTHING if self._subject is None else self._tabs.currentIndex()
        if place == _TENSORS and self._subject is not None:
            self.tensors.show_path(self._subject.path)
        self._stack.setCurrentIndex(place)


class _Overview(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._title = QLabel()
        self._title.setWordWrap(True)
        self._title.setObjectName("InspectorTitle")
        set_look(self._title, role="subtitle")
        self._subtitle = ElidedLabel(is_path=True)
        set_look(self._subtitle, role="secondary")
        self._facts = FactList(accessible_name=self.tr("Facts"))
        self._next = caption(self.tr("What next"))
        self._buttons: list[QPushButton] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        self._column.setSpacing(SPACE_S)
        self._column.addWidget(self._title)
        self._column.addWidget(self._subtitle)
        self._column.addSpacing(SPACE_S)
        self._column.addWidget(self._facts)
        self._column.addSpacing(SPACE_M)
        self._column.addWidget(self._next)
        self._column.addStretch(1)
        set_look(self, surface="panel")

    def show_subject(self, subject: Subject, offers: list[QAction]) -> None:
        self._title.setText(subject.title)
        self._subtitle.setText(subject.subtitle)
        self._subtitle.setVisible(bool(subject.subtitle))
        self._facts.clear()
        for number, fact in enumerate(one for one in subject.facts if one.value):
            self._facts.set_fact(
                str(number), fact.label, fact.value, tone=fact.tone, tooltip=fact.tip
            )
        for button in self._buttons:
            self._column.removeWidget(button)
            button.deleteLater()
        self._buttons = [_ActionButton(action, first=not at) for at, action in enumerate(offers)]
        for button in self._buttons:
            self._column.insertWidget(self._column.count() - 1, button)
        self._next.setVisible(bool(offers))


class _ActionButton(QPushButton):
    """A button that does an action and is enabled when it is."""

    def __init__(self, action: QAction, *, first: bool) -> None:
        super().__init__(action.text())
        self._action = action
        self.setObjectName(f"offer_{action.objectName()}")
        self.setAccessibleName(action.text())
        set_look(self, kind="primary" if first else "secondary")
        self.clicked.connect(action.trigger)
        action.changed.connect(self._follow)
        self._follow()

    @Slot()
    def _follow(self) -> None:
        self.setEnabled(self._action.isEnabled())
        self.setToolTip(self._action.statusTip())


def _scrolled(widget: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(widget)
    area.setWidgetResizable(True)
    area.setAccessibleName(widget.accessibleName())
    set_look(area, surface="panel")
    return area
