"""The look at run time: which theme holds, and the palette, fonts and icons made from it.

One ``Theme`` a process, from ``current_theme()``. Widgets ask it for colours,
fonts and icons and repaint on ``changed``; nothing else names a colour or a size.
"""

from __future__ import annotations

import sys
import weakref
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, cast

import shiboken6
from PySide6.QtCore import QByteArray, QObject, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPalette, QPixmap
from PySide6.QtWidgets import QApplication, QWidget

from deltaworks_gui import theme_icons, theme_sheet
from deltaworks_gui.theme_tokens import (
    DARK,
    FADE_MS,
    FOCUS_GAP,
    FOCUS_WIDTH,
    LIGHT,
    LINE,
    RADIUS,
    RADIUS_CARD,
    SPACE_L,
    SPACE_M,
    SPACE_S,
    SPACE_XL,
    SPACE_XS,
    SPACE_XXL,
    SPACE_XXXL,
    SPIN_MS,
    TYPE,
    UI_FEATURES,
    Metrics,
    Series,
    Tokens,
    contrast_ratio,
    series_colors,
)
from deltaworks_resources import font_files

__all__ = [
    "DARK",
    "FADE_MS",
    "FOCUS_GAP",
    "FOCUS_WIDTH",
    "LIGHT",
    "LINE",
    "RADIUS",
    "RADIUS_CARD",
    "SPACE_L",
    "SPACE_M",
    "SPACE_S",
    "SPACE_XL",
    "SPACE_XS",
    "SPACE_XXL",
    "SPACE_XXXL",
    "SPIN_MS",
    "TYPE",
    "Metrics",
    "Scheme",
    "Series",
    "Theme",
    "Tokens",
    "contrast_ratio",
    "current_theme",
    "series_colors",
    "set_look",
    "tabular",
]

_POINTS_PER_INCH = 72.0


class Scheme(StrEnum):
    """What the user asked for."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


_ASKED = {
    Scheme.SYSTEM: Qt.ColorScheme.Unknown,
    Scheme.LIGHT: Qt.ColorScheme.Light,
    Scheme.DARK: Qt.ColorScheme.Dark,
}


@dataclass(frozen=True)
class _Bound:
    """The icon that follows the theme on some action or button."""

    name: str
    color_token: str
    size: int | None
    gap: int


class _HasIcon(Protocol):
    def setIcon(self, icon: QIcon) -> None: ...  # noqa: N802


class Theme(QObject):
    """The theme in force.

    Signals:
        changed: colours or sizes are others now; the style sheet is already set.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._scheme = Scheme.SYSTEM
        self._tokens = LIGHT
        self._metrics = Metrics()
        self._text_scale = 1.0
        self._reduced_motion = False
        self._applying = False
        self._fonts_loaded = False
        self._sheet = theme_sheet.StyleSheet()
        self._bound: weakref.WeakKeyDictionary[QObject, _Bound] = weakref.WeakKeyDictionary()

    # --- what holds -------------------------------------------------------------------------

    @property
    def scheme(self) -> Scheme:
        """What was asked for."""
        return self._scheme

    @property
    def tokens(self) -> Tokens:
        """The colours in force."""
        return self._tokens

    @property
    def metrics(self) -> Metrics:
        """The sizes in force."""
        return self._metrics

    @property
    def is_dark(self) -> bool:
        """Whether the dark theme is in force."""
        return self._tokens.name == "dark"

    @property
    def reduced_motion(self) -> bool:
        """Whether nothing may move; from the settings, as Qt does not tell."""
        return self._reduced_motion

    @reduced_motion.setter
    def reduced_motion(self, value: bool) -> None:
        self._reduced_motion = value

    def color(self, token: str) -> QColor:
        """A colour by its token's name."""
        return QColor(self._tokens.color(token))

    def font(self, role: str = "base") -> QFont:
        """The font of a step of the type scale, at the user's text size."""
        style = TYPE[role]
        font = QFont(style.family)
        font.setPointSizeF(self._points(style.size))
        font.setWeight(QFont.Weight(style.weight))
        for feature, value in UI_FEATURES.items():
            font.setFeature(QFont.Tag(feature), value)
        return font

    # --- icons ------------------------------------------------------------------------------

    def icon(
        self, name: str, color_token: str = "text-2", size: int | None = None, *, gap: int = 0
    ) -> QIcon:
        """An icon in one of the theme's colours, with disabled and selected looks.

        ``gap`` adds empty px between it and the text of a button.
        """
        side = size or self._metrics.icon
        return theme_icons.icon(name, self._tokens, color_token, side, _device_ratio(), gap)

    def pixmap(self, name: str, color_token: str, size: int, ratio: float = 1.0) -> QPixmap:
        """An icon as a pixmap, for delegates; ``size`` is in device-independent px."""
        return theme_icons.pixmap(name, self._tokens.color(color_token), size, ratio)

    def illustration(self, name: str, height: int, ratio: float = 1.0) -> QPixmap:
        """A drawing in the theme's colours."""
        return theme_icons.illustration(name, self._tokens, height, ratio)

    def bind_icon(
        self,
        target: QObject,
        name: str,
        color_token: str = "text-2",
        size: int | None = None,
        *,
        gap: int = 0,
    ) -> None:
        """Give an action or a button an icon that follows the theme."""
        self._bound[target] = _Bound(name, color_token, size, gap)
        self._dress(target)

    # --- change -----------------------------------------------------------------------------

    def apply(
        self, app: QApplication, scheme: Scheme | str = Scheme.SYSTEM, *, text_scale: float = 1.0
    ) -> None:
        """Make a theme hold for the whole application."""
        first = not self._fonts_loaded
        self._scheme = Scheme(scheme)
        self._text_scale = text_scale
        self._metrics = Metrics().scaled(text_scale)
        if first:
            self._prepare(app)
        self._applying = True
        try:
            app.styleHints().setColorScheme(_ASKED[self._scheme])
        finally:
            self._applying = False
        self._become(app)

    def _prepare(self, app: QApplication) -> None:
        """Once a process: fonts, the style that the sheet is drawn on, the system's news."""
        for _name, content in font_files():
            QFontDatabase.addApplicationFontFromData(QByteArray(content))
        self._fonts_loaded = True
        if sys.platform not in ("win32", "darwin") or app.platformName() == "offscreen":
            app.setStyle("Fusion")
        hints = app.styleHints()
        hints.colorSchemeChanged.connect(self._on_system_changed)
        accessibility = getattr(hints, "accessibility", None)  # Qt 6.10 and later
        if accessibility is not None:
            accessibility().contrastPreferenceChanged.connect(self._on_system_changed)

    @Slot()
    def _on_system_changed(self) -> None:
        app = QApplication.instance()
        if isinstance(app, QApplication) and not self._applying:
            self._become(app)

    def _become(self, app: QApplication) -> None:
        tokens = DARK if self._wants_dark(app) else LIGHT
        self._tokens = tokens.with_high_contrast() if _wants_contrast(app) else tokens
        # The product's own palette always: where the platform followed, it sharpens the
        # colours; where it did not (offscreen, bare X11), it is the theme.
        app.setPalette(self._palette())
        app.setFont(self.font())
        sheet = self._sheet.build(self._tokens, self._metrics, self._points)
        if sheet != app.styleSheet():
            app.setStyleSheet(sheet)
        for target in list(self._bound):
            if shiboken6.isValid(target):
                self._dress(target)
        self.changed.emit()

    def _dress(self, target: QObject) -> None:
        bound = self._bound[target]
        icon = self.icon(bound.name, bound.color_token, bound.size, gap=bound.gap)
        cast(_HasIcon, target).setIcon(icon)

    def _wants_dark(self, app: QApplication) -> bool:
        if self._scheme is not Scheme.SYSTEM:
            return self._scheme is Scheme.DARK
        return app.styleHints().colorScheme() == Qt.ColorScheme.Dark

    def _palette(self) -> QPalette:
        palette = QPalette()
        role = QPalette.ColorRole
        for color_role, token in _PALETTE.items():
            palette.setColor(color_role, self.color(token))
        for color_role in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
            palette.setColor(QPalette.ColorGroup.Disabled, color_role, self.color("disabled"))
        return palette

    def _points(self, px: float) -> float:
        """Px at 100 % as points: style sheets take fractions of these only."""
        screen = QGuiApplication.primaryScreen()
        dpi = screen.logicalDotsPerInchY() if screen else 96.0
        return px * self._text_scale * _POINTS_PER_INCH / dpi


