"""Asks the library whether experts belong to a base: headers at once, weights one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt, Signal, Slot

from deltaworks.errors import AppError, CancelledError
from deltaworks.library.rows import Match
from deltaworks.progress import JobControl
from deltaworks_gui.lanes.tasks import Task, TaskPool

Matcher = Callable[[str, str, JobControl | None], Match]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class GuardNews:
    """What was found about one pair.

    Args:
        pair: paths of base and expert.
        match: evidence; None with an ``error``.
        is_final: weights were compared, or cannot be.
    """

    pair: Pair
    match: Match | None
    is_final: bool
    error: str = ""


class GuardChecker(QObject):
    """Compares pairs beside the window; weights of one pair at a time, so that plans get in.

    Args:
        tasks: where it works.
        matcher: compares headers without a control, weights with one.

    Signals:
        found: a GuardNews.
    """

    found = Signal(object)

    def __init__(self, tasks: TaskPool, matcher: Matcher, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self._matcher = matcher
        self._wanted: set[Pair] = set()
        self._waiting: deque[Pair] = deque()
        self._sampling: Pair | None = None
        self._task: Task | None = None

    def want(self, pairs: list[Pair]) -> None:
        """These pairs count now, no others; new ones are compared."""
        new = [pair for pair in pairs if pair not in self._wanted]
        self._wanted = set(pairs)
        self._waiting = deque(pair for pair in self._waiting if pair in self._wanted)
        if self._sampling is not None and self._sampling not in self._wanted and self._task:
            self._task.cancel()
        for pair in new:
            self._tasks.start(self._work(pair, sampled=False), succeeded=self._on_found)

    def forget(self) -> None:
        """Compare everything anew at the next wish."""
        self.want([])

    def _work(self, pair: Pair, *, sampled: bool) -> Callable[[JobControl], GuardNews]:
        matcher = self._matcher

        def work(control: JobControl) -> GuardNews:
            try:
                match = matcher(*pair, control if sampled else None)
            except CancelledError:
                return GuardNews(pair, None, is_final=sampled)
            except AppError as error:
                return GuardNews(pair, None, is_final=True, error=str(error))
            return GuardNews(pair, match, is_final=sampled)

        return work

    @Slot(object)
    def _on_found(self, news: GuardNews) -> None:
        if news.pair in self._wanted and (news.match is not None or news.error):
            self.found.emit(news)
            # A refuted pair goes on too: the library may know a base that fits.
            if not news.is_final:
                self._waiting.append(news.pair)
        self._next()

    @Slot(object)
    def _on_sampled(self, news: GuardNews) -> None:
        self._sampling = self._task = None
        cancelled = news.match is None and not news.error
        if cancelled and news.pair in self._wanted:
            self._waiting.append(news.pair)
        elif news.pair in self._wanted:
            self.found.emit(news)
        self._next()

    @Slot()
    def _on_stopped(self) -> None:
        """Cancelled before it began: the pair may be wanted again by now."""
        if self._sampling is not None and self._sampling in self._wanted:
            self._waiting.append(self._sampling)
        self._sampling = self._task = None
        self._next()

    @Slot(object)
    def _on_failed(self, _error: AppError) -> None:
        """A bug, which is in the log: the pair keeps what its headers said."""
        self._sampling = self._task = None
        self._next()

    def _next(self) -> None:
        if self._sampling is None and self._waiting:
            self._sampling = self._waiting.popleft()
            self._task = self._tasks.start(
                self._work(self._sampling, sampled=True),
                succeeded=self._on_sampled,
                failed=self._on_failed,
            )
            self._task.stopped.connect(self._on_stopped, Qt.ConnectionType.QueuedConnection)
