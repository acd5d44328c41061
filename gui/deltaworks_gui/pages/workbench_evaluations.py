"""What quality can be measured on: nothing, the bundled text, folders that were chosen before."""

from __future__ import annotations

import json
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from deltaworks.library.rows import ModelRow
from deltaworks_gui.settings import Settings

TEXT_UP_TO_BYTES = 4_000_000_000
"""Larger bases are not measured on text unless the user says so: it takes hours on a CPU."""

_KEY = "workbench/evaluations"


def _tr(text: str) -> str:
    return QCoreApplication.translate("Workbench", text)


class EvaluationSets:
    """The list of sets.

    Args:
        settings: where chosen folders are remembered.
        text: file of the bundled text; empty offers none.
    """

    def __init__(self, settings: Settings, text: str) -> None:
        self._settings = settings
        self._text = text

    def offered(self) -> tuple[tuple[str, str], ...]:
        """Place and title of each, weights only first."""
        text = [(self._text, _tr("Bundled text"))] if self._text else []
        return (("", _tr("Fidelity only (no data)")), *text, *self._own().items())

    def offer(self, path: str, title: str = "") -> None:
        """Offer a place from now on; one that is known keeps its title unless given another."""
        known = dict(self.offered())
        if path and (title or path not in known) and path != self._text:
            kept = {**self._own(), path: title or Path(path).name}
            self._settings.set(_KEY, json.dumps(kept))

    def beside(self, base: ModelRow | None) -> Path | None:
        """A set that lies beside a model, in a folder ``evaluation``; None without."""
        folder = Path(base.path).parent / "evaluation" if base is not None else None
        return folder if folder is not None and (folder / "suite.json").is_file() else None

    def prompts(self, base: ModelRow | None) -> str:
        """Prompts to refuse of the set beside a model; empty without."""
        folder = self.beside(base)
        file = folder / "should-refuse.jsonl" if folder is not None else None
        return str(file) if file is not None and file.is_file() else ""

    def usual(self, base: ModelRow | None) -> str:
        """What a base is measured on when nobody chose."""
        beside = self.beside(base)
        if beside is not None:
            self.offer(str(beside), _tr("Nearby tasks"))
            return str(beside)
        return self._text if base is not None and base.size_bytes <= TEXT_UP_TO_BYTES else ""

    def _own(self) -> dict[str, str]:
        try:
            found = json.loads(self._settings.text(_KEY, "{}"))
            return {str(path): str(title) for path, title in found.items()}
        except (ValueError, AttributeError):
            return {}
