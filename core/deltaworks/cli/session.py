"""One running job on the terminal: progress, warnings, Ctrl+C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from deltaworks.progress import Event, JobControl, Progress, Warned


@contextmanager
def job(on_event: Callable[[Event], None] = lambda _event: None) -> Iterator[JobControl]:
    """Give a control that shows progress on a terminal and stops at Ctrl+C.

    Warnings go to stderr. A second Ctrl+C ends the program at once.

    Args:
        on_event: receives every event as well.
    """
    control = JobControl()
    with _bar() as show, _interrupt(control):

        def report(event: Event) -> None:
            if isinstance(event, Progress):
                show(event)
            elif isinstance(event, Warned):
                place = f"{event.where}: " if event.where else ""
                typer.echo(f"Note: {place}{event.text}", err=True)
            on_event(event)

        control.report = report
        yield control


@contextmanager
def _interrupt(control: JobControl) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(_number: int, _frame: FrameType | None) -> None:
        control.cancelled.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    text = TextColumn("{task.description}", markup=False)
    with Bar(*columns, text, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.total or None,
                description=progress.stage,
            )

        yield show
