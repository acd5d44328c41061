"""Plots and tables as files. Figures for files are drawn beside the window, on a copy."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, Slot
from PySide6.QtWidgets import QFileDialog, QWidget

from deltaworks.errors import AppError, OptionError
from deltaworks.product import NAME, VERSION
from deltaworks.progress import JobControl
from deltaworks.studies.contest_record import Contest
from deltaworks.studies.trials import Sweep
from deltaworks_gui.context import AppContext
from deltaworks_gui.models.trials import TrialRow
from deltaworks_gui.pages.results_contest_files import write_contest_plot, write_contest_table
from deltaworks_gui.pages.results_records import write_whole
from deltaworks_gui.plots.choice import PlotChoice

Work = Callable[[Path, JobControl], Path]
"""Writes a file and gives its place."""
_FOLDER = "folders/export"

INCHES = (10.0, 6.0)
DPI = 200
_FIELDS = (
    "sweep",
    "number",
    "expert",
    "method",
    "settings",
    "state",
    "file_bytes",
    "original_bytes",
    "bits_per_weight",
    "quality",
    "quality_low",
    "quality_high",
    "measured_on",
    "fidelity",
    "seconds",
    "peak_bytes",
    "on_front",
    "recommended",
    "kept",
    "artefact",
    "reason",
)


class Exporter(QObject):
    """Asks where to, writes beside the window, and says how it went.

    Args:
        context: for tasks and news.
        parent: the page; dialogs open over its window.
    """

    def __init__(self, context: AppContext, parent: QWidget) -> None:
        super().__init__(parent)
        self._context = context
        self._page = parent

    def ask_plot(self, sweeps: Sequence[Sweep], choice: PlotChoice) -> None:
        """Ask for a file and draw the plot into it."""
        kinds = ["PNG (*.png)", "SVG (*.svg)", "PDF (*.pdf)"]
        dialog = self._dialog(self.tr("Export plot"), "tradeoff", kinds)
        shown = tuple(sweeps)
        dialog.work = lambda path, control: write_plot(path, shown, choice, control)
        dialog.open()

    def ask_contest_plot(self, contest: Contest) -> None:
        """Ask for a file and draw a comparison of merges into it."""
        kinds = ["PNG (*.png)", "SVG (*.svg)", "PDF (*.pdf)"]
        dialog = self._dialog(self.tr("Export plot"), "merges", kinds)
        dialog.work = lambda path, control: write_contest_plot(path, contest, control)
        dialog.open()

    def ask_contest_table(self, contest: Contest) -> None:
        """Ask for a file and write the merges into it."""
        dialog = self._dialog(self.tr("Export table"), "merges", ["CSV (*.csv)", "JSON (*.json)"])
        dialog.work = lambda path, control: write_contest_table(path, contest, control)
        dialog.open()

    def ask_table(self, rows: Sequence[TrialRow]) -> None:
        """Ask for a file and write the trials into it."""
        dialog = self._dialog(self.tr("Export table"), "trials", ["CSV (*.csv)", "JSON (*.json)"])
        shown = tuple(rows)
        dialog.work = lambda path, control: write_table(path, shown, control)
        dialog.open()

    def _dialog(self, title: str, name: str, kinds: list[str]) -> ExportDialog:
        folder = self._context.settings.text(_FOLDER, str(Path.home()))
        dialog = ExportDialog(self._page.window(), title, str(Path(folder) / name), kinds)
        dialog.fileSelected.connect(self._on_file)
        return dialog

    @Slot(str)
    def _on_file(self, file: str) -> None:
        dialog = self.sender()
        if isinstance(dialog, ExportDialog):
            self.write(Path(file), dialog.work)

    def write(self, path: Path, work: Work) -> None:
        """Write a file beside the window."""
        self._context.settings.set(_FOLDER, str(path.parent))
        self._context.navigator.status(self.tr("Writing {0}…").format(path.name))
        self._context.tasks.start(
            lambda control: work(path, control), succeeded=self._on_saved, failed=self._on_failed
        )

    @Slot(object)
    def _on_saved(self, path: Path) -> None:
        self._context.navigator.status(self.tr("Saved {0}").format(path))

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        text = self.tr("Nothing was exported. {0}").format(error)
        self._context.navigator.banner("bad", text, key="export", stays=True)


class ExportDialog(QFileDialog):
    """A file to write; the ending follows the kind that is chosen."""

    def __init__(self, parent: QWidget, title: str, path: str, kinds: list[str]) -> None:
        super().__init__(parent, title)
        self.work: Work = _nothing
        self.setObjectName("DlgExport")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.setNameFilters(kinds)
        self.filterSelected.connect(self._on_kind)
        self._on_kind(kinds[0])
        self.setDirectory(str(Path(path).parent))
        self.selectFile(Path(path).name)

    @Slot(str)
    def _on_kind(self, kind: str) -> None:
        self.setDefaultSuffix(kind.split("*.")[1].rstrip(")"))


def _nothing(path: Path, _control: JobControl) -> Path:
    raise AssertionError(f"nothing to write into {path}")


def write_plot(
    path: Path, sweeps: Sequence[Sweep], choice: PlotChoice, _control: JobControl
) -> Path:
    """Draw the plot, light, into a PNG, SVG or PDF."""
    from matplotlib.figure import Figure

    from deltaworks.figures import draw_tradeoff, save_figure

    figure = Figure(figsize=INCHES)
    draw_tradeoff(
        figure,
        sweeps,
        x=choice.x,
        y=choice.y,
        log_x=choice.log_x,
        at_least=choice.at_least,
        at_most=choice.at_most,
    )
    return save_figure(figure, path, DPI, {"sweep": ", ".join(sweep.id for sweep in sweeps)})


def write_table(path: Path, rows: Sequence[TrialRow], _control: JobControl) -> Path:
    """Write every field of every trial as CSV or JSON, whole or not at all.

    Raises:
        OptionError: the name ends in something else.
        FileError: the place cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".json"):
        raise OptionError(f"unknown ending {path.suffix!r}", fix="Use .csv or .json")
    records = [{"sweep": row.sweep, **row.trial.as_json()} for row in rows]
    return write_whole(path, _as_csv(records) if kind == ".csv" else _as_json(records))


def _as_json(records: list[dict[str, Any]]) -> str:
    document = {"made_by": f"{NAME} {VERSION}", "trials": records}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _as_csv(records: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_FIELDS, "options"], extrasaction="ignore")
    writer.writeheader()
    for record in records:
        writer.writerow({**record, "options": json.dumps(record["options"])})
    return text.getvalue()
