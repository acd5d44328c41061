"""What every job of the engine does around its work: count, measure, report."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from deltaworks.engine.environment import resident_bytes, versions
from deltaworks.engine.pipeline import Tally
from deltaworks.engine.plan_types import Plan
from deltaworks.engine.reports import Artefact, Report
from deltaworks.progress import JobControl, Progress, Warned

_LOOK = 0.05
"""Seconds between looks at the memory in use."""


class Run:
    """One run of a job: its progress, warnings, clock and memory. Use as a context.

    Args:
        job: recipe kind.
        plan: what progress counts up to.
        control: of whoever started it.
        notes: worth knowing and nothing to worry about; they go into the results.
    """

    def __init__(
        self, job: str, plan: Plan, control: JobControl, *, notes: Sequence[str] = ()
    ) -> None:
        self.control = control
        self.tally = Tally(control, plan.work_bytes)
        self._job = job
        self._warnings: list[str] = []
        self._notes = list(notes)
        self._started = time.perf_counter()
        self._peak = resident_bytes()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watch_memory, daemon=True)

    def warn(self, text: str, where: str = "") -> None:
        """Tell the user now, and keep it for the report."""
        self._warnings.append(f"{where}: {text}" if where else text)
        self.control.report(Warned(text, where))

    def note(self, text: str) -> None:
        """Keep something for the report that nobody need worry about."""
        self._notes.append(text)

    def stage(self, name: str) -> Stage:
        """Measure a part of the run: ``with run.stage("finish"):``."""
        return Stage(self.tally, name)

    def finish(self) -> None:
        """Count up to the total: what was expected and not needed is done as well."""
        total = self.tally.total
        self.control.report(Progress(total, total, "done"))

    def report(
        self,
        recipe: dict[str, Any],
        artefacts: Sequence[Artefact],
    ) -> Report:
        """Give the record of this run."""
        seconds = {**self.tally.seconds, "total": time.perf_counter() - self._started}
        return Report(
            job=self._job,
            recipe=recipe,
            artefacts=tuple(artefacts),
            seconds={name: round(value, 4) for name, value in seconds.items()},
            peak_bytes=max(self._peak, resident_bytes()),
            warnings=tuple(dict.fromkeys(self._warnings)),
            versions=versions(),
            results={"notes": self._notes} if self._notes else {},
        )

    def __enter__(self) -> Run:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._over.set()
        self._watch.join()

    def _watch_memory(self) -> None:
        while not self._over.wait(_LOOK):
            self._peak = max(self._peak, resident_bytes())


class Stage:
    """Adds the time inside it to a named stage."""

    def __init__(self, tally: Tally, name: str) -> None:
        self._tally, self._name = tally, name
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock."""
        self._tally.spend(self._name, time.perf_counter() - self._started)
