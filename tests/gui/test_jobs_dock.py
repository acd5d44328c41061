"""The Jobs dock and its model."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton, QWidget
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from deltaworks_gui.context import AppContext
from deltaworks_gui.docks.jobs_dock import JobsDock
from deltaworks_gui.lanes.jobs import Job, JobState
from deltaworks_gui.lanes.queue import JobQueue
from deltaworks_gui.models.jobs import COLUMNS, JobsModel, progress_text
from deltaworks_gui.widgets.delegates import PaintRole

S = JobState


@pytest.fixture
def dock(context: AppContext, qtbot: QtBot) -> JobsDock:
    made = JobsDock(context)
    qtbot.addWidget(made)
    made.show()
    return made


def names(model: JobsModel) -> list[str]:
    return [model.job_at(row).name for row in range(model.rowCount())]


def test_it_is_a_sound_model_empty_and_through_every_change(
    queue: JobQueue, qtbot: QtBot, qtmodeltester: ModelTester, engine: Any, script: Any
) -> None:
    model = JobsModel(queue)
    qtmodeltester.check(model)  # type: ignore[no-untyped-call]  # untyped there
    engine.scripts = [script(), script(error="no", ends_at=1), script()]

    for name in ("one", "two", "three"):
        queue.submit(name, {"kind": "fake"})
    queue.move(queue.jobs()[2].id, -1)
    qtbot.waitUntil(lambda: not queue.busy and not queue.is_held, timeout=5000)
    assert names(model) == [job.name for job in queue.jobs()]

    queue.clear_finished()
    assert model.rowCount() == 0


def test_running_stands_before_queued_and_queued_before_finished(
    queue: JobQueue, qtbot: QtBot, engine: Any, script: Any
) -> None:
    model = JobsModel(queue)
    engine.scripts = [script(), script(seconds=60, steps=1000)]
    done = queue.submit("done", {"kind": "fake"})
    qtbot.waitUntil(lambda: (queue.job(done.id) or done).state is S.SUCCEEDED, timeout=5000)

    running = queue.submit("running", {"kind": "fake"})
    queue.submit("waiting", {"kind": "fake"})
    qtbot.waitUntil(lambda: (queue.job(running.id) or running).state is S.RUNNING, timeout=5000)

    assert names(model) == ["running", "waiting", "done"]


def test_cells_of_large_numbers_are_right(queue: JobQueue) -> None:
    queue.hold(True)
    model = JobsModel(queue)
    job = queue.submit("large", {"kind": "fake"})
    queue._change(job, peak_bytes=3_000_000_000, running_seconds=3_700.0, started_at=1.0)

    def cell(column: str, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        return model.index(0, COLUMNS.index(column)).data(role)

    assert cell("mem") == "3.00 GB"
    assert cell("mem", Qt.ItemDataRole.ToolTipRole) == "3,000,000,000 bytes"
    assert cell("elapsed") == "1 h 1 min"
    assert cell("lane") == "CPU"
    assert cell("progress", PaintRole.PROGRESS) is None, "a queued job has no bar"


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (Job("1", "n", {}, "cpu", S.RUNNING, 466, stage="trial 3/12 · layer 17/32"),
         "trial 3/12 · layer 17/32 · 46 %"),
        (Job("1", "n", {}, "cpu", S.RUNNING, 0, is_counting=True, stage="120 files"), "120 files"),
        (Job("1", "n", {}, "cpu", S.FAILED, 10, error="no space"), "no space"),
        (Job("1", "n", {}, "cpu", S.WARNED, 1000, warnings=("a", "b")), "a; b"),
        (Job("1", "n", {}, "cpu", S.SUCCEEDED, 1000), ""),
    ],
)  # fmt: skip
def test_the_progress_cell_says_how_far_or_why_not(job: Job, text: str) -> None:
    assert progress_text(job) == text


def test_it_says_that_there_are_no_jobs(dock: JobsDock) -> None:
    empty = dock.findChild(QWidget, "Empty_Jobs")

    assert empty is not None
    assert empty.isVisible()


def test_hold_and_clear_are_buttons(dock: JobsDock, context: AppContext, qtbot: QtBot) -> None:
    hold = dock.findChild(QPushButton, "btn_hold")
    clear = dock.findChild(QPushButton, "btn_jobs_clear")
    assert hold is not None
    assert clear is not None
    job = context.queue.submit("over", {"kind": "fake"})
    qtbot.waitUntil(lambda: (context.queue.job(job.id) or job).state is S.SUCCEEDED, timeout=5000)

    hold.click()
    assert context.queue.is_held
    assert hold.isChecked()
    clear.click()
    assert context.queue.jobs() == []


def test_keys_move_and_cancel_the_selected_job(dock: JobsDock, context: AppContext) -> None:
    context.queue.hold(True)
    one = context.queue.submit("one", {})
    two = context.queue.submit("two", {})
    dock.activateWindow()
    dock.table.setFocus()
    dock.select(two.id)

    QTest.keyClick(dock.table, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert [job.id for job in context.queue.jobs()] == [two.id, one.id]
    QTest.keyClick(dock.table, Qt.Key.Key_Delete)
    states = {job.id: job.state for job in context.queue.jobs()}
    assert states == {two.id: S.CANCELLED, one.id: S.QUEUED}


def test_cancelling_much_work_asks_first(
    dock: JobsDock, context: AppContext, qtbot: QtBot, engine: Any, script: Any, record: Any
) -> None:
    engine.scripts = [script(seconds=60, steps=1000)]
    asked = record(context.navigator.banner_asked)
    job = context.queue.submit("long", {"kind": "fake"})
    qtbot.waitUntil(lambda: (context.queue.job(job.id) or job).state is S.RUNNING, timeout=5000)
    long_run = context.queue.job(job.id)
    assert long_run is not None
    context.queue._clocks[job.id]._before = 250.0
    qtbot.waitUntil(lambda: (context.queue.job(job.id) or job).running_seconds > 60, timeout=3000)

    dock.cancel()

    assert (context.queue.job(job.id) or job).state is S.RUNNING
    assert asked.got[0].text.startswith("Cancelling “long” loses 4 min")
    context.navigator.banner_acted.emit(asked.got[0].id, "cancel")
    assert (context.queue.job(job.id) or job).state is S.CANCELLING
