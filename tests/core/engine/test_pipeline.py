from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.pipeline import Steps, Tally, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.errors import CancelledError, FileError, SpaceError
from deltaworks.progress import Event, JobControl, Progress


def items(sizes: list[int]) -> list[WorkItem]:
    return [WorkItem(f"t{n}", "tensors", size, 2 * size, size) for n, size in enumerate(sizes)]


class Pieces:
    """Counts bytes between reading and writing, and keeps the order of writing."""

    def __init__(self, slow: float = 0.0) -> None:
        self.order: list[str] = []
        self.held = self.peak = 0
        self._slow = slow
        self._lock = threading.Lock()

    @property
    def steps(self) -> Steps[int, int]:
        return Steps(self._read, self._compute, self._write)

    def _read(self, item: WorkItem) -> int:
        with self._lock:
            self.held += item.peak_bytes
            self.peak = max(self.peak, self.held)
        return item.read_bytes

    def _compute(self, item: WorkItem, value: int) -> int:
        time.sleep(self._slow)
        return value + 1

    def _write(self, item: WorkItem, value: int) -> None:
        assert value == item.read_bytes + 1
        self.order.append(item.id)
        with self._lock:
            self.held -= item.peak_bytes


def go(
    work: list[WorkItem],
    steps: Steps[int, int],
    *,
    limit: int = 1000,
    threads: int = 3,
    control: JobControl | None = None,
) -> None:
    total = sum(item.read_bytes + item.write_bytes for item in work)
    tally = Tally(control or JobControl(), total)
    run_pipeline(work, steps, budget=ByteBudget(limit), threads=threads, tally=tally)


@given(sizes=st.lists(st.integers(0, 150), max_size=12), threads=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_items_are_written_in_order_within_the_budget(sizes: list[int], threads: int) -> None:
    pieces, work = Pieces(), items(sizes)

    go(work, pieces.steps, limit=100, threads=threads)

    assert pieces.order == [item.id for item in work]
    assert pieces.peak <= max([100, *sizes])
    assert pieces.held == 0


def test_progress_never_goes_back_and_ends_at_the_total() -> None:
    told: list[Event] = []
    work = items([10] * 30)

    go(work, Pieces(0.001).steps, control=JobControl(report=told.append))

    done = [event.done for event in told if isinstance(event, Progress)]
    assert done == sorted(done)
    assert len(set(done)) == len(done)
    assert done[-1] == 900


def test_steps_overlap() -> None:
    gate = threading.Barrier(3, timeout=5.0)

    def compute(item: WorkItem, value: int) -> int:
        gate.wait()  # passes only when three workers are here at once
        return value

    go(items([1, 1, 1]), Steps(lambda item: 1, compute, lambda item, value: None), threads=3)


def test_a_worker_error_names_its_tensor() -> None:
    def compute(item: WorkItem, value: int) -> int:
        raise FileError("is damaged") if item.id == "t3" else RuntimeError("never")

    work = [WorkItem("t3", "", 1, 1, 1, tensor="model.norm.weight")]

    with pytest.raises(FileError, match="is damaged") as caught:
        go(work, Steps(lambda item: 1, compute, lambda item, value: None))

    assert caught.value.where == "model.norm.weight"


def test_a_bug_in_a_worker_keeps_its_kind_and_gets_a_note() -> None:
    def compute(item: WorkItem, value: int) -> int:
        raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError) as caught:
        go(items([1, 1]), Steps(lambda item: 1, compute, lambda item, value: None))

    assert "t0" in caught.value.__notes__[0] or "t1" in caught.value.__notes__[0]


def test_running_out_of_memory_is_an_error_of_ours() -> None:
    def compute(item: WorkItem, value: int) -> int:
        raise MemoryError

    with pytest.raises(SpaceError, match="memory of this machine is used up"):
        go(items([1]), Steps(lambda item: 1, compute, lambda item, value: None))


@pytest.mark.parametrize("place", ["read", "write"])
def test_system_errors_of_reader_and_writer_are_ours(place: str) -> None:
    def fail(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    work = items([1])
    steps: Steps[int, int] = Steps(
        fail if place == "read" else (lambda item: 1),
        lambda item, value: value,
        fail if place == "write" else (lambda item, value: None),
    )

    with pytest.raises(SpaceError, match="t0: the disk is full"):
        go(work, steps)


def test_cancel_ends_within_two_seconds_even_inside_a_long_call() -> None:
    control = JobControl()
    started = threading.Event()
    over = threading.Event()

    def compute(item: WorkItem, value: int) -> int:
        started.set()
        over.wait(20.0)
        return value

    def stop() -> None:
        started.wait(5.0)
        control.cancelled.set()

    threading.Thread(target=stop).start()
    begin = time.monotonic()

    with pytest.raises(CancelledError):
        go(
            items([1, 1]),
            Steps(lambda item: 1, compute, lambda item, value: None),
            control=control,
        )

    assert time.monotonic() - begin < 2.0
    over.set()


def test_a_paused_pipeline_writes_nothing_until_it_goes_on() -> None:
    control, pieces = JobControl(), Pieces()
    control.running.clear()
    work = items([1, 1])
    thread = threading.Thread(target=lambda: go(work, pieces.steps, control=control))
    thread.start()

    time.sleep(0.2)
    before = list(pieces.order)
    control.running.set()
    thread.join(5.0)

    assert before == []
    assert pieces.order == ["t0", "t1"]


def test_torch_gets_its_threads_back() -> None:
    import torch

    before = torch.get_num_threads()

    go(items([1]), Pieces().steps)

    assert torch.get_num_threads() == before
