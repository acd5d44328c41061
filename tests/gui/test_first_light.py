"""The main flow with the real engine: two clicks from first start to a kept delta (A02, A03)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from deltaworks.library.home import Home
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from deltaworks_gui.context import AppContext
    from deltaworks_gui.main_window import MainWindow

SECONDS = 60
BUSY = 6
"""How much longer it may take on a machine that is busy with other things."""


@pytest.fixture
def real_window(qapp: QApplication, home: Path, qtbot: QtBot) -> Iterator[MainWindow]:
    """The window over lanes with a real engine process."""
    from deltaworks_gui import app
    from deltaworks_gui.logs import LogBook
    from deltaworks_gui.main_window import MainWindow

    context = app.make_context(qapp, Home(home), app.parse([]))
    book = LogBook(home / "logs")
    made = MainWindow(context, book)
    made.show()
    qtbot.waitExposed(made)
    yield made
    context.queue.cancel_all()
    qtbot.waitUntil(lambda: not context.queue.busy, timeout=10_000)
    made.close()
    assert context.tasks.close()
    assert context.queue.shutdown()
    context.library.close()
    book.close()
    made.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def click(qtbot: QtBot, inside: QWidget, name: str) -> None:
    """Press a named button as a user does."""
    button = inside.findChild(QPushButton, name)
    assert button is not None, f"there is no button {name}"
    qtbot.waitUntil(lambda: button.isVisible() and button.isEnabled(), timeout=30_000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.mark.engine
@pytest.mark.timeout(SECONDS * BUSY + 120)
def test_two_clicks_lead_to_a_plot_and_a_kept_delta(real_window: MainWindow, qtbot: QtBot) -> None:
    queue = real_window.context.queue
    trials: list[dict[str, Any]] = []
    queue.measured.connect(
        lambda _job, subject, values: trials.append(values) if subject == "trial" else None
    )
    qtbot.waitUntil(lambda: real_window.findChild(QWidget, "Empty_Library") is not None)

    click(qtbot, real_window.findChild(QWidget, "Empty_Library"), "btn_demo")
    qtbot.waitUntil(
        lambda: real_window.findChild(QWidget, "Page_Workbench") is not None, timeout=60_000
    )
    click(qtbot, real_window.findChild(QWidget, "Page_Workbench"), "btn_run")
    with qtbot.waitSignal(queue.job_ended, timeout=SECONDS * BUSY * 1000) as ended:
        pass

    job = ended.args[0]
    assert job.error == ""
    sweep = job.report["results"]["sweep"]
    done = [trial for trial in sweep["trials"] if trial["state"] == "done"]
    assert len(done) >= 12
    assert len({trial["method"] for trial in done}) >= 4
    assert all(trial["measured_on"] for trial in done)
    assert {one["id"] for one in sweep["references"]} == {"expert", "base"}
    on_front = [trial for trial in done if trial["on_front"]]
    assert on_front
    best = [trial for trial in done if trial["recommended"]]
    assert {trial["expert"] for trial in best} == {trial["expert"] for trial in done}
    for trial in best:
        assert trial["quality"] >= 0.98
        assert Path(trial["artefact"]).is_file()
    assert sum(trial["state"] == "done" for trial in trials) >= len(done)
    page = real_window.findChild(QWidget, "Page_Results")
    qtbot.waitUntil(lambda: len(page.canvas.points) == len(done), timeout=5000)
    check_kept_delta(real_window.context, qtbot, best[0])


def check_kept_delta(context: AppContext, qtbot: QtBot, trial: dict[str, Any]) -> None:
    """A03: the header tells where it came from; a library opened afresh lists it."""
    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.library.library import Library
    from deltaworks.product import VERSION

    with open_checkpoint(trial["artefact"]) as delta:
        assert delta.recipe["base"]["path"].endswith("polder-base")
        assert delta.manifest.base.tensors
        assert delta.metadata["app_version"] == VERSION
    qtbot.waitUntil(lambda: context.library.row_at(trial["artefact"]) is not None, timeout=10_000)
    again = Library(context.home)
    again.scan(JobControl())
    row = again.row_at(trial["artefact"])
    again.close()
    assert row is not None
    assert (row.role, row.family) == ("Delta", "polder-base")
    assert row.saved_bytes == trial["original_bytes"] - trial["file_bytes"] > 0


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(SECONDS * BUSY + 120)
def test_the_demo_sweep_takes_a_minute_once_the_engine_is_warm(
    real_window: MainWindow, qtbot: QtBot
) -> None:
    queue = real_window.context.queue
    click(qtbot, real_window.findChild(QWidget, "Empty_Library"), "btn_demo")
    qtbot.waitUntil(
        lambda: real_window.findChild(QWidget, "Page_Workbench") is not None, timeout=60_000
    )
    click(qtbot, real_window.findChild(QWidget, "Page_Workbench"), "btn_run")
    with qtbot.waitSignal(queue.job_ended, timeout=SECONDS * BUSY * 1000) as first:
        pass
    recipe = first.args[0].recipe | {"output": first.args[0].recipe["output"] + "-again"}

    started = time.monotonic()
    queue.submit("again", recipe)
    with qtbot.waitSignal(queue.job_ended, timeout=SECONDS * BUSY * 1000) as second:
        pass

    assert second.args[0].error == ""
    assert time.monotonic() - started <= SECONDS
