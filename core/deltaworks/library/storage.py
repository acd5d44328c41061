"""Where the disk went: bytes by volume and by kind, shared files counted once."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deltaworks.library.home import Home
from deltaworks.library.rows import ModelRow, State
from deltaworks.library.volumes import mount_point

KINDS = ("Bases", "Experts", "Deltas", "Merges", "Trials", "Partial downloads", "Trash", "Other")
"""In the order of the bar; what is free comes after them."""
_OF_ROLE = {
    "Base": "Bases",
    "Expert": "Experts",
    "Unknown": "Experts",
    "Repaired": "Merges",
    "Merge": "Merges",
    "Delta": "Deltas",
}
_GONE = frozenset({State.MISSING, State.OFFLINE})


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """One volume.

    Args:
        mount: where it is mounted.
        total: bytes it holds; ``free`` those that can still be written.
        kinds: bytes by kind; all but what is free sum to what is used.
    """

    mount: str
    total: int
    free: int
    kinds: Mapping[str, int] = field(default_factory=dict)


def disk_use(
    rows: Iterable[ModelRow], home: Home, *, trash_bytes: Mapping[str, int] = {}
) -> list[VolumeUse]:
    """Measure every volume that holds a model or our own things.

    Args:
        rows: listed models; a file that several share counts for the first kind of ``KINDS``.
        home: its sweeps count as trials.
        trash_bytes: bytes of our trash by mount point.
    """
    kinds: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    seen: set[tuple[int, int]] = set()
    order = {kind: place for place, kind in enumerate(KINDS)}
    here = [row for row in rows if row.state not in _GONE]
    for row in sorted(here, key=lambda row: order[_kind(row, home)]):
        for file in row.files:
            status = _status(file.path)
            if status is None or (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            kinds[str(mount_point(Path(file.path)))][_kind(row, home)] += status.st_size
    for path in unfinished(home):
        status = _status(str(path))
        if status is not None:
            kinds[str(mount_point(path))]["Partial downloads"] += status.st_size
    for mount, size in trash_bytes.items():
        kinds[mount]["Trash"] += size
    kinds[str(mount_point(home.root))]  # the home's volume is shown even when it is empty
    return [_volume(mount, found) for mount, found in sorted(kinds.items())]


def _volume(mount: str, found: Mapping[str, int]) -> VolumeUse:
    usage = shutil.disk_usage(mount)
    # What is reserved is neither ours nor free; ``usage.used`` leaves it out.
    other = max(0, usage.total - usage.free - sum(found.values()))
    return VolumeUse(mount, usage.total, usage.free, {**found, "Other": other})


def _kind(row: ModelRow, home: Home) -> str:
    if home.sweeps in Path(row.path).parents:
        return "Trials"
    return _OF_ROLE.get(row.role, "Experts")


def _status(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None


def unfinished(home: Home) -> list[Path]:
    """Downloads and results under the home that were not finished."""
    found = [*home.store.rglob("*.incomplete"), *home.store.rglob("*.partial-*")]
    found += home.sweeps.rglob("*.partial-*")
    return sorted(path for path in found if path.is_file())


def largest(rows: Sequence[ModelRow], count: int = 10) -> list[ModelRow]:
    """The models that take most, largest first."""
    here = [row for row in rows if row.state not in _GONE]
    return sorted(here, key=lambda row: (-row.size_bytes, row.name.casefold()))[:count]


def unused(rows: Sequence[ModelRow], before_ns: int) -> list[ModelRow]:
    """The models that no job used and nobody changed since then, largest first."""
    here = [row for row in rows if row.state not in _GONE]
    old = [row for row in here if max(row.used_ns or 0, row.modified_ns) < before_ns]
    return sorted(old, key=lambda row: (-row.size_bytes, row.name.casefold()))
