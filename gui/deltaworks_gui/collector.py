"""Whoever runs a job enters what it made: the window does it here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Slot

from deltaworks.errors import AppError
from deltaworks.progress import JobControl
from deltaworks_gui.context import AppContext
from deltaworks_gui.lanes.jobs import Job

log = logging.getLogger(__name__)


class ArtefactCollector(QObject):
    """Lists every artefact of a finished job in the library, then says so."""

    def __init__(self, context: AppContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        context.queue.job_ended.connect(self._on_ended)

    @Slot(object)
    def _on_ended(self, job: Job) -> None:
        if job.report is None or not job.report.get("artefacts"):
            return
        library, report = self._context.library, job.report

        def enter(control: JobControl) -> list[str]:
            return [_enter(library, control, made, report) for made in report["artefacts"]]

        self._context.tasks.start(enter, succeeded=self._on_entered, failed=self._on_failed)

    @Slot(object)
    def _on_entered(self, _names: list[str]) -> None:
        self._context.navigator.library_changed.emit()

    @Slot(object)
    def _on_failed(self, error: AppError) -> None:
        log.error("an artefact was not listed: %s", error)
        self._context.navigator.banner("warn", str(error), key="collector", stays=True)


def _enter(
    library: Any, control: JobControl, made: Mapping[str, Any], report: dict[str, Any]
) -> str:
    control.check()
    trial = trial_of(report, str(made["path"]))
    quality = trial.get("quality")
    fidelity = trial.get("fidelity")
    row = library.enter_artefact(
        made,
        report,
        quality=quality if quality is not None else _share(fidelity),
        quality_how=str(trial.get("measured_on", "")),
        quality_is_estimate=quality is None and fidelity is not None,
    )
    return str(row.name)


def trial_of(report: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The sweep's trial that made a file; empty when no sweep did."""
    sweep = report.get("results", {}).get("sweep", {})
    trials = sweep.get("trials", ()) if isinstance(sweep, Mapping) else ()
    return next((one for one in trials if one.get("artefact") == path), {})


def _share(fidelity: float | None) -> float | None:
    """An estimate as a share; random methods have errors beyond all, which is none kept."""
    return None if fidelity is None else max(0.0, fidelity)
