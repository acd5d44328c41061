"""What can go, each with its proof, and what is the user's call."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deltaworks.library.home import Home
from deltaworks.library.pedigree import Kin
from deltaworks.library.rows import FileRow, ModelRow, State
from deltaworks.library.storage import unfinished

Kind = Literal["duplicate", "partial", "trial", "original", "lossy-original"]
DAY = 86_400.0
PATIENCE_DAYS = 7
"""A download or a result that nobody touched for so long will not be finished."""


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Something that can go.

    Args:
        kind: which sort of thing.
        name: for people.
        why: the proof that nothing is lost, or for ``lossy-original`` what is.
        paths: every file and link, as it would be listed before it goes.
        size_bytes: of its files; ``frees_bytes`` what the disk would gain now.
        model: its id in the library, if it is listed.
        shared_with: names of other models that use the same files.
    """

    kind: Kind
    name: str
    why: str
    paths: tuple[str, ...]
    size_bytes: int
    frees_bytes: int
    model: int | None = None
    shared_with: tuple[str, ...] = ()

    @property
    def is_safe(self) -> bool:
        """Whether nothing at all is lost."""
        return self.kind != "lossy-original"


def find_reclaimable(
    rows: Sequence[ModelRow], kin: Iterable[Kin], home: Home, *, now: float | None = None
) -> list[Reclaim]:
    """List what can go: safe things first, largest first.

    Args:
        rows: every listed model.
        kin: what artefacts were made from.
        home: its store and sweeps are looked at for what was left unfinished.
        now: seconds since the epoch.
    """
    moment = time.time() if now is None else now
    users = _users(rows)
    found = [
        *_duplicates(rows, users),
        *_originals(rows, kin, users),
        *_partials(home, moment),
        *_trials(home, rows),
    ]
    return sorted(found, key=lambda one: (not one.is_safe, -one.size_bytes, one.name.casefold()))


def files_to_move(row: ModelRow) -> tuple[str, ...]:
    """Every file of a model, as ``Move files to trash`` lists them."""
    return tuple(file.path for file in row.files)


def _duplicates(rows: Sequence[ModelRow], users: Mapping[str, list[str]]) -> Iterator[Reclaim]:
    for row in rows:
        if row.state is State.DUPLICATE:
            yield _of_model("duplicate", row, row.reason, users)


def _originals(
    rows: Sequence[ModelRow], kin: Iterable[Kin], users: Mapping[str, list[str]]
) -> Iterator[Reclaim]:
    """Experts of which a delta is kept that rebuilds them, whole or nearly."""
    by_id = {row.id: row for row in rows}
    made = {one.model: one.parents for one in kin}
    best: dict[int, ModelRow] = {}
    for row in rows:
        parents = made.get(row.id, ())
        if row.role != "Delta" or row.state is not State.READY or not parents:
            continue
        expert = by_id.get(parents[0])
        if expert is None or expert.role not in {"Expert", "Repaired"} or row.family_id is None:
            continue
        known = best.get(expert.id)
        if known is None or _better(row) > _better(known):
            best[expert.id] = row
    for expert_id, delta in best.items():
        expert, base = by_id[expert_id], by_id.get(delta.family_id or 0)
        if base is None or expert.state is not State.READY or base.state is not State.READY:
            continue
        if delta.is_exact:
            yield _of_model(
                "original", expert, f"{delta.name} rebuilds it bit-exactly from {base.name}", users
            )
        else:
            kept = "an unknown share" if delta.quality is None else f"{100 * delta.quality:.1f} %"
            near = " (an estimate)" if delta.quality_is_estimate else ""
            why = f"{delta.name} keeps {kept} of its quality{near}, not its exact weights"
            yield _of_model("lossy-original", expert, why, users)


def _better(delta: ModelRow) -> tuple[bool, float]:
    return bool(delta.is_exact), delta.quality if delta.quality is not None else -1.0


def _of_model(kind: Kind, row: ModelRow, why: str, users: Mapping[str, list[str]]) -> Reclaim:
    size = frees = 0
    sharers: Counter[str] = Counter()
    for file in row.files:
        status = _status(file)
        if status is None:
            continue
        size += status.st_size
        others = [name for name in users.get(_key(status), ()) if name != row.name]
        sharers.update(others)
        if not others and status.st_nlink == 1 and not Path(file.path).is_symlink():
            frees += status.st_size
    return Reclaim(
        kind, row.name, why, files_to_move(row), size, frees, row.id, tuple(sorted(sharers))
    )


def _partials(home: Home, now: float) -> Iterator[Reclaim]:
    for path in unfinished(home):
        status = path.stat()
        days = (now - status.st_mtime) / DAY
        if days >= PATIENCE_DAYS:
            why = f"unfinished, and untouched for {int(days)} days"
            yield Reclaim("partial", path.name, why, (str(path),), status.st_size, status.st_size)


def _trials(home: Home, rows: Sequence[ModelRow]) -> Iterator[Reclaim]:
    """Delta files of sweeps that their record does not keep."""
    listed = {file.path for row in rows for file in row.files}
    for record in sorted(home.sweeps.glob("*/sweep.json")):
        try:
            trials = json.loads(record.read_text("utf-8"))["trials"]
            kept = {str(trial["artefact"]) for trial in trials if trial.get("kept")}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no record of ours: nothing can be said of what lies beside it
        for path in sorted(record.parent.glob("*.safetensors")):
            if str(path) not in kept and str(path) not in listed:
                size = path.stat().st_size
                why = "a trial that its sweep does not keep"
                yield Reclaim("trial", path.name, why, (str(path),), size, size)


def _users(rows: Iterable[ModelRow]) -> dict[str, list[str]]:
    """Which models use a file, by what it is on disk."""
    users: dict[str, list[str]] = {}
    for row in rows:
        for file in row.files:
            status = _status(file)
            if status is not None:
                users.setdefault(_key(status), []).append(row.name)
    return users


def _key(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _status(file: FileRow) -> os.stat_result | None:
    try:
        return Path(file.path).stat()
    except OSError:
        return None
