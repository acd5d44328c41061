"""Roots: which folders are watched, and whether their volume is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RootState = Literal["Ready", "Missing", "Offline", "Unreadable"]


@dataclass(frozen=True, slots=True)
class RootRow:
    """A folder that the user asked us to watch.

    Args:
        path: folder, or one file.
        subfolders: whether folders below it are looked into.
        mount: mount point of its volume when it was added.
        state: as of the last scan; ``reason`` says why it is not Ready.
    """

    path: str
    subfolders: bool = True
    mount: str = ""
    state: RootState = "Ready"
    reason: str = ""


def mount_point(path: Path) -> Path:
    """Give the folder at which the volume that holds ``path`` is mounted."""
    at = path.absolute()
    while not os.path.ismount(at) and at != at.parent:
        at = at.parent
    return at


def look_at(root: RootRow) -> tuple[RootState, str]:
    """Say whether a root can be scanned now, and why not."""
    if root.mount and not os.path.ismount(root.mount):
        return "Offline", f"the volume {root.mount} is not mounted"
    try:
        if Path(root.path).is_dir():
            with os.scandir(root.path):
                return "Ready", ""
        Path(root.path).stat()
    except FileNotFoundError:
        return "Missing", "the folder is gone"
    except OSError as error:
        return "Unreadable", error.strerror or str(error)
    return "Ready", ""
