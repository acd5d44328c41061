"""Numbers as people read them. The one formatter of the window.

Sizes are decimal with three significant digits; everything goes through QLocale.
"""

from __future__ import annotations

import math
import time
from datetime import datetime

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNTS = ("", " k", " M", " B", " T")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def _tr(text: str, count: int = -1) -> str:
    return QCoreApplication.translate("formats", text, None, count)


def format_size(size_bytes: int | None) -> str:
    """``12.4 GB``; empty when unknown."""
    if size_bytes is None:
        return ""
    return _scaled(size_bytes, 1000, tuple(f" {unit}" for unit in _SIZES))


def format_exact_size(size_bytes: int | None) -> str:
    """``12,400,000,000 bytes``, for tooltips."""
    if size_bytes is None:
        return ""
    return _tr("{0} bytes").format(_grouped(size_bytes))


def format_count(count: int | None) -> str:
    """``1.24 B`` parameters; empty when unknown."""
    return "" if count is None else _scaled(count, 1000, _COUNTS)


def format_number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits."""
    if not math.isfinite(value):
        return "—"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 1
    return QLocale().toString(value, "f", max(0, digits - whole))


def format_percent(share: float | None, decimals: int = 1) -> str:
    """``98.2 %`` of a share where 1 is all; empty when unknown."""
    if share is None or not math.isfinite(share):
        return ""
    text = QLocale().toString(share * 100.0, "f", decimals)
    point = QLocale().decimalPoint()
    if point in text:
        text = text.rstrip("0").removesuffix(point)
    return _tr("{0} %").format(text)


def format_seconds(seconds: float) -> str:
    """``4 min 10 s``."""
    whole = int(seconds)
    if whole < _MINUTE:
        return _tr("{0} s").format(whole)
    if whole < _HOUR:
        return _tr("{0} min {1} s").format(whole // _MINUTE, whole % _MINUTE)
    return _tr("{0} h {1} min").format(whole // _HOUR, whole % _HOUR // _MINUTE)


def format_about(seconds: float | None) -> str:
    """``about 4 min``, rounded; a dash until known."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return _tr("a few seconds")
    if seconds < _MINUTE:
        return _tr("about {0} s").format(round(seconds / 10) * 10)
    if seconds < _HOUR:
        return _tr("about {0} min").format(round(seconds / _MINUTE))
    hours, rest = divmod(round(seconds / _MINUTE / 10) * 10, 60)
    return _tr("about {0} h {1} min").format(hours, rest)


def format_ago(when: float, now: float | None = None) -> str:
    """``3 hours ago``; seconds since the epoch."""
    past = max(0.0, (time.time() if now is None else now) - when)
    if past < _MINUTE:
        return _tr("just now")
    if past < _HOUR:
        return _plural("1 minute ago", "{0} minutes ago", int(past // _MINUTE))
    if past < _DAY:
        return _plural("1 hour ago", "{0} hours ago", int(past // _HOUR))
    if past < 7 * _DAY:
        return _plural("1 day ago", "{0} days ago", int(past // _DAY))
    if past < 60 * _DAY:
        return _plural("1 week ago", "{0} weeks ago", int(past // (7 * _DAY)))
    return format_date(when)


def format_date(when: float) -> str:
    """The day in the user's short form."""
    return QLocale().toString(_moment(when).date(), QLocale.FormatType.ShortFormat)


def format_moment(when: float) -> str:
    """Day and time, for tooltips."""
    return QLocale().toString(_moment(when), QLocale.FormatType.ShortFormat)


def format_clock(when: float) -> str:
    """``14:05:31``, for logs."""
    return datetime.fromtimestamp(when).strftime("%H:%M:%S")


def _moment(when: float) -> QDateTime:
    return QDateTime.fromSecsSinceEpoch(int(when))


def _plural(one: str, many: str, count: int) -> str:
    return _tr(one) if count == 1 else _tr(many).format(count)


def _grouped(count: int) -> str:
    # QLocale.toString(int) is 32 bits wide in this binding's overload choice.
    return f"{count:,}".replace(",", QLocale().groupSeparator())


def _scaled(value: int, step: int, units: tuple[str, ...]) -> str:
    sign = "-" if value < 0 else ""
    number, place = float(abs(value)), 0
    while number >= step - 0.5 and place < len(units) - 1:
        number /= step
        place += 1
    shown = str(abs(value)) if place == 0 else format_number(number)
    return f"{sign}{shown}{units[place]}"
