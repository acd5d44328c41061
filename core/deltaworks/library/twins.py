"""Byte-identical models, found by hashing only those that can be copies of each other."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deltaworks.checkpoints import content_hash, open_checkpoint
from deltaworks.errors import AppError, CancelledError
from deltaworks.library.index import Index
from deltaworks.library.samples import QUICK, block_matrices, chosen, read_sample
from deltaworks.progress import JobControl, Warned


class _Unhashed(NamedTuple):
    id: int
    path: str
    fingerprint: str
    n_bytes: int


def hash_contents(index: Index, control: JobControl, ids: Sequence[int] | None = None) -> set[int]:
    """Hash the weights of models whose content is not known.

    Args:
        index: where hashes are kept.
        control: progress counts bytes.
        ids: these, or every model that is likely to have a copy.

    Returns:
        Ids of models whose state may have changed.
    """
    pending = _pending(index, ids, control)
    total = sum(one.n_bytes for one in pending)
    done = 0
    changed = set()
    for one in pending:
        part = control.part(done, total, Path(one.path).name)
        try:
            with open_checkpoint(one.path) as checkpoint:
                content = content_hash(checkpoint, part)
        except CancelledError:
            raise
        except AppError as error:
            control.step(Warned(str(error), one.path))
        else:
            with index.write() as connection:
                connection.execute(
                    "UPDATE models SET content = ?, content_fingerprint = ? WHERE id = ?",
                    (content, one.fingerprint, one.id),
                )
            same = index.read("SELECT id FROM models WHERE content = ?", (content,))
            changed |= {record["id"] for record in same}
        done += one.n_bytes
    return changed


def _pending(index: Index, ids: Sequence[int] | None, control: JobControl) -> list[_Unhashed]:
    """Choose what to hash: the rest cannot have a copy.

    Copies have as many parameters of the same dtypes. Where several models do, a few numbers
    of each tell most of them apart, so that whole files are read for likely copies only.
    """
    records = index.read(
        "SELECT id, path, kind, fingerprint, content_fingerprint, n_parameters, dtype, "
        "(SELECT SUM(size_bytes) FROM files WHERE model_id = id AND is_weight) AS bytes "
        "FROM models WHERE state = 'Ready' AND absence = '' AND NOT is_forgotten ORDER BY path"
    )
    groups: dict[tuple[Any, ...], list[sqlite3.Row]] = {}
    for record in records:
        is_stored = record["kind"] in {"adapter", "delta"}
        key = (is_stored and record["bytes"], record["n_parameters"], record["dtype"])
        groups.setdefault(key, []).append(record)
    wanted = {record["id"] for record in records} if ids is not None else set()
    wanted &= set(ids or ())
    for group in groups.values() if ids is None else ():
        wanted |= _likely_copies(group, control)
    return [
        _Unhashed(record["id"], record["path"], record["fingerprint"], record["bytes"] or 0)
        for record in records
        if record["id"] in wanted and record["content_fingerprint"] != record["fingerprint"]
    ]


def _likely_copies(group: Sequence[sqlite3.Row], control: JobControl) -> set[int]:
    if len(group) < 2:
        return set()
    if all(record["content_fingerprint"] == record["fingerprint"] for record in group):
        return set()
    if group[0]["kind"] in {"adapter", "delta"}:  # small, and unreadable without a base
        return {record["id"] for record in group}
    alike: dict[bytes, set[int]] = {}
    for record in group:
        control.check()
        try:
            with open_checkpoint(record["path"]) as checkpoint:
                digest = hashlib.blake2b()
                for info in chosen(block_matrices(checkpoint), QUICK):
                    digest.update(read_sample(checkpoint, info, QUICK).tobytes())
        except AppError as error:
            control.step(Warned(str(error), record["path"]))
            continue
        alike.setdefault(digest.digest(), set()).add(record["id"])
    return {one for same in alike.values() if len(same) > 1 for one in same}
