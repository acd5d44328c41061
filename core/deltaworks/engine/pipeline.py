"""Reader, workers, writer: three that overlap, bounded by bytes.

The reader takes bytes from the budget in plan order and prefetches; workers compute in
any order; the writer, on the thread that called, consumes in plan order and gives the
bytes back. So outputs do not depend on threads, and bytes in flight never exceed the
budget (one item larger than it runs alone).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.faults import placed
from deltaworks.engine.plan_types import WorkItem
from deltaworks.progress import JobControl, Progress

R = TypeVar("R")
C = TypeVar("C")

_TICK = 0.05
"""Seconds between looks at cancel and pause while the writer waits."""
_PATIENCE = 1.0
"""Seconds that a stopped pipeline waits for calls that cannot be interrupted."""


@dataclass(frozen=True)
class Steps(Generic[R, C]):
    """What happens to one item.

    Args:
        read: on the reader's thread.
        compute: on a worker's thread; torch has one thread there.
        write: on the caller's thread, in plan order.
        needs_torch: whether to import torch before the first item is computed. Without it
            torch is left alone until something else has imported it.
    """

    read: Callable[[WorkItem], R]
    compute: Callable[[WorkItem, R], C]
    write: Callable[[WorkItem, C], None]
    needs_torch: bool = True


class Tally:
    """Counts bytes of work and tells how far the whole job is."""

    def __init__(self, control: JobControl, total: int) -> None:
        self.control = control
        self.total = total
        self.seconds: dict[str, float] = {}
        self._done = 0
        self._told = -1
        self._lock = threading.Lock()

    def add(self, n_bytes: int) -> None:
        """Count bytes done; from any thread."""
        with self._lock:
            self._done += n_bytes

    def spend(self, stage: str, seconds: float) -> None:
        """Count time; from any thread."""
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def tell(self, stage: str) -> None:
        """Look at cancel and pause; report when something was done since the last time."""
        self.control.check()
        with self._lock:
            done = min(self._done, self.total)
        if done != self._told:
            self._told = done
            self.control.report(Progress(done, self.total, stage))


@dataclass
class _Shared(Generic[R, C]):
    """What the threads of one pipeline share."""

    budget: ByteBudget
    ahead: threading.Semaphore
    """Items that may still be read before one is computed: mapped bytes are in no budget."""
    stop: threading.Event = field(default_factory=threading.Event)
    waiting: SimpleQueue[tuple[WorkItem, R] | None] = field(default_factory=SimpleQueue)
    results: dict[str, C] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    error: BaseException | None = None
    torch_threads: int = 0
    """Threads that torch had before; 0 while it is not known to be loaded."""

    def may_read_on(self) -> bool:
        """Wait until the reader is not too far ahead; False when it is to stop."""
        while not self.ahead.acquire(timeout=_TICK):
            if self.stop.is_set():
                return False
        return True

    def limit_torch(self) -> None:
        """Give torch one thread on this thread, if it is there at all."""
        if "torch" in sys.modules:
            import torch

            with self.changed:
                self.torch_threads = self.torch_threads or torch.get_num_threads()
            # Workers are the parallelism, and one thread a call gives the same bits everywhere.
            torch.set_num_threads(1)

    def free_torch(self) -> None:
        """Give torch back the threads that it had."""
        if self.torch_threads:
            import torch

            torch.set_num_threads(self.torch_threads)

    def fail(self, error: BaseException, item: WorkItem) -> None:
        with self.changed:
            if self.error is None:
                self.error = placed(error, item.tensor or item.id)
            self.stop.set()
            self.changed.notify_all()


def run_pipeline(
    items: Sequence[WorkItem],
    steps: Steps[R, C],
    *,
    budget: ByteBudget,
    threads: int,
    tally: Tally,
) -> None:
    """Run every item through its steps.

    A call into a library cannot be interrupted: after a cancel or a failure, a thread
    that is inside one ends with it, later; what it computes is dropped, and the views it
    holds keep their mapped files.

    Args:
        items: in the order of writing.
        steps: what happens to one.
        budget: bytes that items may hold from their reading to their writing.
        threads: worker threads, at least 1.
        tally: told of every byte; its control cancels and pauses.

    Raises:
        CancelledError: within two seconds of the cancel.
        AppError: of the first item that failed, with its tensor's name.
    """
    shared: _Shared[R, C] = _Shared(budget, threading.Semaphore(2 * threads + 2))
    pool = [
        threading.Thread(target=_read_all, args=(items, steps, shared, tally, threads), daemon=True)
    ]
    pool += [
        threading.Thread(target=_compute_all, args=(steps, shared, tally), daemon=True)
        for _ in range(threads)
    ]
    if steps.needs_torch:
        import torch  # noqa: F401 - workers limit what is loaded
    for thread in pool:
        thread.start()
    try:
        for number, item in enumerate(items, start=1):
            _write_one(item, f"{item.stage} {number}/{len(items)}", steps, shared, tally)
    finally:
        shared.stop.set()
        for _ in range(threads):
            shared.waiting.put(None)
        _join(pool, _PATIENCE)
        shared.free_torch()


def _write_one(
    item: WorkItem, stage: str, steps: Steps[R, C], shared: _Shared[R, C], tally: Tally
) -> None:
    result = _await_result(item, stage, shared, tally)
    started = time.perf_counter()
    try:
        steps.write(item, result)
    except Exception as error:
        raise placed(error, item.tensor or item.id)  # noqa: B904 - it holds its cause
    finally:
        tally.spend("writing", time.perf_counter() - started)
    shared.budget.give_back(item.peak_bytes)
    tally.add(item.write_bytes)
    tally.tell(stage)


def _await_result(item: WorkItem, stage: str, shared: _Shared[R, C], tally: Tally) -> C:
    while True:
        tally.tell(stage)
        with shared.changed:
            if shared.error is not None:
                raise shared.error
            if item.id in shared.results:
                return shared.results.pop(item.id)
            shared.changed.wait(_TICK)


def _read_all(
    items: Sequence[WorkItem],
    steps: Steps[R, C],
    shared: _Shared[R, C],
    tally: Tally,
    n_workers: int,
) -> None:
    for item in items:
        if not shared.may_read_on() or not shared.budget.take(item.peak_bytes, shared.stop):
            return
        started = time.perf_counter()
        try:
            data = steps.read(item)
        except BaseException as error:
            shared.fail(error, item)
            return
        tally.spend("reading", time.perf_counter() - started)
        tally.add(item.read_bytes)
        shared.waiting.put((item, data))
        del data  # not to be held while waiting for more bytes
    for _ in range(n_workers):
        shared.waiting.put(None)


def _compute_all(steps: Steps[R, C], shared: _Shared[R, C], tally: Tally) -> None:
    while (work := shared.waiting.get()) is not None:
        if shared.stop.is_set():
            return
        item, data = work
        shared.ahead.release()
        shared.limit_torch()
        started = time.perf_counter()
        try:
            result = steps.compute(item, data)
        except BaseException as error:
            shared.fail(error, item)
            return
        tally.spend("computing", time.perf_counter() - started)
        del work, data
        with shared.changed:
            shared.results[item.id] = result
            shared.changed.notify_all()
        del result  # the writer gives its bytes back


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
