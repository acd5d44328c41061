"""Finding the base of a delta file whose base was renamed or moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deltaworks.checkpoints import open_checkpoint, tensor_hash
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.errors import AppError, CancelledError
from deltaworks.library.index import Index
from deltaworks.library.records import relate
from deltaworks.progress import JobControl, Warned

HASHED = 24
"""Tensors that are compared with the hashes in a delta, the smallest first."""


def wrong_tensors(base: Checkpoint, delta: DeltaCheckpoint, control: JobControl) -> list[str]:
    """Compare a few tensors of a base with what a delta recorded of its own.

    Returns:
        Names of those that differ or are not there; empty when this is the base, or when
        the delta needs none.
    """
    recorded = delta.manifest.base.tensors
    absent = [name for name in recorded if name not in base]
    if absent:
        return absent
    smallest = sorted(recorded, key=lambda name: (base.info(name).nbytes, name))[:HASHED]
    wrong = []
    for name in smallest:
        control.check()
        if tensor_hash(base.read_words(name), like=recorded[name]) != recorded[name]:
            wrong.append(name)
    return wrong


def link_deltas(index: Index, control: JobControl) -> set[int]:
    """Find listed bases for deltas that have none, by the hashes that deltas record.

    Returns:
        Ids of the deltas that were linked.
    """
    deltas = index.read(
        "SELECT id, path FROM models LEFT JOIN relations ON model_id = id "
        "WHERE models.kind = 'delta' AND state = 'Ready' AND absence = '' AND NOT is_forgotten "
        "AND base_id IS NULL"
    )
    if not deltas:
        return set()
    models = index.read(
        "SELECT id, path, header FROM models WHERE kind IN ('folder', 'file', 'hub') "
        "AND state = 'Ready' AND absence = '' AND NOT is_forgotten ORDER BY path"
    )
    linked = set()
    for record in deltas:
        candidates = [(model["id"], model["path"], model["header"]) for model in models]
        base_id = _base_of(record["path"], candidates, control)
        if base_id is not None:
            with index.write() as connection:
                relate(connection, record["id"], base_id, "made here")
            linked.add(int(record["id"]))
    return linked


def _base_of(
    path: str, candidates: Sequence[tuple[int, str, str]], control: JobControl
) -> int | None:
    try:
        with open_checkpoint(path) as delta:
            assert isinstance(delta, DeltaCheckpoint)
            needed = delta.manifest.base
            for model_id, model_path, header in candidates:
                # Without a tensor to compare, every model of that shape would do.
                if header == needed.header and needed.tensors:
                    with open_checkpoint(Path(model_path)) as base:
                        if not wrong_tensors(base, delta, control):
                            return model_id
    except CancelledError:
        raise
    except AppError as error:
        control.step(Warned(str(error), path))
    return None
