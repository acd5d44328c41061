"""The guard's checker never loses a pair that is wanted."""

from __future__ import annotations

import threading
from pathlib import Path

from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from deltaworks.library.rows import Match
from deltaworks.progress import JobControl
from deltaworks_gui.lanes.tasks import TaskPool
from deltaworks_gui.pages.workbench_guard import GuardChecker, GuardNews


def test_a_pair_stopped_before_its_check_began_is_checked_when_wanted_again(
    qapp: QApplication, qtbot: QtBot
) -> None:
    pool, gate, final = TaskPool(threads=1), threading.Event(), []
    pair = ("/m/base", "/m/expert")

    def matcher(_base: str | Path, _expert: str | Path, _control: JobControl | None) -> Match:
        return Match("match", "fits", 1.0)

    checker = GuardChecker(pool, matcher)
    checker.found.connect(lambda news: final.append(news) if news.is_final else None)
    checker._on_found(GuardNews(("", ""), None, is_final=True))  # nothing waits: no harm
    pool.start(lambda _control: gate.wait(5))
    checker._wanted, checker._waiting = {pair}, type(checker._waiting)([pair])
    checker._next()  # queued behind the gate
    checker.want([])
    checker.want([pair])
    gate.set()

    qtbot.waitUntil(lambda: bool(final), timeout=5000)
    assert final[0].pair == pair
    assert pool.close()
