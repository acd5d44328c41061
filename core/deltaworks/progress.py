"""Events out, cancellation in: all that long work knows of whoever started it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deltaworks.errors import CancelledError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in bytes of work, so that big tensors count more.

    Args:
        done: bytes processed so far; never decreases within a job.
        total: bytes in all; 0 when unknown.
        stage: what happens now, for people: ``trial 3/12 · layer 17/32``.
    """

    done: int
    total: int
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know although the work goes on."""

    text: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """One result inside a running job, such as a trial of a sweep.

    Args:
        subject: what was measured: ``trial``, ``reference``.
        values: plain JSON data, as the record that ends up in the report.
    """

    subject: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """The job's report as plain JSON data. Always the last event of a job that succeeded."""

    values: Mapping[str, Any]


Event = Progress | Warned | Measured | Finished


def _nobody(_event: Event) -> None:
    """Drop the event."""


def _nobody_asks() -> None:
    """Nobody wants to know."""


def _always_running() -> threading.Event:
    running = threading.Event()
    running.set()
    return running


@dataclass
class JobControl:
    """Progress out, cancel and pause in.

    Args:
        report: called with every event, on the thread that works.
        cancelled: set by the owner to stop the job.
        running: cleared by the owner to pause the job.
        rested: called once each time the job has come to rest, on the thread that works.
    """

    report: Callable[[Event], None] = _nobody
    cancelled: threading.Event = field(default_factory=threading.Event)
    running: threading.Event = field(default_factory=_always_running)
    rested: Callable[[], None] = _nobody_asks

    def check(self) -> None:
        """Wait while paused; raise CancelledError after Stop."""
        if not self.running.is_set() and not self.cancelled.is_set():
            self.rested()
        while not self.running.wait(0.1):
            if self.cancelled.is_set():
                break
        if self.cancelled.is_set():
            raise CancelledError("stopped")

    def step(self, event: Event) -> None:
        """Report an event, and take the chance to stop."""
        self.check()
        self.report(event)

    def reporting_to(self, report: Callable[[Event], None]) -> JobControl:
        """Give a control that stops and pauses as this one, and reports elsewhere."""
        return replace(self, report=report)

    def silent(self) -> JobControl:
        """Give a control that stops and pauses as this one, and reports to nobody."""
        return self.reporting_to(_nobody)

    def part(self, done_before: int, total: int, prefix: str = "") -> JobControl:
        """Give a control for one part of a larger job.

        Args:
            done_before: bytes of the whole job done before this part.
            total: bytes of the whole job.
            prefix: put before the part's own stage text.
        """

        def forward(event: Event) -> None:
            if isinstance(event, Progress):
                stage = " · ".join(text for text in (prefix, event.stage) if text)
                event = Progress(done_before + event.done, total, stage)
            self.report(event)

        return self.reporting_to(forward)
