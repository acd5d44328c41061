"""A point of the plot, as the Inspector shows it."""

from __future__ import annotations

import json

from PySide6.QtCore import QCoreApplication

from deltaworks.library.rows import FileRow
from deltaworks.studies.trials import Sweep, Trial
from deltaworks_gui.docks.subjects import Fact, Subject
from deltaworks_gui.formats import (
    format_exact_size,
    format_number,
    format_percent,
    format_seconds,
    format_size,
)
from deltaworks_gui.models.trials import measured_text, quality_text, ratio_text


def _tr(text: str) -> str:
    return QCoreApplication.translate("Inspector", text)


def trial_subject(sweep: Sweep, trial: Trial) -> Subject:
    """What is known of one trial; what is not known has no line."""
    size = format_size(trial.file_bytes) if trial.file_bytes else ""
    full = format_size(trial.original_bytes) if trial.original_bytes else ""
    seconds = format_seconds(max(1.0, trial.seconds)) if trial.seconds else ""
    bits = "" if trial.bits_per_weight is None else format_number(trial.bits_per_weight)
    is_bad = trial.state in ("failed", "cancelled")
    facts = (
        Fact(_tr("Quality kept"), quality_text(trial), "good" if trial.on_front else ""),
        Fact(_tr("95 % interval"), _spread(trial)),
        Fact(_tr("Measured on"), measured_text(trial), "bad" if is_bad else ""),
        Fact(_tr("Fidelity of weights"), format_percent(trial.fidelity)),
        Fact(_tr("Size"), size, tip=format_exact_size(trial.file_bytes) if size else ""),
        Fact(_tr("Full model"), full),
        Fact(_tr("Ratio"), ratio_text(trial)),
        Fact(_tr("Bits per weight"), bits),
        Fact(_tr("Time"), seconds),
        Fact(_tr("Peak memory"), format_size(trial.peak_bytes) if trial.peak_bytes else ""),
        Fact(_tr("Recommended"), sweep.rule if trial.recommended else "", "accent"),
    )
    options = {"method": trial.method, "options": trial.options}
    artefact = (FileRow(trial.artefact, trial.file_bytes, True),) if trial.artefact else ()
    return Subject(
        " · ".join(text for text in (trial.title, trial.settings) if text),
        _tr("{0} · trial {1} of {2}").format(trial.expert, trial.number, sweep.title),
        facts,
        json.dumps(options, indent=2),
        artefact,
    )


def _spread(trial: Trial) -> str:
    if trial.quality_low is None or not trial.measured_on:
        return ""
    return f"{format_percent(trial.quality_low)} – {format_percent(trial.quality_high)}"
