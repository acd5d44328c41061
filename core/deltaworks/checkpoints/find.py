"""What looks like a model under a folder, told from names alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from deltaworks.checkpoints.hub import is_downloading, is_repo_folder, snapshots
from deltaworks.checkpoints.layout import ADAPTER_CONFIG, INDEX, SAFETENSORS, shard_place

log = logging.getLogger(__name__)

_PICKLED_MODELS = ("pytorch_model", "adapter_model", "tf_model", "flax_model")
_LOOSE_PICKLES = (".pt", ".pth", ".ckpt")
_TRAINER_STATES = ("optimizer", "scheduler", "training_args", "rng_state", "scaler")
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_CACHES_IN_HIDDEN = ("", "hub", "huggingface/hub")
_NOT_MODELS = frozenset({"node_modules", "__pycache__", "site-packages"})


def find_checkpoints(root: Path, *, subfolders: bool = True) -> Iterator[Path]:
    """Walk a folder and give everything that looks like a model, sound or not.

    Folders with unfinished downloads, missing shards or pickles are given as well, so that
    they can be shown. What was recognised as a model is not searched further. Hidden
    folders are passed over, but for caches of the Hub in them. Links to folders are
    followed, each folder once.

    Args:
        root: folder to search; or a file, which is given if it looks like a model.
        subfolders: search to any depth; else ``root`` and the folders directly in it.

    Yields:
        Folders, and files that are models of their own, in the order of their names.
    """
    if root.is_file():
        yield from (root.parent / name for name in _loose(root.parent, [root.name]))
        return
    seen: set[tuple[int, int]] = set()
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        listed = _list(folder, seen)
        if listed is None:
            continue
        files, folders = listed
        if is_repo_folder(folder):
            yield from (one for one in snapshots(folder) if _is_cached_model(one))
        elif _is_model_folder(files):
            yield folder
        else:
            yield from (folder / name for name in _loose(folder, files))
            if subfolders or depth == 0:
                inner = [one for name in folders for one in _entered(folder, name)]
                waiting.extend((one, depth + 1) for one in reversed(inner))


def _list(folder: Path, seen: set[tuple[int, int]]) -> tuple[list[str], list[str]] | None:
    """Give names of files and of folders, sorted; None when seen before or not readable."""
    try:
        facts = folder.stat()
        if (facts.st_dev, facts.st_ino) in seen:
            return None
        seen.add((facts.st_dev, facts.st_ino))
        files: list[str] = []
        folders: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        log.warning("%s is passed over: %s", folder, error.strerror)
        return None
    return sorted(files), sorted(folders)


def _entered(folder: Path, name: str) -> list[Path]:
    """Give what to search for the sake of a subfolder: itself, the caches in it, or nothing."""
    path = folder / name
    if name in _NOT_MODELS or ".partial-" in name:
        return []
    if not name.startswith("."):
        return [path]
    caches = (path / inner for inner in _CACHES_IN_HIDDEN)
    return [cache for cache in caches if _is_cache(cache)]


def _is_cache(folder: Path) -> bool:
    try:
        return any(is_repo_folder(path) for path in folder.glob("models--*"))
    except OSError:
        return False


def _is_model_folder(files: Sequence[str]) -> bool:
    weights = [name for name in files if name.endswith(SAFETENSORS)]
    return (
        any(name.endswith((INDEX, ".bin.index.json")) for name in files)
        or any(name.startswith(_PICKLED_MODELS) and _is_weights(name) for name in files)
        or any(name == f"model{SAFETENSORS}" or shard_place(name) for name in weights)
        or bool(weights and {"config.json", ADAPTER_CONFIG} & set(files))
    )


def _is_weights(name: str) -> bool:
    return name.endswith((SAFETENSORS, ".bin", ".h5", ".msgpack", *_LOOSE_PICKLES))


def _is_cached_model(snapshot: Path) -> bool:
    """Whether a snapshot has weights, or is about to; one of a config alone is no model."""
    files = [path.name for path in snapshot.iterdir() if not path.is_dir()]
    return (
        _is_model_folder(files)
        or any(name.endswith((SAFETENSORS, *_LOOSE_PICKLES)) for name in files)
        or is_downloading(snapshot)
    )


def _loose(folder: Path, files: Sequence[str]) -> Iterator[str]:
    """Give the names of files that are models of their own."""
    for name in files:
        if name.startswith((".", *_TRAINER_STATES)) or ".partial-" in name:
            continue
        is_pickle = name.endswith(_LOOSE_PICKLES) and _starts_like_pickle(folder / name)
        if is_pickle or name.endswith(SAFETENSORS):
            yield name


def _starts_like_pickle(path: Path) -> bool:
    """Look at the first bytes: files of these endings are often something else."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4).startswith(_PICKLE_STARTS)
    except OSError:
        return False
