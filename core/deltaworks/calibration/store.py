"""What a pass over texts found, on disk: safetensors files in one folder a pass.

A finished pass has its final name; what a pass that was stopped has written goes away.
Symmetric matrices are stored as their lower halves.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from deltaworks.product import NAME

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
_INDEX = "index.json"
_TILE = 256
"""Rows of a matrix that are stored at once, as long as the last of them."""


def default_cache() -> Path:
    """Folder of finished passes: in ``DELTAWORKS_HOME``, or the platform's cache."""
    chosen = os.environ.get("DELTAWORKS_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute() / "calibration"
    return Path(platformdirs.user_cache_path(NAME, appauthor=False)) / "calibration"


def key_of(facts: Mapping[str, Any]) -> str:
    """Name a pass by everything that decides its result: blake3, 32 hex digits."""
    from blake3 import blake3

    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    return blake3(text.encode()).hexdigest()[:32]


class Writer:
    """Writes a pass into a folder beside its final place.

    Args:
        cache: folder of finished passes; None for a temporary one.
        key: name of the pass.
    """

    def __init__(self, cache: Path | None, key: str) -> None:
        self.is_temporary = cache is None
        if cache is None:
            self.folder = self._final = Path(tempfile.mkdtemp(prefix="deltaworks-calibration-"))
            return
        self._final = cache / key
        self.folder = cache / f"{key}.partial-{secrets.token_hex(3)}"
        self.folder.mkdir(parents=True)

    def write(self, file: str, tensors: Mapping[str, Tensor]) -> None:
        """Write one file of tensors."""
        from safetensors.torch import save_file

        held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(held, self.folder / f"{file}.safetensors")

    def finish(self, index: Mapping[str, Any]) -> Path:
        """Write the index and give the folder its name."""
        (self.folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")
        if not self.is_temporary:
            try:
                self.folder.rename(self._final)
            except OSError:  # another run has finished the same pass meanwhile
                shutil.rmtree(self.folder, ignore_errors=True)
                if not (self._final / _INDEX).is_file():
                    raise
        return self._final

    def drop(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_index(cache: Path | None, key: str) -> dict[str, Any] | None:
    """Give the index of a finished pass, or None."""
    if cache is None:
        return None
    try:
        found = json.loads((cache / key / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def read_tensor(folder: Path, file: str, name: str) -> Tensor:
    """Read one tensor of a pass."""
    from safetensors import safe_open

    with safe_open(folder / f"{file}.safetensors", framework="pt") as opened:
        found: Tensor = opened.get_tensor(name)
    return found


def halved(matrix: Tensor) -> Tensor:
    """Give the lower half of a symmetric matrix, a tile of rows at a time, flat."""
    import torch

    spans = _tiles(len(matrix))
    return torch.cat([matrix[a:b, :b].reshape(-1) for a, b in spans] or [matrix.reshape(-1)])


def whole(flat: Tensor, size: int) -> Tensor:
    """Undo ``halved``."""
    import torch

    out = torch.empty(size, size)
    at = 0
    for a, b in _tiles(size):
        tile = flat[at : at + (b - a) * b].reshape(b - a, b)
        out[a:b, :b] = tile
        out[:a, a:b] = tile[:, :a].T
        at += (b - a) * b
    return out


def halved_count(size: int) -> int:
    """Numbers that ``halved`` keeps."""
    return sum((b - a) * b for a, b in _tiles(size))


def _tiles(size: int) -> list[tuple[int, int]]:
    return [(at, min(at + _TILE, size)) for at in range(0, size, _TILE)]
