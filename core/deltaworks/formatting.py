"""Numbers as people read them: one formatter for the window and the command line.

Sizes are decimal with three significant digits, trailing zeros dropped. The window
passes its locale's decimal point; everything else is the same everywhere.
"""

from __future__ import annotations

from datetime import datetime
from math import floor, isfinite, log10

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNT_UNITS = ("", "k", "M", "B", "T")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

UNKNOWN = "—"


def size(n_bytes: float | None, *, point: str = ".") -> str:
    """Bytes in decimal units: ``3.1 MB``, ``812 B``; a dash when unknown."""
    if n_bytes is None:
        return UNKNOWN
    return _scaled(n_bytes, _SIZE_UNITS, point)


def exact_size(n_bytes: int) -> str:
    """Bytes to the last one, for tooltips: ``3,104,512 bytes``."""
    return f"{n_bytes:,} byte{'' if n_bytes == 1 else 's'}"


def count(number: float | None, *, point: str = ".") -> str:
    """A count of numbers: ``1.24 B``, ``1.64 M``, ``960``; a dash when unknown."""
    if number is None:
        return UNKNOWN
    return _scaled(number, _COUNT_UNITS, point).rstrip()


def percent(share: float | None, *, point: str = ".") -> str:
    """A fraction as ``98.1 %``; a dash when unknown."""
    if share is None:
        return UNKNOWN
    return f"{significant(100.0 * share, point=point)} %"


def ratio(value: float | None, *, point: str = ".") -> str:
    """How many times smaller: ``15.5×``; a dash when unknown."""
    if value is None:
        return UNKNOWN
    return f"{significant(value, point=point)}×"


def significant(value: float, *, digits: int = 3, point: str = ".") -> str:
    """Round to some significant digits without an exponent or trailing zeros.

    Integers keep all their digits: 1234.5 gives ``1234``, not ``1230``.
    """
    if value == 0 or not isfinite(value):
        return "0" if value == 0 else UNKNOWN
    decimals = digits - 1 - floor(log10(abs(value)))
    if decimals <= 0:
        return f"{value:.0f}"
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".").replace(".", point)


def duration(seconds: float | None, *, point: str = ".") -> str:
    """A span of time in its two largest units: ``4 min 10 s``; a dash when unknown."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1.0:
        return f"{round(1000 * seconds)} ms"
    if seconds < 9.95:
        return f"{significant(round(seconds, 1), point=point)} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def remaining(seconds: float | None) -> str:
    """Time left, rounded so that it does not jump: ``about 4 min``; a dash when unknown."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return "a few seconds"
    if seconds < 50:
        return f"about {round(seconds / 10) * 10} s"
    if seconds < 50 * _MINUTE:
        return f"about {max(1, round(seconds / _MINUTE))} min"
    if seconds < 20 * _HOUR:
        return f"about {max(1, round(seconds / _HOUR))} h"
    return f"about {max(1, round(seconds / _DAY))} d"


def relative_date(when_ns: int | None, *, now_ns: int) -> str:
    """A moment as seen from now: ``3 h ago``, ``yesterday``; the date when long ago.

    Args:
        when_ns: nanoseconds since the epoch; None when it never was.
        now_ns: the present, likewise.
    """
    if when_ns is None:
        return UNKNOWN
    ago = (now_ns - when_ns) / 1e9
    if ago < -_MINUTE:
        return absolute_date(when_ns)[:10]
    for below, text in (
        (_MINUTE, "just now"),
        (_HOUR, f"{ago / _MINUTE:.0f} min ago"),
        (22 * _HOUR, f"{ago / _HOUR:.0f} h ago"),
        (36 * _HOUR, "yesterday"),
        (14 * _DAY, f"{ago / _DAY:.0f} days ago"),
        (60 * _DAY, f"{ago / (7 * _DAY):.0f} weeks ago"),
    ):
        if ago < below:
            return text
    return absolute_date(when_ns)[:10]


def absolute_date(when_ns: int) -> str:
    """A moment in local time: ``2026-03-14 15:09``."""
    return datetime.fromtimestamp(when_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M")


def _scaled(value: float, units: tuple[str, ...], point: str) -> str:
    magnitude, unit = abs(value), 0
    # 999.6 kB reads as 1 MB: rounding to three digits happens before the unit is chosen.
    while magnitude >= 999.5 and unit < len(units) - 1:
        magnitude, unit = magnitude / 1000, unit + 1
    number = significant(magnitude, point=point)
    return f"{'-' if value < 0 else ''}{number} {units[unit]}"


def _two(seconds: int, large: int, large_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(seconds, large)
    part = rest // small
    return f"{whole} {large_name} {part} {small_name}" if part else f"{whole} {large_name}"
