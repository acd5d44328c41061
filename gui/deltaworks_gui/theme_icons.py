"""Icons and drawings, tinted from the tokens and rendered as sharp as the screen."""

from __future__ import annotations

import re
from functools import lru_cache

from PySide6.QtCore import QByteArray, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from deltaworks_gui.theme_tokens import Tokens
from deltaworks_resources import icon_svg
from deltaworks_resources import illustration as illustration_template

_RATIOS = (1.0, 2.0)
_TOKEN = re.compile(r"@([a-z0-9-]+)@")


def tinted(name: str, color: str) -> bytes:
    """The drawing of an icon in one colour."""
    return icon_svg(name).replace(b"currentColor", color.encode("ascii"))


@lru_cache(maxsize=2048)
def pixmap(name: str, color: str, size: int, ratio: float) -> QPixmap:
    """An icon ``size`` px square, for a screen of ``ratio`` device pixels a px."""
    return _render(tinted(name, color), QSize(size, size), ratio)


@lru_cache(maxsize=512)
def icon(
    name: str, tokens: Tokens, color_token: str, size: int, ratio: float, gap: int = 0
) -> QIcon:
    """An icon with a normal, a disabled and a selected look.

    ``gap`` adds empty px on the side of the text, as buttons set theirs too close.
    """
    made = QIcon()
    selected = "text" if color_token.startswith("text") else color_token
    looks = (
        (QIcon.Mode.Normal, color_token),
        (QIcon.Mode.Active, color_token),
        (QIcon.Mode.Selected, selected),
        (QIcon.Mode.Disabled, "disabled"),
    )
    for mode, token in looks:
        for one in sorted({*_RATIOS, ratio}):
            made.addPixmap(_with_gap(pixmap(name, tokens.color(token), size, one), gap), mode)
    return made


@lru_cache(maxsize=16)
def illustration(name: str, tokens: Tokens, height: int, ratio: float) -> QPixmap:
    """A drawing in several colours, ``height`` px high."""
    text = _TOKEN.sub(lambda match: tokens.color(match[1]), illustration_template(name))
    content = text.encode("utf-8")
    natural = QSvgRenderer(QByteArray(content)).defaultSize()
    width = round(natural.width() * height / natural.height())
    return _render(content, QSize(width, height), ratio)


def _with_gap(picture: QPixmap, gap: int) -> QPixmap:
    if not gap:
        return picture
    ratio = picture.devicePixelRatio()
    made = QPixmap(picture.size() + QSize(round(gap * ratio), 0))
    made.fill(Qt.GlobalColor.transparent)
    made.setDevicePixelRatio(ratio)
    painter = QPainter(made)
    text_is_right = QGuiApplication.layoutDirection() == Qt.LayoutDirection.LeftToRight
    painter.drawPixmap(QPointF(0 if text_is_right else gap, 0), picture)
    painter.end()
    return made


def _render(content: bytes, size: QSize, ratio: float) -> QPixmap:
    made = QPixmap(size * ratio)
    made.fill(Qt.GlobalColor.transparent)
    painter = QPainter(made)
    QSvgRenderer(QByteArray(content)).render(painter, QRectF(made.rect()))
    painter.end()
    made.setDevicePixelRatio(ratio)
    return made
