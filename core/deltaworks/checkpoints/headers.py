"""The header of a safetensors file, read with limits and believed only when all of it adds up.

Source: the format's description, https://github.com/huggingface/safetensors.
Layout: 8 bytes little-endian length N, N bytes of JSON, then the tensors' data.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from deltaworks.checkpoints.faults import DAMAGED, file_fault, place
from deltaworks.checkpoints.tensors import DTYPE_BYTES, TensorInfo
from deltaworks.errors import FileError

MAX_HEADER_BYTES = 100_000_000
MAX_AXES = 64
_LENGTH_BYTES = 8
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor and where its bytes are, counted from the start of the data.

    Args:
        info: name, shape, dtype.
        begin: first byte.
        end: one past the last byte.
    """

    info: TensorInfo
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header.

    Args:
        tensors: name to place, in the order of their data.
        metadata: the file's own texts.
        data_start: bytes before the first tensor.
        file_bytes: size of the whole file.
    """

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]
    data_start: int
    file_bytes: int


def read_header(path: Path) -> Header:
    """Read and check a file's header; no tensor data is read.

    Raises:
        FileError: the file is unreadable, or anything in the header does not add up.
    """
    raw, file_bytes = _read(path)
    return parse_header(raw, file_bytes, place(path))


def read_header_bytes(path: Path) -> bytes:
    """Read everything before the data, length included, as it is on disk."""
    return _read(path)[0]


def _read(path: Path) -> tuple[bytes, int]:
    where = place(path)
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise FileError("is not a regular file", where=where)
        with path.open("rb") as file:
            start = file.read(_LENGTH_BYTES)
            n_bytes = _checked_length(start, facts.st_size, where)
            return start + file.read(n_bytes), facts.st_size
    except OSError as error:
        raise file_fault(error, path) from error


def _checked_length(start: bytes, file_bytes: int, where: str) -> int:
    if _LFS_POINTER.startswith(start) and start:
        raise FileError(
            "is a Git LFS pointer, not the weights", where=where, fix="Run 'git lfs pull' there."
        )
    if len(start) < _LENGTH_BYTES:
        _damaged(f"has {file_bytes:,} bytes, too few for a header", where)
    n_bytes = int.from_bytes(start, "little")
    if n_bytes > file_bytes - _LENGTH_BYTES:
        _damaged(f"header says {n_bytes:,} bytes, the file has {file_bytes:,}", where)
    if n_bytes > MAX_HEADER_BYTES:
        _damaged(f"header of {n_bytes:,} bytes, at most {MAX_HEADER_BYTES:,} are read", where)
    return n_bytes


def parse_header(raw: bytes, file_bytes: int, where: str) -> Header:
    """Check a header.

    Args:
        raw: everything before the data, the 8 bytes of length included.
        file_bytes: size that the file has or is to have.
        where: what messages name.

    Raises:
        FileError: naming the first thing that does not add up.
    """
    n_bytes = _checked_length(raw[:_LENGTH_BYTES], file_bytes, where)
    if len(raw) != _LENGTH_BYTES + n_bytes:
        _damaged(f"header says {n_bytes:,} bytes, {len(raw) - _LENGTH_BYTES:,} are there", where)
    if raw[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        _damaged("header does not begin with '{', so this is not a safetensors file", where)
    entries = parse_object(raw[_LENGTH_BYTES:], where)
    metadata = _metadata(entries.pop("__metadata__", None), where)
    tensors = sorted(
        (_tensor(name, facts, where) for name, facts in entries.items()),
        key=lambda tensor: (tensor.begin, tensor.end),
    )
    _check_cover(tensors, file_bytes - len(raw), where)
    return Header({one.info.name: one for one in tensors}, metadata, len(raw), file_bytes)


class _RefusedError(ValueError):
    """Something that JSON allows and we do not."""


def parse_object(raw: bytes, where: str) -> dict[str, Any]:
    """Read a JSON object whose keys are all different.

    Raises:
        FileError: not UTF-8, not JSON, not an object, nested too deep, or a key twice.
    """
    try:
        data = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise _bad(f"byte {error.start:,} of its JSON is not UTF-8", where) from error
    except json.JSONDecodeError as error:
        raise _bad(f"not JSON at character {error.pos:,} ({error.msg})", where) from error
    except _RefusedError as error:
        raise _bad(str(error), where) from error
    except (RecursionError, ValueError) as error:
        raise _bad("its JSON is nested too deep or holds a number too long", where) from error
    if not isinstance(data, dict):
        _damaged("its JSON is not an object", where)
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError(f"names {_short(key)} twice")
            seen.add(key)
    return found


def _no_constant(text: str) -> NoReturn:
    raise _RefusedError(f"holds {text}, which is not JSON")


def _metadata(data: Any, where: str) -> dict[str, str]:
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        _damaged("__metadata__ is not a list of names and texts", where)
    return data


def _tensor(name: str, facts: Any, where: str) -> StoredTensor:
    at = f"tensor {_short(name)}"
    if not name or not name.isprintable() or not isinstance(facts, dict):
        _damaged(f"{at} has no proper name or entry", where)
    if set(facts) != {"dtype", "shape", "data_offsets"}:
        _damaged(f"{at} should say dtype, shape and data_offsets, and nothing else", where)
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise FileError(
            f"{at} has dtype {_short(dtype)}, which is not read here",
            where=where,
            fix=f"Known are {', '.join(DTYPE_BYTES)}.",
        )
    if not _are_counts(shape) or len(shape) > MAX_AXES:
        _damaged(f"{at} has shape {_short(shape)}", where)
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _damaged(f"{at} has data_offsets {_short(offsets)}", where)
    info = TensorInfo(name, tuple(shape), dtype)
    n_bytes = offsets[1] - offsets[0]
    if info.nbytes != n_bytes or prod(axis or 1 for axis in shape) >= 2**59:
        text = f"{at} of shape {_short(shape)} in {dtype} takes {info.nbytes:,} bytes"
        _damaged(f"{text}, its data_offsets give {n_bytes:,}", where)
    return StoredTensor(info, offsets[0], offsets[1])


def _are_counts(data: Any) -> bool:
    # 63 bits: what file offsets and array sizes can be at all.
    return isinstance(data, list) and all(
        type(number) is int and 0 <= number < 2**63 for number in data
    )


def _check_cover(tensors: Sequence[StoredTensor], data_bytes: int, where: str) -> None:
    """Check that the tensors cover the data, each byte once."""
    at = 0
    for tensor in tensors:
        name = _short(tensor.info.name)
        if tensor.end > data_bytes:
            text = f"tensor {name} ends at byte {tensor.end:,} of the data"
            _damaged(f"{text}, the file has {data_bytes:,}", where)
        if tensor.begin < at:
            text = f"tensor {name} begins at byte {tensor.begin:,} of the data"
            _damaged(f"{text}, inside another that ends at {at:,}", where)
        if tensor.begin > at:
            text = f"{tensor.begin - at:,} bytes of the data before tensor {name}"
            _damaged(f"{text} belong to no tensor", where)
        at = tensor.end
    if at != data_bytes:
        _damaged(f"{data_bytes - at:,} bytes after the last tensor belong to nothing", where)


def _short(value: Any) -> str:
    """Quote a value from the file, at most 80 characters of it."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _bad(what: str, where: str) -> FileError:
    return FileError(what, where=where, fix=DAMAGED)


def _damaged(what: str, where: str) -> NoReturn:
    raise _bad(what, where)


def build_header(
    tensors: Iterable[TensorInfo], metadata: Mapping[str, str], *, least_bytes: int = 0
) -> bytes:
    """Make a header for tensors laid one after the other.

    Args:
        tensors: in the order of their data.
        metadata: the file's own texts; keys are written in the given order.
        least_bytes: pad with blanks to at least this size.

    Returns:
        Everything before the data; its size is a multiple of 8.
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for info in tensors:
        end = at + info.nbytes
        entries[info.name] = {
            "dtype": info.dtype,
            "shape": list(info.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    n_bytes = max(len(text), least_bytes - _LENGTH_BYTES)
    n_bytes += -n_bytes % 8
    return n_bytes.to_bytes(_LENGTH_BYTES, "little") + text.ljust(n_bytes)
