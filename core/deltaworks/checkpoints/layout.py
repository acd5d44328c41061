"""Which files of a folder hold the weights, decided from names and the index alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.faults import (
    DAMAGED,
    IncompleteError,
    UnsafeFormatError,
    file_fault,
    place,
)
from deltaworks.checkpoints.hub import is_downloading
from deltaworks.errors import FileError

SAFETENSORS = ".safetensors"
INDEX = ".safetensors.index.json"
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
OTHER_FORMATS = {
    ".gguf": "GGUF",
    ".ggml": "GGML",
    ".onnx": "ONNX",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".tflite": "TensorFlow Lite",
}
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")


@dataclass(frozen=True, slots=True)
class Layout:
    """The weight files of one model.

    Args:
        files: in shard order.
        index: the index file, when there is one.
        weight_map: what the index says: tensor to file name.
    """

    files: tuple[Path, ...]
    index: Path | None = None
    weight_map: Mapping[str, str] | None = None


def shard_place(name: str) -> tuple[str, int, int] | None:
    """Read a shard's file name: stem, number and count; None when it is not one."""
    match = _SHARD.fullmatch(name)
    return (match["stem"], int(match["number"]), int(match["count"])) if match else None


def refuse_format(path: Path) -> None:
    """Refuse a file of a format that is unsafe or not read here, by its name.

    Raises:
        UnsafeFormatError: it is a pickle.
        FileError: it is another known format.
    """
    ending = path.suffix.lower()
    if ending in PICKLES:
        raise UnsafeFormatError(
            "unsafe format: a pickle can run code when it is opened, so it was not opened",
            where=place(path),
            fix="Convert it to safetensors, or download the safetensors version.",
        )
    if ending in OTHER_FORMATS:
        raise FileError(
            f"{OTHER_FORMATS[ending]} files are not read here",
            where=place(path),
            fix="Choose the safetensors version of this model.",
        )


def folder_layout(folder: Path) -> Layout:
    """Find the weight files of a folder.

    An index decides; else ``model.safetensors``; else one set of numbered shards; else
    a single file; else, beside a config.json, all files together.

    Raises:
        IncompleteError: shards are missing or a download did not finish.
        UnsafeFormatError: there are only pickles.
        FileError: there are no weights, or it is not clear which ones are meant.
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.is_dir())
    except OSError as error:
        raise file_fault(error, folder) from error
    index = _chosen_index(folder, names)
    if index is not None:
        return index_layout(index)
    weights = [name for name in names if name.endswith(SAFETENSORS) and name != ADAPTER_WEIGHTS]
    if not weights:
        _refuse_without_weights(folder, names)
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]
    elif any(shard_place(name) for name in weights):
        weights = _shard_set(folder, weights)
    elif len(weights) > 1 and "config.json" not in names:
        raise FileError(
            f"holds {len(weights)} separate weight files and no config.json",
            where=place(folder),
            fix=f"Open one of them, such as {weights[0]}.",
        )
    return Layout(_present(folder, weights))


def _chosen_index(folder: Path, names: Sequence[str]) -> Path | None:
    found = [name for name in names if name.endswith(INDEX)]
    if not found:
        return None
    usual = f"model{INDEX}"
    if usual not in found and len(found) > 1:
        raise FileError(
            f"holds {len(found)} indexes: {', '.join(found[:3])}",
            where=place(folder),
            fix="Open one of them.",
        )
    return folder / (usual if usual in found else found[0])


def index_layout(index: Path) -> Layout:
    """Find the weight files that an index names.

    Raises:
        IncompleteError: some are missing.
        FileError: the index is damaged, names a tensor twice, or points out of its folder.
    """
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FileError("has no weight_map", where=place(index), fix=DAMAGED)
    for tensor, name in weight_map.items():
        if not is_plain_name(name) or not name.endswith(SAFETENSORS):
            raise FileError(
                f"puts tensor {tensor!r:.80} into {name!r:.80}, which is no safetensors file here",
                where=place(index),
                fix=DAMAGED,
            )
    files = _present(index.parent, sorted(set(weight_map.values())))
    _refuse_ways_out(index, files)
    return Layout(files, index, weight_map)


def _refuse_ways_out(index: Path, files: Sequence[Path]) -> None:
    """Refuse links that lead out of the folder, but for those into the blobs of a cache."""
    folder = index.parent.resolve()
    blobs = folder.parent.parent / "blobs"
    for file in files:
        if not file.is_symlink():
            continue
        found = file.resolve()
        if not (found.is_relative_to(folder) or found.parent == blobs):
            raise FileError(
                f"names {file.name}, a link that leads out of the folder",
                where=place(index),
                fix="Put the file itself there, or open the folder that it is in.",
            )


def is_plain_name(name: object) -> bool:
    """Whether this can be the name of a file in a given folder, and nothing beyond it."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and name not in {"", ".", ".."}
        and not set(name) & set('/\\:*?"<>|')
    )


def is_plain_path(name: object) -> bool:
    """Whether this names a file of a folder or of folders inside it, ``processors/a/b.json``."""
    return isinstance(name, str) and all(map(is_plain_name, name.split("/")))


def _shard_set(folder: Path, weights: Sequence[str]) -> list[str]:
    """Give all names of the one numbered set, whether they are there or not."""
    sets = {(at[0], at[2]) for name in weights if (at := shard_place(name))}
    sets = {one for one in sets if one[0] == "model"} or sets
    (stem, count), *others = sorted(sets)
    if others or count == 0:
        listed = ", ".join(f"{stem} of {count:,}" for stem, count in sorted(sets)[:3])
        raise FileError(
            f"holds {len(sets)} sets of shards: {listed}",
            where=place(folder),
            fix="Keep one complete set in it.",
        )
    return [f"{stem}-{number:05d}-of-{count:05d}{SAFETENSORS}" for number in range(1, count + 1)]


def _present(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    files = tuple(folder / name for name in names)
    there = {path.name for path in folder.iterdir() if path.is_file()}
    missing = [name for name in names if name not in there]
    if missing:
        listed = ", ".join(missing[:3]) + (" and others" if len(missing) > 3 else "")
        raise IncompleteError(
            f"{len(missing):,} of {len(files):,} weight files missing: {listed}",
            where=place(folder),
            fix="Download the rest.",
        )
    return files


def _refuse_without_weights(folder: Path, names: Sequence[str]) -> NoReturn:
    """Say why a folder without safetensors cannot be opened."""
    if is_downloading(folder):
        raise IncompleteError(
            "its download did not finish", where=place(folder), fix="Resume the download."
        )
    for name in sorted(names, key=lambda name: not name.startswith(("pytorch_model", "adapter"))):
        refuse_format(folder / name)
    raise FileError(
        "holds no weights", where=place(folder), fix="Choose a folder with .safetensors files."
    )
