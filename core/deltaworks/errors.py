"""Failures that the user can act on.

Anything else that escapes is a bug. Every kind here is caught somewhere by name.
"""

from __future__ import annotations

import unicodedata


class AppError(Exception):
    """A failure with a place, a fact and a way on.

    Args:
        what: one clause with the offending value, no full stop.
        where: file, tensor or option that it concerns.
        fix: what the user can do, as one sentence; its full stop may be left out.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        what, where = _readable(what), _readable(where)
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = f"{fix}." if fix and fix[-1] not in ".?!" else fix

    def __str__(self) -> str:
        """Give one line: where, what, what to do."""
        place = f"{self.where}: " if self.where else ""
        way_on = f". {self.fix}" if self.fix else "."
        return f"{place}{self.what}{way_on}"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Survive the pipe between the engine's process and the window's."""
        return _again, (type(self), self.what, self.where, self.fix)


_MOST_CHARACTERS = 1200
"""Of one part of a message; values from hostile files may be of any length."""


def _readable(text: str) -> str:
    """Keep to one line of bearable length, whatever a file put into it."""
    if len(text) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in "\r\n\t":
        return " "
    is_hidden = unicodedata.category(character).startswith("C")
    return ascii(character)[1:-1] if is_hidden else character


def _again(kind: type[AppError], what: str, where: str, fix: str) -> AppError:
    return kind(what, where=where, fix=fix)


class FileError(AppError):
    """A file that is missing, unreadable, damaged or not what it claims."""


class MismatchError(AppError):
    """Inputs that do not belong together: shapes, names, or another base."""


class NotFiniteError(AppError):
    """NaN or infinity where numbers are needed."""


class OptionError(AppError):
    """An option or recipe field that is unknown or out of bounds."""


class NetworkError(AppError):
    """The Hub could not be reached or said no."""


class SpaceError(AppError):
    """Not enough disk or memory."""


class CancelledError(AppError):
    """Stopped by the user. Not a failure."""
