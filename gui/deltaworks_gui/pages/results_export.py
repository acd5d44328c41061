"""Plots and tables as files. Figures for files are drawn beside the window, on a copy."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QFileDialog, QWidget

from deltaworks.progress import JobControl
from deltaworks.studies.trials import Sweep, Trial
from deltaworks_gui.context import AppContext
from deltaworks_gui.plots.choice import PlotChoice

INCHES = (10.0, 6.0)
DPI = 200
_FIELDS = (
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
    "on_front",
    "recommended",
    "kept",
    "artefact",
    "reason",
)


def export_plot(
    parent: QWidget, context: AppContext, sweeps: Sequence[Sweep], choice: PlotChoice
) -> None:
    """Ask for a file and draw the plot into it."""
    path = _ask(
        parent, parent.tr("Export plot"), "tradeoff.png", "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"
    )
    if path is not None:
        context.tasks.start(lambda control: write_plot(path, sweeps, choice, control))
        context.navigator.status(parent.tr("Saved {0}").format(path))


def export_table(parent: QWidget, context: AppContext, trials: Sequence[Trial]) -> None:
    """Ask for a file and write the trials into it."""
    path = _ask(parent, parent.tr("Export table"), "trials.csv", "CSV (*.csv);;JSON (*.json)")
    if path is not None:
        context.tasks.start(lambda control: write_table(path, trials, control))
        context.navigator.status(parent.tr("Saved {0}").format(path))


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


def write_table(path: Path, trials: Sequence[Trial], _control: JobControl) -> Path:
    """Write every field of every trial as CSV or JSON."""
    rows = [trial.as_json() for trial in trials]
    if path.suffix.lower() == ".json":
        path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*_FIELDS, "options"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(_flat(row) for row in rows)
    return path


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "options": json.dumps(row["options"])}


def _ask(parent: QWidget, title: str, name: str, kinds: str) -> Path | None:
    chosen, kind = QFileDialog.getSaveFileName(parent, title, str(Path.home() / name), kinds)
    if not chosen:
        return None
    path = Path(chosen)
    return path if path.suffix else path.with_suffix(kind.split("*")[1].split(")")[0])
