"""What the window remembers: one INI file in the home, with typed access."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QObject, QSettings, Signal

VERSION = 1


class Settings(QObject):
    """Preferences and window state.

    Args:
        path: the INI file; made when something is first remembered.

    Signals:
        changed: the key of a value that is another now.
    """

    changed = Signal(object)

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._file = QSettings(str(path), QSettings.Format.IniFormat, self)
        self.is_read_only = self.number("version", VERSION) > VERSION
        if not self.is_read_only:
            self._file.setValue("version", VERSION)

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        value = self._file.value(key)
        return default if value is None else str(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """A yes or no."""
        return self.text(key, str(default)).lower() in {"true", "1", "yes"}

    def number(self, key: str, default: int = 0) -> int:
        """A whole number of any size; the default when it cannot be read."""
        try:
            return int(self.text(key, str(default)))
        except ValueError:
            return default

    def real(self, key: str, default: float = 0.0) -> float:
        """A number; the default when it cannot be read."""
        try:
            return float(self.text(key, repr(default)))
        except ValueError:
            return default

    def texts(self, key: str) -> list[str]:
        """Several strings."""
        value = self._file.value(key)
        if value is None or value == "":
            return []
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]

    def blob(self, key: str) -> QByteArray:
        """Bytes that Qt wrote: geometry, dock and header states. Empty when there are none."""
        value = self._file.value(key)
        return value if isinstance(value, QByteArray) else QByteArray()

    def set(self, key: str, value: str | bool | int | float | list[str] | QByteArray) -> None:
        """Remember a value. A file of a newer version is never written to."""
        if self.is_read_only:
            return
        kept = value if isinstance(value, (QByteArray, list)) else str(value)
        if self._file.value(key) != kept:
            self._file.setValue(key, kept)
            self.changed.emit(key)

    def remove(self, key: str) -> None:
        """Forget a value, or all under a prefix."""
        if not self.is_read_only:
            self._file.remove(key)
            self.changed.emit(key)

    def save(self) -> None:
        """Write to disk now."""
        self._file.sync()
