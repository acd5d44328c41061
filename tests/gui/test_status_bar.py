"""The line at the foot."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from deltaworks_gui.lanes.jobs import Job, JobState, Lane
from deltaworks_gui.status_bar import StatusBar, reserve_bytes
from deltaworks_gui.widgets.chip import Chip


@pytest.fixture
def bar(qtbot: QtBot) -> StatusBar:
    made = StatusBar([Lane("gpu0", "GPU 0"), Lane("cpu", "CPU")])
    qtbot.addWidget(made)
    made.resize(1280, 28)
    made.show()
    return made


def chip(bar: StatusBar, lane: str) -> str:
    found = bar.findChild(Chip, f"LaneChip_{lane}")
    assert found is not None
    return found.text


def test_each_lane_has_a_chip_with_its_state_in_words(bar: StatusBar) -> None:
    assert chip(bar, "gpu0") == "GPU 0 idle"

    bar.show_lane(Lane("cpu", "CPU", "starting"))
    assert chip(bar, "cpu") == "CPU starting engine…"

    bar.show_lane(Lane("gpu0", "GPU 0", "running", 11_200_000_000, 24_000_000_000))
    assert chip(bar, "gpu0") == "GPU 0 running · 11.2 GB of 24.0 GB"


def test_the_job_shows_while_it_runs(bar: StatusBar) -> None:
    label, line = bar.findChild(QLabel, "StatusJob"), bar.findChild(QWidget, "StatusProgress")
    assert label is not None
    assert line is not None
    assert not label.isVisible()

    bar.show_job(Job("1", "Compress", {}, "cpu", JobState.RUNNING, 460))
    assert label.isVisible()
    assert label.text() == "Compress"
    assert line.value == 460  # type: ignore[attr-defined]  # a ProgressLine

    bar.show_job(None)
    assert not line.isVisible()


def test_three_gigabytes_and_more_are_told_right(bar: StatusBar) -> None:
    bar.show_saved(12_400_000_000)
    saved = bar.findChild(QPushButton, "btn_saved")
    assert saved is not None
    assert saved.text() == "Saved so far: 12.4 GB"

    bar.show_free(3_000_000_000_000, 4_000_000_000_000)
    free = bar.findChild(QLabel, "StatusFree")
    assert free is not None
    assert free.text() == "Free: 3.00 TB"
    assert free.toolTip() == "3,000,000,000,000 bytes"


def test_under_the_reserve_it_warns_in_words_and_shape(bar: StatusBar) -> None:
    bar.show_free(4_000_000_000, 100_000_000_000)

    short = bar.findChild(QWidget, "StatusShort")
    assert short is not None
    assert short.isVisible()
    assert short.accessibleName() == "Free: 4.00 GB"
    assert "5.00 GB" in short.toolTip()


def test_the_reserve_is_the_larger_of_two() -> None:
    assert reserve_bytes(100_000_000_000) == 5_000_000_000
    assert reserve_bytes(1_000_000_000_000) == 20_000_000_000