_ROLE = QPalette.ColorRole
_PALETTE = {
    _ROLE.Window: "surface",
    _ROLE.WindowText: "text",
    _ROLE.Base: "surface",
    _ROLE.AlternateBase: "sunken",
    _ROLE.Text: "text",
    _ROLE.PlaceholderText: "text-3",
    _ROLE.Button: "raised",
    _ROLE.ButtonText: "text",
    _ROLE.BrightText: "bad",
    _ROLE.ToolTipBase: "raised",
    _ROLE.ToolTipText: "text",
    _ROLE.Highlight: "selection",
    _ROLE.HighlightedText: "text",
    _ROLE.Accent: "accent",
    _ROLE.Link: "accent",
    _ROLE.LinkVisited: "accent-hover",
    _ROLE.Light: "raised",
    _ROLE.Midlight: "surface",
    _ROLE.Mid: "line",
    _ROLE.Dark: "line-strong",
    _ROLE.Shadow: "shadow",
}

_THEME: Theme | None = None


def current_theme() -> Theme:
    """The process's theme; light until ``apply`` says otherwise."""
    global _THEME
    if _THEME is None:
        _THEME = Theme()
    return _THEME


def set_look(widget: QWidget, **properties: Any) -> None:
    """Set dynamic properties that the style sheet selects on, and restyle the widget."""
    for name, value in properties.items():
        widget.setProperty(name, value)
    if "surface" in properties:
        widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
    widget.update()


def tabular(font: QFont) -> QFont:
    """The same font with figures of one width, for columns of numbers."""
    figures = QFont(font)
    figures.setFeature(QFont.Tag("tnum"), 1)
    return figures


def _device_ratio() -> float:
    app = QGuiApplication.instance()
    return app.devicePixelRatio() if isinstance(app, QGuiApplication) else 1.0


def _wants_contrast(app: QApplication) -> bool:
    accessibility = getattr(app.styleHints(), "accessibility", None)
    if accessibility is None:
        return False
    return bool(accessibility().contrastPreference() == Qt.ContrastPreference.HighContrast)
