"""Log lines: bounded, filtered, followed, and never slow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from deltaworks_gui.docks.log_dock import LogDock
from deltaworks_gui.logs import LogBook
from deltaworks_gui.models.log import LogLine, LogModel


def lines(count: int, level: int = logging.INFO) -> list[LogLine]:
    return [LogLine(float(n), level, "test", f"line {n}") for n in range(count)]


@pytest.fixture
def book(tmp_path: Path, qapp: Any) -> Iterator[LogBook]:
    made = LogBook(tmp_path / "logs")
    yield made
    made.close()


def test_it_is_a_sound_model_and_keeps_the_newest(qtmodeltester: ModelTester, qapp: Any) -> None:
    model = LogModel(limit=100)
    qtmodeltester.check(model)  # type: ignore[no-untyped-call]  # untyped there

    model.append(lines(90))
    model.append(lines(90, logging.ERROR))

    assert model.rowCount() == model.total == 100
    assert model.line_at(99).message == "line 89"
    assert model.line_at(9).level == logging.INFO
    assert model.line_at(10).level == logging.ERROR


def test_level_and_text_filter(qapp: Any) -> None:
    model = LogModel()
    model.append([*lines(20), LogLine(1.0, logging.ERROR, "engine", "Stopped badly")])

    model.set_filter(logging.WARNING, "")
    assert model.rowCount() == 1
    model.set_filter(logging.INFO, "STOPPED")
    assert model.line_at(0).source == "engine"
    model.append([LogLine(2.0, logging.INFO, "engine", "not this")])
    assert model.rowCount() == 1


def test_records_of_any_logger_reach_the_model_and_the_file(book: LogBook, qtbot: QtBot) -> None:
    logging.getLogger("some.where").warning("%s files", 3)
    try:
        raise ValueError("inner cause")
    except ValueError:
        logging.getLogger("some.where").exception("went wrong")

    qtbot.waitUntil(lambda: book.model.total == 2, timeout=3000)
    assert book.model.line_at(0).message == "3 files"
    book.close()
    text = (book.folder / "deltaworks.log").read_text()
    assert "WARNING some.where: 3 files" in text
    assert "ValueError: inner cause" in text


def test_a_hundred_thousand_lines_leave_memory_bounded_and_the_window_quick(
    book: LogBook, qtbot: QtBot, latency: Any
) -> None:
    dock = LogDock(book.model)
    qtbot.addWidget(dock)
    dock.show()
    latency.start()

    for _ in range(50):
        book.model.append(lines(2000))
        qtbot.wait(1)
    latency.stop()

    assert book.model.total == 10_000
    assert max(latency.late_ms) <= 150 * 2


def test_follow_lets_go_when_the_user_scrolls_up(book: LogBook, qtbot: QtBot) -> None:
    dock = LogDock(book.model)
    qtbot.addWidget(dock)
    dock.resize(600, 200)
    dock.show()
    book.model.append(lines(500))
    bar = dock.table.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 0, timeout=2000)

    bar.triggerAction(bar.SliderAction.SliderToMinimum)
    assert not dock.follow.isChecked()
    book.model.append(lines(10))
    assert bar.value() == 0

    dock.follow.setChecked(True)
    assert bar.value() == bar.maximum()
