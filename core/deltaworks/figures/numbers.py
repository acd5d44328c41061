"""Numbers as figures write them: decimal units, three significant digits."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def bytes_text(size: float, digits: int = 3) -> str:
    """Write a size: ``512 B``, ``3.1 MB``, ``16.1 GB``; no trailing zeros."""
    power = 0
    while power < len(_UNITS) - 1 and float(f"{abs(size) / 1000**power:.{digits}g}") >= 1000:
        power += 1
    return f"{_plain(size / 1000**power, digits)} {_UNITS[power]}"


def percent_text(share: float, decimals: int = 1) -> str:
    """Write a share: ``98.2 %``. Only the whole is written as 100 %."""
    value = round(100 * share, decimals)
    if value == 100.0 and share < 1.0:
        value = 100.0 - 10.0**-decimals  # never round a loss away
    return f"{value:.{decimals}f} %"


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{float(text):g}" if "e" in text else text
