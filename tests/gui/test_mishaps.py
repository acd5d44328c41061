"""Faults that nobody caught, jobs that were cut off, and the self-test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QPlainTextEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from deltaworks_gui.dialogs.crash import CrashDialog
from deltaworks_gui.dialogs.recover import RecoverDialog
from deltaworks_gui.lanes.jobs import JobState
from deltaworks_gui.lanes.queue import JobQueue
from deltaworks_gui.logs import LogBook, catch_everything
from deltaworks_gui.mishaps import Mishaps, was_cut_off

if TYPE_CHECKING:
    from deltaworks_gui.main_window import MainWindow


@pytest.fixture
def mishaps(window: MainWindow, home: Path) -> Iterator[Mishaps]:
    before = sys.excepthook, sys.unraisablehook
    book = LogBook(home / "more-logs")
    made = Mishaps(window, book)
    yield made
    made.stop()
    catch_everything()
    sys.excepthook, sys.unraisablehook = before
    book.close()


def press(dialog: QWidget, name: str) -> None:
    button = dialog.findChild(QPushButton, name)
    assert button is not None
    button.click()


def shown(window: QWidget, kind: type[QWidget]) -> list[Any]:
    return [one for one in window.findChildren(kind) if one.isVisible()]


def test_a_fault_in_a_slot_is_told_once_without_names(
    mishaps: Mishaps, window: MainWindow, qtbot: QtBot
) -> None:
    secret = f"{Path.home()}/models/private hf_abcdefghijkl"

    for _ in range(2):
        try:
            raise RuntimeError(f"cannot open {secret}")
        except RuntimeError as error:
            mishaps._hear(error)
    qtbot.waitUntil(lambda: len(shown(window, CrashDialog)) == 1)
    qtbot.wait(50)

    (dialog,) = shown(window, CrashDialog)
    text = dialog.findChild(QPlainTextEdit, "CrashReport").toPlainText()
    assert "RuntimeError: cannot open ~/models/private hf_…" in text
    assert str(Path.home()) not in text
    press(dialog, "btn_close")
    done: list[bool] = []
    QTimer.singleShot(0, window, lambda: done.append(True))
    qtbot.waitUntil(lambda: bool(done))  # the window still answers


def test_the_hook_of_python_reaches_it(mishaps: Mishaps, qtbot: QtBot) -> None:
    told: list[str] = []
    mishaps.happened.connect(told.append)
    error = ValueError("from a slot")

    from deltaworks_gui import logs

    assert logs._listener is not None
    logs._listener(error)

    qtbot.waitUntil(lambda: bool(told))
    assert "ValueError: from a slot" in told[0]


@pytest.mark.parametrize("button", ["btn_resume", "btn_discard", "btn_leave"])
def test_jobs_that_were_cut_off_are_asked_about(
    window: MainWindow,
    mishaps: Mishaps,
    engine: Any,
    script: Any,
    qtbot: QtBot,
    button: str,
) -> None:
    queue = window.context.queue
    engine.scripts = [script(dies=True, ends_at=3), script()]
    job = queue.submit("Merge a and b", {"kind": "merge"})
    qtbot.waitUntil(lambda: (queue.job(job.id) or job).state in _OVER)
    if not was_cut_off(queue.job(job.id) or job):
        queue._board.change(queue._board[job.id], state=JobState.INTERRUPTED)

    mishaps.ask_about_jobs()
    (dialog,) = shown(window, RecoverDialog)
    press(dialog, button)

    found = queue.job(job.id)
    if button == "btn_discard":
        assert found is None
    elif button == "btn_leave":
        assert found is not None
        assert found.state is JobState.INTERRUPTED
    else:
        qtbot.waitUntil(lambda: _state(queue, job.id) is JobState.SUCCEEDED)


_OVER = {JobState.FAILED, JobState.INTERRUPTED}


def _state(queue: JobQueue, job_id: str) -> JobState | None:
    job = queue.job(job_id)
    return job.state if job else None


def test_nobody_is_asked_when_nothing_was_cut_off(window: MainWindow, mishaps: Mishaps) -> None:
    mishaps.ask_about_jobs()

    assert shown(window, RecoverDialog) == []


@pytest.fixture
def program(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the window's program with arguments."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from deltaworks_gui.app import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


def test_diagnostics_are_printed_without_a_window(
    program: Callable[..., subprocess.CompletedProcess[str]], home: Path
) -> None:
    ended = program("--home", str(home), "--diagnostics")

    assert ended.returncode == 0
    assert "Deltaworks:" in ended.stdout
    assert "PySide6:" in ended.stdout


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_self_test_finds_this_installation_sound(
    program: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    ended = program("--self-test")

    facts = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert facts["ok"] is True
    assert facts["delta_bytes"] > 100_000
    assert len(facts["pages"]) == 6
