"""The look: colours that can be read, icons that can be seen, themes that really change."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction, QFont, QFontInfo, QIcon, QImage, QPalette
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

import deltaworks_gui
from deltaworks_gui import theme_tokens
from deltaworks_gui.theme import Scheme, Theme, contrast_ratio, current_theme, set_look, tabular
from deltaworks_gui.theme_tokens import (
    DARK,
    LIGHT,
    MARKS_ON,
    SCHEMES,
    TEXT_ON,
    TYPE,
    Metrics,
    Tokens,
    series_colors,
)
from deltaworks_resources import (
    demo_folder,
    font_files,
    font_licences,
    icon_names,
    icon_svg,
    illustration,
    style_template,
)

THEMES = pytest.mark.parametrize("tokens", SCHEMES.values(), ids=SCHEMES.keys())

NEEDED_ICONS = [
    "library",
    "families",
    "workbench",
    "results",
    "playground",
    "storage",
    "base",
    "expert",
    "delta",
    "merge",
    "repaired",
    "unknown",
    "search",
    "filter",
    "download",
    "plus",
    "more",
    "close",
    "check",
    "warning",
    "cross",
    "info",
    "lock",
    "missing",
    "incomplete",
    "unsafe",
    "changed",
    "duplicate",
    "offline",
    "spinner",
    "pause",
    "play",
    "up",
    "down",
    "retry",
    "log",
    "folder",
    "copy",
    "export",
    "columns",
    "chevron-down",
    "chevron-right",
    "chevron-left",
    "undo",
    "redo",
    "settings",
    "help",
    "star-filled",
    "arrow-right",
    "trash",
    "keyboard",
    "moon",
    "sun",
    "cpu",
    "gpu",
]


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    held = current_theme()
    held.apply(qapp, Scheme.LIGHT)
    yield held
    held.apply(qapp, Scheme.LIGHT)


def is_blank(image: QImage) -> bool:
    copy = image.convertToFormat(QImage.Format.Format_ARGB32)
    return not any(bytes(copy.constBits())[3::4])


# --- Colours --------------------------------------------------------------------------------


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast_ratio("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert contrast_ratio("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@THEMES
def test_every_text_reads_on_every_ground_it_stands_on(tokens: Tokens) -> None:
    too_faint = [
        f"{text} on {ground}: {ratio:.2f}"
        for text, grounds in TEXT_ON.items()
        for ground in grounds
        if (ratio := contrast_ratio(tokens.color(text), tokens.color(ground))) < 4.5
    ]

    assert too_faint == []


@THEMES
def test_borders_and_marks_can_be_told_from_their_ground(tokens: Tokens) -> None:
    too_faint = [
        f"{mark} on {ground}: {ratio:.2f}"
        for mark, grounds in MARKS_ON.items()
        for ground in grounds
        if (ratio := contrast_ratio(tokens.color(mark), tokens.color(ground))) < 3.0
    ]

    assert too_faint == []


@THEMES
def test_high_contrast_is_never_fainter(tokens: Tokens) -> None:
    loud = tokens.with_high_contrast()

    for name in ("line", "line-strong", "text-2", "text-3", "disabled"):
        before = contrast_ratio(tokens.color(name), tokens.surface)
        assert contrast_ratio(loud.color(name), loud.surface) > before


@THEMES
def test_every_series_has_an_edge_that_shows_and_a_shape_of_its_own(tokens: Tokens) -> None:
    series = series_colors(tokens.name)

    assert all(contrast_ratio(one.edge, tokens.bg) >= 3.0 for one in series)
    assert all(contrast_ratio(one.edge, tokens.surface) >= 3.0 for one in series)
    assert len({one.marker for one in series}) == len({one.color for one in series}) == 8


def test_only_the_tokens_name_colours() -> None:
    package = Path(deltaworks_gui.__file__).parent
    own = ("theme*.py", "gallery*.py", "widgets/*.py")
    files = [f for pattern in own for f in package.glob(pattern) if f.name != "theme_tokens.py"]

    assert len(files) > 15
    for file in files:
        assert not re.findall(r"#[0-9A-Fa-f]{6}\b|rgba?\(", file.read_text("utf-8")), file.name
    assert not re.findall(r"#[0-9A-Fa-f]{6}\b|rgba?\(", style_template())


# --- Themes ---------------------------------------------------------------------------------


def test_the_palette_really_changes_where_the_platform_ignores_the_scheme(
    theme: Theme, qapp: QApplication, qtbot: QtBot
) -> None:
    before = qapp.palette().color(QPalette.ColorRole.Window).name()

    with qtbot.waitSignal(theme.changed):
        theme.apply(qapp, Scheme.DARK)

    palette = qapp.palette()
    assert before.upper() == LIGHT.surface
    assert palette.color(QPalette.ColorRole.Window).name().upper() == DARK.surface
    assert palette.color(QPalette.ColorRole.WindowText).name().upper() == DARK.text
    assert DARK.accent in qapp.styleSheet()
    assert theme.is_dark


def test_the_system_theme_is_one_of_the_two(theme: Theme, qapp: QApplication) -> None:
    theme.apply(qapp, "system")

    wants_dark = qapp.styleHints().colorScheme() == Qt.ColorScheme.Dark
    assert theme.scheme is Scheme.SYSTEM
    assert theme.tokens.name == ("dark" if wants_dark else "light")


def test_a_system_that_goes_dark_leaves_an_explicit_choice_alone(
    theme: Theme, qapp: QApplication
) -> None:
    theme.apply(qapp, Scheme.LIGHT)

    qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)

    assert not theme.is_dark


@THEMES
def test_no_placeholder_is_left_in_the_style_sheet(
    tokens: Tokens, theme: Theme, qapp: QApplication
) -> None:
    theme.apply(qapp, tokens.name)

    sheet = qapp.styleSheet()

    assert "@" not in sheet
    pictures = re.findall(r'url\("([^"]+)"\)', sheet)
    assert pictures
    assert all(Path(picture).is_file() for picture in pictures)


def test_sizes_follow_the_text(theme: Theme, qapp: QApplication) -> None:
    usual = theme.font().pointSizeF()

    theme.apply(qapp, Scheme.LIGHT, text_scale=2.0)

    assert theme.font().pointSizeF() == pytest.approx(2 * usual)
    assert theme.metrics.row == 2 * Metrics().row
    assert "min-height: 62px" in qapp.styleSheet()


def test_a_look_restyles_its_widget(theme: Theme, qtbot: QtBot) -> None:
    button = QPushButton("Run")
    qtbot.addWidget(button)
    button.show()
    button.resize(120, 32)
    corner = button.grab().toImage().pixelColor(20, 6).name().upper()

    set_look(button, kind="primary")

    assert corner == LIGHT.raised
    assert button.grab().toImage().pixelColor(20, 6).name().upper() == LIGHT.accent


# --- Type -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", TYPE)
def test_every_font_comes_from_the_bundle(theme: Theme, role: str) -> None:
    font = theme.font(role)

    assert QFontInfo(font).family() == TYPE[role].family


def test_tabular_figures_have_one_width(theme: Theme) -> None:
    font = tabular(theme.font())

    assert QFont.Tag("tnum").value() in {tag.value() for tag in font.featureTags()}
    assert QFont.Tag("tnum").value() not in {tag.value() for tag in theme.font().featureTags()}


def test_fonts_come_with_their_licences() -> None:
    names = [name for name, content in font_files() if len(content) > 50_000]
    licences = dict(font_licences())

    assert len(names) == 5
    assert set(licences) == {"Inter-OFL.txt", "JetBrainsMono-OFL.txt"}
    assert all("SIL OPEN FONT LICENSE Version 1.1" in text for text in licences.values())


# --- Icons ----------------------------------------------------------------------------------


def test_every_icon_that_is_named_exists() -> None:
    assert set(NEEDED_ICONS) <= set(icon_names())


@pytest.mark.parametrize("name", icon_names())
def test_an_icon_is_drawn_by_the_rules(name: str) -> None:
    root = ElementTree.fromstring(icon_svg(name))

    assert root.get("viewBox") == "0 0 24 24"
    assert root.get("stroke-width") == "1.6"
    assert root.get("stroke-linecap") == root.get("stroke-linejoin") == "round"
    for element in root.iter():
        for paint in (element.get("fill"), element.get("stroke")):
            assert paint in (None, "none", "currentColor")
        assert element.get("style") is None


@THEMES
def test_no_icon_is_blank(tokens: Tokens, theme: Theme, qapp: QApplication) -> None:
    theme.apply(qapp, tokens.name)

    blank = [n for n in icon_names() if is_blank(theme.pixmap(n, "text-2", 16).toImage())]

    assert blank == []


def test_an_unknown_icon_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing-like-it"):
        icon_svg("nothing-like-it")


def test_an_icon_is_sharp_on_a_fine_screen(theme: Theme) -> None:
    pixmap = theme.pixmap("base", "accent", 16, 2.0)

    assert pixmap.size() == QSize(32, 32)
    assert pixmap.devicePixelRatio() == 2.0


def test_a_disabled_icon_has_another_colour(theme: Theme) -> None:
    icon = theme.icon("base")

    normal = icon.pixmap(QSize(16, 16), 1.0, QIcon.Mode.Normal).toImage()
    disabled = icon.pixmap(QSize(16, 16), 1.0, QIcon.Mode.Disabled).toImage()

    assert normal != disabled
    assert not is_blank(disabled)


def test_a_bound_icon_follows_the_theme(theme: Theme, qapp: QApplication) -> None:
    action = QAction()
    theme.bind_icon(action, "trash", "bad")
    light = action.icon().pixmap(16).toImage()

    theme.apply(qapp, Scheme.DARK)

    assert action.icon().pixmap(16).toImage() != light


@THEMES
def test_the_welcome_drawing_takes_the_colours_of_the_theme(
    tokens: Tokens, theme: Theme, qapp: QApplication
) -> None:
    theme.apply(qapp, tokens.name)

    picture = theme.illustration("welcome", 96).toImage()

    colours = {picture.pixelColor(x, y).name().upper() for x in range(264) for y in range(96)}
    assert tokens.accent in colours
    assert "#" not in illustration("welcome")


def test_the_app_icon_parses() -> None:
    assert ElementTree.fromstring(illustration("app")).get("viewBox") == "0 0 64 64"


def test_the_demo_has_a_folder() -> None:
    assert demo_folder().name == "demo"


def test_token_names_are_spelt_with_hyphens_or_underscores() -> None:
    assert theme_tokens.LIGHT.color("text-2") == theme_tokens.LIGHT.color("text_2")
