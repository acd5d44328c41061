"""The one door: whatever holds tensors on disk becomes a ``Checkpoint``."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from deltaworks.checkpoints.adapter import AdapterCheckpoint
from deltaworks.checkpoints.adapter_config import read_adapter_config
from deltaworks.checkpoints.channel_manifest import BETWEEN
from deltaworks.checkpoints.channel_package import ChannelExpert, is_package
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.delta_manifest import is_delta_file
from deltaworks.checkpoints.faults import IncompleteError, file_fault, place
from deltaworks.checkpoints.folder import ModelCheckpoint
from deltaworks.checkpoints.hub import hub_source, is_repo_folder, snapshot_of, snapshots
from deltaworks.checkpoints.layout import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    INDEX,
    SAFETENSORS,
    Layout,
    folder_layout,
    index_layout,
    refuse_format,
    shard_place,
)
from deltaworks.errors import AppError, FileError

log = logging.getLogger(__name__)

_MOST_BASES = 4
"""Adapters over adapters: deeper is taken for a circle."""


def open_checkpoint(path: Path | str, *, base: Path | str | Checkpoint | None = None) -> Checkpoint:
    """Open a model, an adapter or a delta file; only headers are read.

    Args:
        path: a folder, a ``.safetensors`` file, an index, a snapshot of the Hub's cache or
            a cached model's whole folder, an adapter's folder, a delta file, ``package#expert``.
        base: what an adapter or a delta file stands on. An adapter finds it by itself
            when its config names a local folder or a model of the same cache. Without
            one, both open, and refuse to read tensors.

    Raises:
        UnsafeFormatError: it is a pickle; it was not opened.
        IncompleteError: part of it is missing.
        FileError: it is missing, unreadable, damaged or of another kind.
        MismatchError: an adapter does not fit the base that was given.
    """
    at = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - links stay links
    try:
        return _open(at, base, 0)
    except OSError as error:
        raise file_fault(error, at) from error


def _open(path: Path, base: Path | str | Checkpoint | None, depth: int) -> Checkpoint:
    if path.is_symlink() and not path.exists():
        raise IncompleteError(
            "is a link to a file that is gone", where=place(path), fix="Download it again."
        )
    package, between, wanted = path.name.rpartition(BETWEEN)
    if between and not path.exists() and is_package(path.with_name(package)):
        return _open_package(path.with_name(package), wanted, base)
    if not path.exists():
        raise FileError("is not there", where=place(path), fix="Check the path.")
    if path.is_dir():
        return _open_folder(path, base, depth)
    if path.name.endswith(INDEX):
        return ModelCheckpoint(path, "folder", index_layout(path))
    if path.name == ADAPTER_WEIGHTS and (path.parent / ADAPTER_CONFIG).is_file():
        return _open_adapter(path.parent, base, depth)
    if path.name.endswith(SAFETENSORS):
        return _open_file(path, base)
    refuse_format(path.with_suffix("") if path.name.endswith(".bin.index.json") else path)
    raise FileError(
        "is not a model file",
        where=place(path),
        fix="Choose a .safetensors file or a model's folder.",
    )


def _open_folder(folder: Path, base: Path | str | Checkpoint | None, depth: int) -> Checkpoint:
    if is_repo_folder(folder):
        folder = snapshot_of(folder)
    if is_adapter_folder(folder):
        return _open_adapter(folder, base, depth)
    if is_package(folder):
        return _open_package(folder, "", base)
    return ModelCheckpoint(folder, "folder", folder_layout(folder))


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder holds an adapter and no full model."""
    return (folder / ADAPTER_CONFIG).is_file() and not any(
        path.name != ADAPTER_WEIGHTS and path.name.startswith("model")
        for ending in (SAFETENSORS, INDEX)
        for path in folder.glob(f"*{ending}")
    )


def _open_file(path: Path, base: Path | str | Checkpoint | None) -> Checkpoint:
    shard = shard_place(path.name)
    if shard is not None and shard[2] > 1:
        return ModelCheckpoint(path, "folder", folder_layout(path.parent))
    if is_delta_file(path):
        opened = open_checkpoint(base) if isinstance(base, str | Path) else base
        return DeltaCheckpoint(path, opened, owns_base=opened is not base)
    return ModelCheckpoint(path, "file", Layout((path,)))


def _open_package(folder: Path, wanted: str, base: Path | str | Checkpoint | None) -> Checkpoint:
    opened = open_checkpoint(base) if isinstance(base, str | Path) else base
    return ChannelExpert(folder, wanted, opened, owns_base=opened is not base)


def _open_adapter(folder: Path, base: Path | str | Checkpoint | None, depth: int) -> Checkpoint:
    if isinstance(base, Checkpoint):
        return AdapterCheckpoint(folder, base)
    if base is not None:
        return AdapterCheckpoint(folder, open_checkpoint(base), owns_base=True)
    found = _base_of(folder, read_adapter_config(folder / ADAPTER_CONFIG).base)
    if found is None or depth >= _MOST_BASES:
        return AdapterCheckpoint(folder, None)
    try:
        return AdapterCheckpoint(folder, _open(found, None, depth + 1), owns_base=True)
    except AppError as error:
        log.warning("%s: the base that it names does not serve: %s", folder.name, error)
        return AdapterCheckpoint(folder, None)


def _base_of(folder: Path, named: str) -> Path | None:
    """Find the base that an adapter names: a local folder, or a model of the same cache."""
    if not named:
        return None
    for start in (folder, folder.parent):
        path = start / Path(named).expanduser()
        if path.exists() and path != folder:
            return path
    source = hub_source(folder)
    if source is None:
        return None
    repo = source.cache / f"models--{named.replace('/', '--')}"
    return next(iter(snapshots(repo)), None) if is_repo_folder(repo) else None
