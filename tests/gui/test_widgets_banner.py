"""The banner: one at a time, in turn, heard, and never in the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from deltaworks_gui.theme import Scheme, current_theme
from deltaworks_gui.widgets.banner import Banner, BannerAction, BannerMessage


@pytest.fixture
def page(qapp: QApplication, qtbot: QtBot) -> Iterator[QWidget]:
    theme = current_theme()
    theme.apply(qapp, Scheme.LIGHT)
    theme.reduced_motion = True
    made = QWidget()
    column = QVBoxLayout(made)
    column.addWidget(Banner())
    column.addWidget(QLineEdit())
    qtbot.addWidget(made)
    with qtbot.waitExposed(made):
        made.show()
    yield made
    theme.reduced_motion = False


@pytest.fixture
def banner(page: QWidget) -> Banner:
    found = page.findChild(Banner)
    assert isinstance(found, Banner)
    return found


def shown(banner: Banner) -> str:
    return banner.message.text if banner.message else ""


def test_no_news_takes_no_room(banner: Banner) -> None:
    assert not banner.isVisible()


def test_a_message_shows_and_is_named_for_screen_readers(banner: Banner) -> None:
    banner.post(BannerMessage("Done: 1.03 GB instead of 16.1 GB", "good"))

    assert banner.isVisible()
    assert banner.accessibleName() == "Done: 1.03 GB instead of 16.1 GB"
    assert banner.property("surface") == "good"
    assert banner.height() == current_theme().metrics.banner


def test_messages_wait_their_turn(banner: Banner) -> None:
    for text in ("one", "two", "three"):
        banner.post(BannerMessage(text))

    seen = []
    while banner.message:
        seen.append(shown(banner))
        banner.dismiss()

    assert seen == ["one", "two", "three"]
    assert not banner.isVisible()


def test_a_message_replaces_the_one_with_its_id(banner: Banner) -> None:
    banner.post(BannerMessage("Scanning: 1 model", id="scan"))
    banner.post(BannerMessage("Job failed", id="job"))

    banner.post(BannerMessage("Scanning: 2 models", id="scan"))
    banner.post(BannerMessage("Job failed twice", id="job"))

    assert shown(banner) == "Scanning: 2 models"
    assert [message.text for message in banner.waiting] == ["Job failed twice"]


def test_an_action_is_told_with_its_message(banner: Banner, qtbot: QtBot) -> None:
    actions = (BannerAction("show", "Show delta"), BannerAction("try", "Try it"))
    banner.post(BannerMessage("Done", "good", id="sweep-7", actions=actions))

    with qtbot.waitSignal(banner.acted) as caught:
        banner.findChild(QPushButton, "btn_banner_2").click()

    assert caught.args == ["sweep-7", "try"]


def test_buttons_without_an_action_are_hidden(banner: Banner) -> None:
    banner.post(BannerMessage("Done", actions=(BannerAction("show", "Show"),)))

    assert banner.findChild(QPushButton, "btn_banner_1").isVisible()
    assert not banner.findChild(QPushButton, "btn_banner_2").isVisible()


def test_more_than_two_actions_are_refused() -> None:
    three = tuple(BannerAction(str(n), str(n)) for n in range(3))

    with pytest.raises(AssertionError):
        BannerMessage("Too much", actions=three)


def test_a_passing_message_goes_by_itself(banner: Banner, qtbot: QtBot) -> None:
    with qtbot.waitSignal(banner.closed, timeout=2000) as caught:
        banner.post(BannerMessage("Scan finished", id="scan", hide_after_ms=20))

    assert caught.args == ["scan"]
    assert banner.message is None


def test_a_lasting_message_after_a_passing_one_stays(banner: Banner, qtbot: QtBot) -> None:
    banner.post(BannerMessage("Scan finished", hide_after_ms=20))
    banner.post(BannerMessage("Job failed", "bad"))

    qtbot.waitUntil(lambda: shown(banner) == "Job failed")
    qtbot.wait(60)

    assert shown(banner) == "Job failed"


def test_the_focus_stays_where_it_is(page: QWidget, banner: Banner, qtbot: QtBot) -> None:
    field = page.findChild(QLineEdit)
    page.activateWindow()
    field.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(field.hasFocus)

    banner.post(BannerMessage("Job failed", "bad", actions=(BannerAction("log", "Show log"),)))

    assert field.hasFocus()


def test_the_close_button_closes(banner: Banner, qtbot: QtBot) -> None:
    banner.post(BannerMessage("Done", id="x"))

    with qtbot.waitSignal(banner.closed):
        qtbot.mouseClick(banner.findChild(QWidget, "btn_banner_close"), Qt.MouseButton.LeftButton)

    assert not banner.isVisible()


def test_the_fade_ends_and_leaves_nothing_behind(banner: Banner, qtbot: QtBot) -> None:
    current_theme().reduced_motion = False

    banner.post(BannerMessage("Done"))

    qtbot.waitUntil(lambda: banner.graphicsEffect() is None, timeout=2000)
    assert banner.isVisible()
