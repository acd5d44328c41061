"""A point in words: for the tooltip and for screen readers."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QCoreApplication

from deltaworks.studies.trials import Sweep, Trial
from deltaworks_gui.formats import format_percent, format_seconds, format_size
from deltaworks_gui.models.trials import measured_text, quality_text, ratio_text


def _tr(text: str) -> str:
    return QCoreApplication.translate("plots", text)


def point_words(sweep: Sweep, trial: Trial) -> str:
    """Expert, method, settings, size, ratio, quality with its interval, how measured, time."""
    title = " · ".join(text for text in (trial.title, trial.settings) if text)
    lines = [f"<b>{escape(title)}</b>", escape(trial.expert)]
    if trial.file_bytes:
        smaller = _tr("{0}, {1} smaller").format(format_size(trial.file_bytes), ratio_text(trial))
        lines.append(escape(smaller))
    quality = quality_text(trial)
    if quality:
        if trial.quality_low is not None and trial.measured_on:
            spread = f"{format_percent(trial.quality_low)} – {format_percent(trial.quality_high)}"
            quality = _tr("{0} kept ({1})").format(quality, spread)
        lines.append(escape(quality))
    lines.append(escape(measured_text(trial)))
    if trial.seconds:
        lines.append(escape(_tr("measured in {0}").format(format_seconds(max(1, trial.seconds)))))
    if trial.recommended:
        lines.append(f"★ {escape(_tr('Recommended'))}: {escape(sweep.rule)}")
    return "<br>".join(lines)
