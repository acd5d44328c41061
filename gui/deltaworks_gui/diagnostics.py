"""What to send along with a report of a fault: no user's name, no token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from deltaworks_gui.dialogs.about import versions
from deltaworks_gui.models.log import LogLine

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def without_names(text: str) -> str:
    """The text with the home folder as ``~`` and tokens blotted out."""
    return _TOKEN.sub("hf_…", text.replace(str(Path.home()), "~"))


def diagnostics_of_file(folder: Path, count: int = 200) -> str:
    """Versions, then the last lines of the log file; works where no window can be opened."""
    from deltaworks_gui.logs import FILE_NAME

    file = folder / FILE_NAME
    lines = file.read_text("utf-8", "replace").splitlines()[-count:] if file.is_file() else []
    head = "\n".join(f"{name}: {value}" for name, value in versions().items())
    return without_names(f"{head}\n\n" + "\n".join(lines))


def diagnostics_text(lines: Sequence[LogLine]) -> str:
    """Versions, then the last log lines."""
    head = "\n".join(f"{name}: {value}" for name, value in versions().items())
    return without_names(f"{head}\n\n" + "\n".join(line.text for line in lines))
