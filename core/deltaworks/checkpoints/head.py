"""A classifier as a folder: ``head.safetensors`` and ``head.json``, bound to its backbone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.errors import FileError
from deltaworks.numerics.heads import Head, Ridge

HEAD_FOLDER, TENSORS, FACTS = "head", "head.safetensors", "head.json"
_FORMAT = "deltaworks-head-1"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StoredHead:
    """A classifier that was read back.

    Args:
        kind: ``class-mean`` or ``ridge``.
        classes: names, in the order of the scores.
        backbone: blake3 of the weights that its features come from.
        facts: all of ``head.json``.
        arrays: all of ``head.safetensors``.
    """

    kind: str
    classes: tuple[str, ...]
    backbone: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]

    def scores(self, features: npt.NDArray[Any]) -> Floats:
        """Score every class for features ``(n, d)``."""
        if self.kind == "ridge":
            return Ridge.stored(dict(self.arrays)).scores(features)
        found = _unit(features) @ _unit(self.arrays["prototypes"]).T
        return np.where(self.arrays["counts"] > 0, found, -np.inf)


def save_head(
    folder: Path, head: Head, *, classes: tuple[str, ...], backbone: str, facts: Mapping[str, Any]
) -> int:
    """Write a classifier into a new folder; give the bytes of its tensors.

    Args:
        folder: does not exist yet.
        head: that learnt something.
        classes: names by number.
        backbone: content hash of the weights that features came from.
        facts: what else to say of it: definition of features, statistics, tasks.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    arrays = {name: np.ascontiguousarray(one) for name, one in head.arrays().items()}
    save_file(arrays, folder / TENSORS)
    document = {
        "format": _FORMAT,
        "type": head.kind,
        "classes": list(classes),
        "backbone": backbone,
        **facts,
    }
    (folder / FACTS).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return (folder / TENSORS).stat().st_size


def load_head(folder: Path) -> StoredHead:
    """Read a classifier back.

    Raises:
        FileError: something is missing or does not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        arrays = load_file(folder / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise FileError(f"cannot be read as a head ({error})", where=str(folder)) from error
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise FileError(f"is not of format {_FORMAT}", where=str(folder / FACTS))
    kind, classes = str(facts.get("type")), tuple(map(str, facts.get("classes", ())))
    needed = {"ridge": "W_o", "class-mean": "prototypes"}.get(kind, "a known type")
    if needed not in arrays or len(arrays.get("counts", ())) != len(classes):
        raise FileError(
            f"its tensors do not fit its facts: {needed} and a count of each of "
            f"{len(classes)} classes were looked for",
            where=str(folder),
        )
    return StoredHead(kind, classes, str(facts.get("backbone", "")), facts, arrays)


def _unit(rows: npt.NDArray[Any]) -> Floats:
    plain = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(plain, axis=1, keepdims=True)
    found: Floats = plain / np.where(norms > 0, norms, 1.0)
    return found
