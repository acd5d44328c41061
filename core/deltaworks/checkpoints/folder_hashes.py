"""Hashes of every file of a model that was made here, in a small file beside them.

Weights are hashed while they are made, piece by piece, so that no second pass is needed;
``verify`` compares piece by piece. The file has a hash of itself as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.faults import DAMAGED, file_fault, place
from deltaworks.checkpoints.headers import parse_header, read_header_bytes
from deltaworks.checkpoints.layout import is_plain_path
from deltaworks.checkpoints.side_files import HASHES_FILE
from deltaworks.errors import AppError, FileError
from deltaworks.progress import JobControl, Progress

_FIX = f"Restore it from a copy. If you changed it on purpose, remove {HASHES_FILE}."
_READ_BYTES = 8 * 2**20
_SELF = "self"

Pieces = Mapping[str, Sequence[tuple[int, str]]]
"""Tensor names to its pieces in order, each as its bytes and their blake3 in hex."""


def hashes_document(
    headers: Mapping[str, bytes], pieces: Pieces, files: Mapping[str, bytes]
) -> bytes:
    """Write down the hashes of a folder.

    Args:
        headers: weight files' names to everything before their data.
        pieces: hashes of all tensors in them.
        files: every other file of the folder.
    """
    document: dict[str, Any] = {
        "format": 1,
        "hash": "blake3",
        "headers": {name: _hash(raw) for name, raw in headers.items()},
        "tensors": {name: [list(piece) for piece in some] for name, some in pieces.items()},
        "files": {name: _hash(raw) for name, raw in files.items()},
    }
    return _text({**document, _SELF: _hash(_text(document))})


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=0) + "\n").encode()


def _hash(raw: bytes) -> str:
    from blake3 import blake3

    return blake3(raw).hexdigest()


def folder_faults(folder: Path, control: JobControl) -> Iterator[str]:
    """Compare a folder with the hashes beside it; nothing when there are none.

    Yields:
        A sentence for each thing that is not as it was written.

    Raises:
        CancelledError: stopped.
    """
    path = folder / HASHES_FILE
    if not path.is_file():
        return
    try:
        document = _read(path)
        for name, wanted in document["files"].items():
            yield from _file_fault(folder / name, wanted)
        for name, wanted in document["headers"].items():
            yield from _weight_faults(folder / name, wanted, document["tensors"], control)
    except AppError as error:
        if isinstance(error, FileError):
            yield str(error)
        else:
            raise


def _read(path: Path) -> dict[str, Any]:
    """Read the hashes; a document that is not just as it was written is of no use."""
    document = read_object(path)
    told = document.pop(_SELF, None)
    if document.get("format") != 1 or _hash(_text(document)) != told:
        raise FileError("is not as it was written", where=place(path), fix=DAMAGED)
    if path.read_bytes() != _text({**document, _SELF: told}):
        raise FileError("is not as it was written", where=place(path), fix=DAMAGED)
    names = [*document["files"], *document["headers"]]
    if not all(map(is_plain_path, names)):
        raise FileError("names files of other folders", where=place(path), fix=DAMAGED)
    return document


def _file_fault(path: Path, wanted: str) -> Iterator[str]:
    try:
        found = _hash(path.read_bytes())
    except OSError as error:
        yield str(file_fault(error, path))
        return
    if found != wanted:
        yield _changed(path, "")


def _changed(path: Path, what: str) -> str:
    return str(FileError(f"{what}is not as it was written", where=place(path), fix=_FIX))


def _weight_faults(path: Path, wanted: str, pieces: Pieces, control: JobControl) -> Iterator[str]:
    raw = read_header_bytes(path)
    if _hash(raw) != wanted:
        yield _changed(path, "its header ")
        return
    n_bytes = path.stat().st_size
    header = parse_header(raw, n_bytes, place(path))
    try:
        with path.open("rb") as file:
            for name, stored in header.tensors.items():
                control.step(Progress(stored.begin, n_bytes, f"hashing {path.name}"))
                file.seek(header.data_start + stored.begin)
                known = pieces.get(name, ())
                is_whole = sum(size for size, _ in known) == stored.end - stored.begin
                if not is_whole or not all(_hash_of(file, *piece, control) for piece in known):
                    yield _changed(path, f"tensor {name:.80} ")
    except OSError as error:
        yield str(file_fault(error, path))


def _hash_of(file: Any, n_bytes: int, wanted: str, control: JobControl) -> bool:
    """Whether the next bytes of a file have a hash; all of them are read in any case."""
    from blake3 import blake3

    digest = blake3()
    while n_bytes:
        control.check()
        piece = file.read(min(n_bytes, _READ_BYTES))
        if not piece:
            return False
        digest.update(piece)
        n_bytes -= len(piece)
    return bool(digest.hexdigest() == wanted)
