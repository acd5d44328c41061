"""Files of a model as the disk sees them, without opening any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WEIGHTS = (".safetensors",)
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True, slots=True)
class DiskFile:
    """One file.

    Args:
        path: as found, links not followed.
        size_bytes: of its content.
        modified_ns: of its content.
        inode: device and number; equal for hard links and links to one blob.
    """

    path: Path
    size_bytes: int
    modified_ns: int
    inode: str

    @property
    def is_weight(self) -> bool:
        """Whether it holds weights, by its ending."""
        return self.path.suffix.lower() in WEIGHTS + PICKLES


def files_of(path: Path) -> tuple[DiskFile, ...]:
    """List the files of a model folder (not of its subfolders), or the one file.

    Raises:
        OSError: the place cannot be read.
    """
    if not path.is_dir():
        return (_disk_file(path),)
    files = []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                if entry.is_file():
                    files.append(_disk_file(Path(entry.path)))
            except OSError:  # a link whose target is gone: absent shards are found by name
                continue
    return tuple(files)


def _disk_file(path: Path) -> DiskFile:
    facts = path.stat()
    return DiskFile(path, facts.st_size, facts.st_mtime_ns, f"{facts.st_dev:x}:{facts.st_ino:x}")


def fingerprint(files: Sequence[DiskFile]) -> str:
    """Tell unchanged files from changed ones by name, size and time alone."""
    text = "\n".join(f"{file.path.name}|{file.size_bytes}|{file.modified_ns}" for file in files)
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
