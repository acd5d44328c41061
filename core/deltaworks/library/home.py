"""Where the application keeps its own things."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from deltaworks.product import NAME

VARIABLE = "DELTAWORKS_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """One folder with everything that is ours; nothing is made before it is needed.

    Args:
        root: the folder.
    """

    root: Path

    @property
    def database(self) -> Path:
        """The library's index."""
        return self.root / "library.sqlite3"

    @property
    def store(self) -> Path:
        """Artefacts that were made here."""
        return self.root / "store"

    @property
    def sweeps(self) -> Path:
        """One folder a sweep: its record and the delta files that were kept."""
        return self.root / "sweeps"

    @property
    def logs(self) -> Path:
        """Log files."""
        return self.root / "logs"

    @property
    def settings(self) -> Path:
        """The window's settings."""
        return self.root / "settings.ini"


def default_home() -> Home:
    """The folder in ``DELTAWORKS_HOME``, or the platform's place for application data."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Home(Path(chosen).expanduser().absolute())
    return Home(Path(platformdirs.user_data_path(NAME, appauthor=False)))
