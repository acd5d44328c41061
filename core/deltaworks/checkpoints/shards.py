"""How the tensors of an output are spread over files, before any of them is computed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deltaworks.checkpoints.headers import build_header, parse_header, parse_object
from deltaworks.checkpoints.layout import INDEX
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.errors import MismatchError

INDEX_NAME = f"model{INDEX}"


@dataclass(frozen=True)
class PlannedFile:
    """One weight file to be.

    Args:
        name: its file name.
        header: everything before the data.
        offsets: where each tensor begins, from the start of the file.
        n_bytes: size of the whole file.
    """

    name: str
    header: bytes
    offsets: Mapping[str, int]
    n_bytes: int


def plan_files(
    tensors: Sequence[TensorInfo], shard_bytes: int, metadata: Mapping[str, str]
) -> tuple[PlannedFile, ...]:
    """Spread tensors over files of at most ``shard_bytes`` of data, in the given order.

    A tensor that is larger gets a file of its own. One file is ``model.safetensors``,
    several are numbered as Hugging Face numbers them.
    """
    groups: list[list[TensorInfo]] = [[]]
    filled = 0
    for info in tensors:
        if groups[-1] and filled + info.nbytes > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(info)
        filled += info.nbytes
    count = len(groups)
    names = [f"model-{number + 1:05d}-of-{count:05d}.safetensors" for number in range(count)]
    if count == 1:
        names = ["model.safetensors"]
    return tuple(
        _planned(name, build_header(group, metadata), group)
        for name, group in zip(names, groups, strict=True)
    )


def _planned(name: str, header: bytes, group: Iterable[TensorInfo]) -> PlannedFile:
    offsets, at = {}, len(header)
    for info in group:
        offsets[info.name] = at
        at += info.nbytes
    return PlannedFile(name, header, offsets, at)


def given_files(
    headers: Mapping[str, bytes], tensors: Sequence[TensorInfo]
) -> tuple[PlannedFile, ...]:
    """Take the files as given headers describe them, byte for byte.

    Args:
        headers: file name to everything before its data.
        tensors: all tensors that will be written.

    Raises:
        FileError: a header does not add up.
        MismatchError: the headers describe other tensors than ``tensors``.
    """
    expected = {info.name: info for info in tensors}
    files, seen = [], set()
    for name, raw in headers.items():
        n_bytes = len(raw) + sum(
            expected[tensor].nbytes for tensor in _named(raw, name) if tensor in expected
        )
        header = parse_header(raw, n_bytes, name)
        for tensor, stored in header.tensors.items():
            if stored.info != expected.get(tensor) or tensor in seen:
                raise MismatchError(
                    f"is not as the given header of {name} says",
                    where=tensor,
                    fix="Rebuild from the base and delta file that belong together.",
                )
            seen.add(tensor)
        offsets = {one: len(raw) + stored.begin for one, stored in header.tensors.items()}
        files.append(PlannedFile(name, raw, offsets, n_bytes))
    if seen != set(expected):
        missing = sorted(set(expected) - seen)
        raise MismatchError(
            f"{len(missing):,} tensors are in no given header, such as {missing[0]:.80}",
            fix="Rebuild from the base and delta file that belong together.",
        )
    return tuple(files)


def _named(raw: bytes, name: str) -> list[str]:
    """Give the tensors that a header names, before it is checked in full."""
    return [tensor for tensor in parse_object(raw[8:], name) if tensor != "__metadata__"]


def index_json(files: Sequence[PlannedFile]) -> bytes:
    """Write the index of several files as Hugging Face writes it."""
    total = sum(one.n_bytes - len(one.header) for one in files)
    weight_map = {tensor: one.name for one in files for tensor in one.offsets}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
