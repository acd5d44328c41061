"""What a value of an option may be, and how a list of values is written. No widgets here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QCoreApplication

from deltaworks.options import OptionInfo

MOST_VALUES = 1000
_DIGITS = 6


def _tr(text: str) -> str:
    return QCoreApplication.translate("OptionForm", text)


@dataclass(frozen=True, slots=True)
class ValueList:
    """What a list means, or why it means nothing.

    Args:
        values: in the order written, each once; empty when there is a fault.
        fault: one clause for the message beside the field.
    """

    values: tuple[Any, ...] = ()
    fault: str = ""


def number_text(value: float) -> str:
    """A number without an exponent or trailing zeros: ``0.25``, ``2``, ``65536``."""
    if isinstance(value, int):
        return str(value)
    decimals = max(0, _DIGITS - 1 - (math.floor(math.log10(abs(value))) if value else 0))
    text = f"{value:.{min(decimals, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def value_text(info: OptionInfo, value: Any) -> str:
    """A value as it is written in a list."""
    if info.kind == "flag":
        return "on" if value else "off"
    return number_text(value) if info.kind in ("integer", "real") else str(value)


def list_text(info: OptionInfo, values: Iterable[Any]) -> str:
    """Values as they are written in a field: ``2, 4, 8``."""
    return ", ".join(value_text(info, value) for value in values)


def bounds_text(info: OptionInfo) -> str:
    """``above 0, at most 16``; empty when everything is allowed."""
    parts = []
    if info.minimum is not None:
        form = _tr("above {0}") if info.excludes_minimum else _tr("at least {0}")
        parts.append(form.format(number_text(info.minimum)))
    if info.maximum is not None:
        form = _tr("below {0}") if info.excludes_maximum else _tr("at most {0}")
        parts.append(form.format(number_text(info.maximum)))
    return ", ".join(parts)


def value_fault(info: OptionInfo, value: Any) -> str:
    """Why a value cannot be taken, one clause; empty when it can."""
    if info.kind == "choice" and str(value) not in info.choices:
        return _tr("{0} is none of {1}").format(value, ", ".join(info.choices))
    if info.kind not in ("integer", "real") or not isinstance(value, (int, float)):
        return ""
    low, high = info.minimum, info.maximum
    if low is not None and (value < low or (value == low and info.excludes_minimum)):
        return _tr("{0} is too small: {1}").format(number_text(value), bounds_text(info))
    if high is not None and (value > high or (value == high and info.excludes_maximum)):
        return _tr("{0} is too large: {1}").format(number_text(value), bounds_text(info))
    return ""


def parse_list(info: OptionInfo, text: str) -> ValueList:
    """Read ``2, 4, 8``, ``start:stop:count`` or a mix of both."""
    values: list[Any] = []
    for word in re.split(r"[,;\s]+", re.sub(r"\s*:\s*", ":", text.strip())):
        if not word:
            continue
        read = _span(info, word) if ":" in word else _one(info, word)
        if read.fault:
            return read
        values.extend(read.values)
    if not values:
        return ValueList(fault=_empty_fault(info))
    if len(values) > MOST_VALUES:
        return ValueList(fault=_tr("{0} values are too many").format(len(values)))
    return ValueList(tuple(dict.fromkeys(values)))


def _empty_fault(info: OptionInfo) -> str:
    if info.kind in ("choice", "flag"):
        return _tr("Tick at least one value")
    return _tr("Write values, such as 2, 4, 8 or 1:4:4")


def _one(info: OptionInfo, word: str) -> ValueList:
    if info.kind == "flag":
        known = {"on": True, "true": True, "off": False, "false": False}
        if word.lower() not in known:
            return ValueList(fault=_tr("{0} is neither on nor off").format(word))
        return ValueList((known[word.lower()],))
    value: Any = word
    if info.kind in ("integer", "real"):
        number = _number(word)
        if number is None:
            return ValueList(fault=_tr("{0} is not a number").format(word))
        if info.kind == "integer" and number != int(number):
            return ValueList(fault=_tr("{0} is not a whole number").format(word))
        value = int(number) if info.kind == "integer" else number
    fault = value_fault(info, value)
    return ValueList(fault=fault) if fault else ValueList((value,))


def _span(info: OptionInfo, word: str) -> ValueList:
    """``start:stop:count``, evenly, or by equal factors where the option is logarithmic."""
    shape = ValueList(fault=_tr("{0}: write start:stop:count, such as 1:4:4").format(word))
    parts = [_number(part) for part in word.split(":")]
    if info.kind not in ("integer", "real") or len(parts) != 3:
        return shape
    start, stop, count = parts
    if start is None or stop is None or count is None or count != int(count):
        return shape
    if not 1 <= count <= MOST_VALUES:
        return ValueList(fault=_tr("{0} values: choose 1 to {1}").format(int(count), MOST_VALUES))
    values = [_round(info, one) for one in _steps(start, stop, int(count), info.log)]
    fault = next((text for text in (value_fault(info, one) for one in values) if text), "")
    return ValueList(fault=fault) if fault else ValueList(tuple(values))


def _steps(start: float, stop: float, count: int, log: bool) -> list[float]:
    if count == 1:
        return [start]
    shares = [place / (count - 1) for place in range(count)]
    if log and start > 0 and stop > 0:
        return [start * (stop / start) ** share for share in shares]
    return [start + (stop - start) * share for share in shares]


def _round(info: OptionInfo, value: float) -> Any:
    return round(value) if info.kind == "integer" else float(f"{value:.{_DIGITS}g}")


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
