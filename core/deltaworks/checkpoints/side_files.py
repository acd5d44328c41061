"""The files beside the weights that belong to the model: tokenizer, templates, configs, card."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from deltaworks.checkpoints.faults import file_fault
from deltaworks.checkpoints.layout import OTHER_FORMATS, PICKLES, SAFETENSORS

MAX_SIDE_FILE_BYTES = 100_000_000
"""Larger files are data of another kind; tokenizers end at about 40 MB."""

_HIDDEN_BUT_OURS = frozenset({".gitattributes"})
HASHES_FILE = "deltaworks_hashes.json"
"""Hashes of the files of one folder: of no use beside any others."""
_UNFINISHED = (".incomplete", ".lock", ".tmp", ".part", ".crdownload")
RULE = (
    "Side files are the regular files directly in the model's folder that are not hidden, "
    f"not weights in any format, not unfinished, and at most {MAX_SIDE_FILE_BYTES:,} bytes."
)


@dataclass(frozen=True, slots=True)
class SideFiles:
    """What belongs to the model, and what lies there and does not.

    Args:
        files: name to path.
        left_out: name to reason, for every other regular file.
    """

    files: Mapping[str, Path]
    left_out: Mapping[str, str]


def side_files(folder: Path, weight_files: Collection[Path]) -> SideFiles:
    """Sort the files of a model's folder by ``RULE``.

    Args:
        folder: where the model is.
        weight_files: its weights; neither side files nor left out.
    """
    files: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    try:
        for path in sorted(folder.iterdir()):
            if path in weight_files or not path.is_file():
                continue
            reason = _reason_to_leave(path)
            if reason:
                left_out[path.name] = reason
            else:
                files[path.name] = path
    except OSError as error:
        raise file_fault(error, folder) from error
    return SideFiles(files, left_out)


def _reason_to_leave(path: Path) -> str:
    name, ending = path.name, path.suffix.lower()
    if name.startswith(".") and name not in _HIDDEN_BUT_OURS:
        return "hidden"
    if name == HASHES_FILE:
        return "hashes of this very folder"
    if ending in PICKLES or ending in OTHER_FORMATS or ending == SAFETENSORS:
        return "weights or states in another file"
    if ending in _UNFINISHED or ".partial-" in name:
        return "unfinished"
    size = path.stat().st_size
    if size > MAX_SIDE_FILE_BYTES:
        return f"{size:,} bytes, at most {MAX_SIDE_FILE_BYTES:,} are kept"
    return ""
