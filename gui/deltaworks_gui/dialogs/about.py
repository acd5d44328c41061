"""Who we are, which versions run, where the files are."""

from __future__ import annotations

import importlib.metadata
import platform

from PySide6 import __version__ as binding_version
from PySide6.QtCore import qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialogButtonBox, QWidget

from deltaworks.library.home import Home
from deltaworks.product import DISPLAY_NAME, VERSION
from deltaworks_gui.dialogs.base import Dialog
from deltaworks_gui.widgets.buttons import make_button
from deltaworks_gui.widgets.fact_list import FactList

_PACKAGES = ("torch", "transformers", "safetensors", "numpy", "matplotlib", "huggingface_hub")


def versions() -> dict[str, str]:
    """What runs here, by name. Reads package records only; nothing is imported."""
    found = {DISPLAY_NAME: VERSION, "Python": platform.python_version()}
    found |= {"Qt": str(qVersion()), "PySide6": binding_version}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"System": platform.platform(terse=True)}


class AboutDialog(Dialog):
    """About."""

    def __init__(self, home: Home, parent: QWidget | None = None) -> None:
        super().__init__("DlgAbout", DISPLAY_NAME, parent)
        self.setWindowTitle(self.tr("About {0}").format(DISPLAY_NAME))
        self.resize(480, 420)
        self.sentence(
            self.tr("Makes fine-tuned models small, merges them, and shows what it costs."), "lead"
        )
        facts = FactList(accessible_name=self.tr("Versions"))
        rows = versions() | {self.tr("Data"): str(home.root), self.tr("Logs"): str(home.logs)}
        for name, value in rows.items():
            facts.set_fact(name, name, value)
        self._text = "\n".join(f"{name}: {value}" for name, value in rows.items())
        self.body.addWidget(facts)
        self.body.addStretch(1)
        copy = make_button(self.tr("Copy"), name="btn_copy")
        close = make_button(self.tr("Close"), "primary", name="btn_close")
        self.buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.addButton(close, QDialogButtonBox.ButtonRole.RejectRole)
        close.setDefault(True)
        copy.clicked.connect(self._on_copy)
        close.clicked.connect(self.reject)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._text)
