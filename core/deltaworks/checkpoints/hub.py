"""The Hugging Face cache's folders, by name alone: nothing is asked of the Hub.

Layout: ``models--<owner>--<name>/{blobs,refs,snapshots/<revision>}``; files of a
snapshot are links into ``blobs``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from deltaworks.checkpoints.documents import read_bytes
from deltaworks.checkpoints.faults import IncompleteError, place

_PREFIX = "models--"


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where a cached model came from.

    Args:
        repo_id: ``owner/name``.
        revision: commit of the snapshot.
        cache: the cache's folder.
    """

    repo_id: str
    revision: str
    cache: Path


def hub_source(path: Path) -> HubSource | None:
    """Tell repository and revision of a path inside a cached snapshot; None outside of one."""
    for folder in (path, *path.parents):
        repo = folder.parent.parent
        if folder.parent.name == "snapshots" and is_repo_folder(repo):
            repo_id = repo.name.removeprefix(_PREFIX).replace("--", "/")
            return HubSource(repo_id, folder.name, repo.parent)
    return None


def is_repo_folder(path: Path) -> bool:
    """Whether a folder is one model's part of a cache."""
    return path.name.startswith(_PREFIX) and (path / "snapshots").is_dir()


def snapshots(repo: Path) -> list[Path]:
    """Give the snapshots of a cached model, the one that ``main`` points to first."""
    found = sorted(path for path in (repo / "snapshots").iterdir() if path.is_dir())
    main = repo / "refs" / "main"
    current = read_bytes(main, 1000).decode("utf-8", "replace").strip() if main.is_file() else ""
    return sorted(found, key=lambda path: path.name != current)


def snapshot_of(repo: Path) -> Path:
    """Give the snapshot to open when a cached model's whole folder was named.

    Raises:
        IncompleteError: there is none.
    """
    found = snapshots(repo)
    if not found:
        raise IncompleteError(
            "holds no snapshot", where=place(repo), fix="Download the model again."
        )
    return found[0]


def cached_model(named: str, cache: Path | None = None) -> Path | None:
    """Find a model that is named as on the Hub in the local cache.

    Args:
        named: ``owner/name``, or ``owner/name@revision`` with a branch, tag or commit.
        cache: the cache's folder; by default where Hugging Face's tools keep it.

    Returns:
        The snapshot; None when it is not there.
    """
    repo_id, _, revision = named.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id) or ".." in named:
        return None
    repo = (cache or cache_folder()) / f"{_PREFIX}{repo_id.replace('/', '--')}"
    if not is_repo_folder(repo):
        return None
    found = snapshots(repo)
    if not revision:
        return next(iter(found), None)
    ref = repo / "refs" / revision
    commit = revision
    if "/" not in revision and ref.is_file():
        commit = read_bytes(ref, 1000).decode("utf-8", "replace").strip()
    return next((path for path in found if path.name == commit), None)


def cache_folder() -> Path:
    """Say where Hugging Face's tools keep their cache."""
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME")
    root = Path(home).expanduser() if home else Path.home() / ".cache" / "huggingface"
    return root / "hub"


def is_downloading(folder: Path) -> bool:
    """Whether the cache holds an unfinished download for this snapshot's model."""
    blobs = folder.parent.parent / "blobs"
    return blobs.is_dir() and any(blobs.glob("*.incomplete"))
