"""Writes a delta file: parts as they come, header last, published only when whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.delta_manifest import (
    BETWEEN,
    FILE_PREFIX,
    HEADER_PREFIX,
    MANIFEST_KEY,
    BaseFacts,
    DeltaManifest,
    ExpertFacts,
    StoredDelta,
    compact_json,
    pack_blob,
)
from deltaworks.checkpoints.documents import read_bytes
from deltaworks.checkpoints.faults import place
from deltaworks.checkpoints.headers import build_header, read_header_bytes
from deltaworks.checkpoints.hub import hub_source
from deltaworks.checkpoints.output_file import OutputFile
from deltaworks.checkpoints.seal import NO_SEAL, SEAL_KEY, sealed
from deltaworks.checkpoints.side_files import MAX_SIDE_FILE_BYTES
from deltaworks.checkpoints.staging import (
    check_space,
    make_parents,
    partial_path,
    publish_file,
    refuse_existing,
    refuse_links,
    remove_empty,
)
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.errors import FileError
from deltaworks.methods import compression_method
from deltaworks.numerics.words import NUMPY_DTYPE
from deltaworks.product import VERSION
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from deltaworks.methods.compression_record import Parts

_STORED_AS = {
    dtype: name for name, dtype in NUMPY_DTYPE.items() if name not in {"BF16", "F8_E4M3", "F8_E5M2"}
}
_PIECE_BYTES = 8 * 2**20
_HEADER_STEP = 512
"""The header is padded to a multiple of this, so that the sizes in it may change their length."""


class DeltaWriter:
    """A delta file in the making, ``<name>.partial-<job>`` until ``finish``.

    Parts are appended as they come. The same calls give the same bytes: nothing in the
    file depends on time, machine or thread. As a context it aborts unless finished.

    Args:
        path: final place; must not exist.
        base: what the deltas were taken from.
        expert: what they stand for. Its side files and headers go into the file.
        method: id of the chosen method.
        options: its options in full.
        seed: where random streams start.
        recipe: the document that makes the file again.
        job_id: part of the temporary name.
        expected_bytes: size of all parts as planned, for the check of the disk.
        goes_on: keep the parts that lie in the temporary file already; they are to be
            checked with ``read_back`` and added again in their order, then ``cut`` is called.

    Raises:
        FileError: the file exists or cannot be made.
        SpaceError: the disk has too little space.
    """

    def __init__(
        self,
        path: Path,
        *,
        base: Checkpoint,
        expert: Checkpoint,
        method: str,
        options: Mapping[str, Any],
        seed: int,
        recipe: Mapping[str, Any],
        job_id: str = "",
        expected_bytes: int = 0,
        goes_on: bool = False,
    ) -> None:
        self.path = Path(path).absolute()
        self.recipe = dict(recipe)
        self._expert = expert
        self._method, self._options, self._seed = method, dict(options), seed
        name, revision = _named(base)
        self._base = BaseFacts(id=name, revision=revision, header=base.identity.header)
        self._tensors: dict[str, StoredDelta] = {}
        self._base_hashes: dict[str, str] = {}
        self._same: list[str] = []
        self._alias: dict[str, str] = {}
        self._stored: list[TensorInfo] = []
        self._taken: set[str] = set()
        self._digest = blake3()
        self._at = 0
        self._bytes = {"codes": 0, "exact": 0, "side_files": 0, "header": 0}
        refuse_existing(self.path)
        headers = _headers_of(expert)
        side = _side_files_of(expert)
        blobs = _blobs(side, headers)
        self.partial = partial_path(self.path, job_id, is_free=not goes_on)
        n_bytes = sum(map(len, blobs.values())) + expected_bytes
        check_space(self.path, n_bytes, there=self.partial if goes_on else None)
        self._is_open = True
        self._file: OutputFile | None = None
        self._made = make_parents(self.path)
        name, revision = _named(expert)
        files = {file: n_bytes for file, (_, n_bytes) in headers.items()}
        self._side_names = tuple(side)
        self._expert_facts = ExpertFacts(id=name, revision=revision, kind=expert.kind, files=files)
        try:
            if goes_on:
                refuse_links([self.partial])
            self._file = OutputFile(self.partial, goes_on=goes_on)
            for name, blob in blobs.items():
                self._append(name, np.frombuffer(blob, dtype=np.uint8))
                self._bytes["side_files"] += len(blob)
        except BaseException:
            self.abort()
            raise

    @property
    def bytes_by_kind(self) -> dict[str, int]:
        """Bytes so far: codes, exact tensors, side files, header (known after ``finish``)."""
        return dict(self._bytes)

    def add(
        self,
        info: TensorInfo,
        codec: str,
        parts: Parts,
        *,
        base_hash: str,
        tuned_hash: str = "",
        orig_dtype: str = "",
        transposed: bool = False,
        base_rows: int = 0,
        is_there: bool = False,
    ) -> None:
        """Store one tensor.

        Args:
            info: of the fine-tuned tensor as it is to be rebuilt.
            codec: id of the method that made the parts.
            parts: in the order in which they are to be stored.
            base_hash: hash of the base's tensor; empty when decoding does not use it.
            tuned_hash: hash of the fine-tuned tensor, which exact codecs are checked with.
            orig_dtype: the expert's dtype, when another than that of ``info``.
            transposed: whether the parts are those of the transposed tensor.
            base_rows: rows of the base's tensor, when another number than in ``info``.
            is_there: whether the parts lie in the file already.

        Raises:
            SpaceError: the disk is full.
            ValueError: a name or a dtype that cannot be stored.
        """
        self._take(info.name)
        self._tensors[info.name] = StoredDelta(
            codec=codec,
            shape=info.shape,
            dtype=info.dtype,
            orig_dtype=orig_dtype or info.dtype,
            tuned=tuned_hash,
            transposed=transposed,
            base_rows=base_rows,
        )
        if base_hash:
            self._base_hashes[info.name] = base_hash
        for part, words in parts.items():
            if BETWEEN in part:
                raise ValueError(f"part {part!r} holds {BETWEEN}")
            self._append(f"{info.name}{BETWEEN}{part}", words, is_there=is_there)
            kind = "exact" if compression_method(codec).is_exact else "codes"
            self._bytes[kind] += words.nbytes

    def read_back(self, n_bytes: int) -> bytes:
        """Read what lies where the next part goes; FileError when the file ends early."""
        assert self._file is not None
        return self._file.read_at(n_bytes, self._at)

    def cut(self) -> None:
        """Drop what lies behind the last part that was added."""
        assert self._file is not None
        self._file.truncate(self._at)

    def same(self, name: str, base_hash: str) -> None:
        """Note a tensor that is the base's, bit for bit."""
        self._take(name)
        self._same.append(name)
        self._base_hashes[name] = base_hash

    def alias(self, name: str, target: str) -> None:
        """Note a tensor that is another of the expert's, bit for bit, such as a tied head."""
        self._take(name)
        self._alias[name] = target

    def _take(self, name: str) -> None:
        if not self._is_open:
            raise ValueError("the writer is closed")
        if name in self._taken:
            raise ValueError(f"{name} was stored already")
        if name.startswith((FILE_PREFIX, HEADER_PREFIX)):
            raise ValueError(f"{name} is a reserved name")
        self._taken.add(name)

    def _append(self, name: str, words: np.ndarray[Any, Any], *, is_there: bool = False) -> None:
        assert self._file is not None
        plain = np.ascontiguousarray(words)
        raw = plain.reshape(-1).view(np.uint8).data
        if not is_there:
            self._file.write_at(raw, self._at)
        self._at += len(raw)
        self._digest.update(raw)
        self._stored.append(TensorInfo(name, words.shape, _STORED_AS[plain.dtype]))

    def finish(
        self,
        report_json: Callable[[dict[str, Any]], dict[str, Any]],
        control: JobControl | None = None,
    ) -> Path:
        """Put the header in front, read everything back, and give the file its name.

        Args:
            report_json: from the sizes (``file_bytes``, ``original_bytes``, ``by_kind``)
                to the report as plain data. Called several times, since the report is
                part of the size; it must give the same for the same sizes.
            control: stops or pauses the reading back; it is told nothing.

        Raises:
            ValueError: a tensor of the expert was not stored.
            FileError: what is on disk is not what was written, or the name was taken.
            SpaceError: the disk is full.
            CancelledError: stopped. After any error nothing is left behind.
        """
        control = control or JobControl()
        try:
            missing = set(self._expert.names) ^ self._taken
            if missing:
                raise ValueError(f"not stored, or not of the expert: {sorted(missing)[:3]}")
            header = sealed(self._fitting_header(report_json), self._digest.hexdigest())
            self._complete(header, control)
            self._check(header, control)
            control.check()
            publish_file(self.partial, self.path)
        except BaseException:
            self.abort()
            raise
        self._is_open = False
        return self.path

    def _fitting_header(self, report_json: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
        """Make a header that states its own size; grow it until it fits."""
        n_bytes = 0
        while True:
            self._bytes["header"] = n_bytes
            sizes = {
                "file_bytes": n_bytes + self._at,
                "original_bytes": sum(self._expert_facts.files.values()),
                "by_kind": self.bytes_by_kind,
            }
            metadata = self._metadata(report_json(sizes), sizes)
            header = build_header(self._stored, metadata, least_bytes=n_bytes)
            if len(header) == n_bytes:
                return header
            n_bytes = -(-len(header) // _HEADER_STEP) * _HEADER_STEP

    def _metadata(self, report: dict[str, Any], sizes: Mapping[str, Any]) -> dict[str, str]:
        manifest = DeltaManifest(
            method=self._method,
            params=self._options,
            seed=self._seed,
            base=self._base.model_copy(update={"tensors": self._base_hashes}),
            expert=self._expert_facts,
            tensors=self._tensors,
            same=tuple(self._same),
            alias=self._alias,
            side_files=self._side_names,
            sizes={**sizes["by_kind"], "file": sizes["file_bytes"]},
        )
        return {
            MANIFEST_KEY: compact_json(manifest.model_dump(mode="json")),
            "recipe": compact_json(self.recipe),
            "report": compact_json(report),
            "app_version": VERSION,
            SEAL_KEY: NO_SEAL,
        }

    def _complete(self, header: bytes, control: JobControl) -> None:
        """Shift the parts, so that the header fits before them without a hole."""
        assert self._file is not None
        self._file.allocate(len(header) + self._at)
        self._file.move(self._at, 0, len(header), control)
        self._file.write_at(header, 0)
        self._file.sync()

    def _check(self, header: bytes, control: JobControl) -> None:
        """Compare all parts with what was written, then open the file as any reader would."""
        assert self._file is not None
        again = blake3()
        for at in range(0, self._at, _PIECE_BYTES):
            control.check()
            n_bytes = min(_PIECE_BYTES, self._at - at)
            again.update(self._file.read_at(n_bytes, len(header) + at))
        if again.digest() != self._digest.digest():
            text = "its data read back differs from what was written"
            raise FileError(text, where=place(self.path), fix="Check the disk.")
        self._file.close()
        if read_header_bytes(self.partial) != header:
            raise FileError("its header differs", where=place(self.path), fix="Check the disk.")
        DeltaCheckpoint(self.partial).close()

    def abort(self) -> None:
        """Take away everything that was written; without effect after ``finish``."""
        if not self._is_open:
            return
        self._is_open = False
        if self._file is not None:
            self._file.close()
            self.partial.unlink(missing_ok=True)
        remove_empty(self._made)

    def __enter__(self) -> DeltaWriter:
        """Use as a context that aborts unless finished."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort unless finished."""
        self.abort()


def _named(checkpoint: Checkpoint) -> tuple[str, str]:
    """Name a model for people, without the way to it; and its revision on the Hub."""
    source = hub_source(checkpoint.path)
    if source is not None:
        return source.repo_id, source.revision
    is_folder = checkpoint.kind == "folder" and checkpoint.weight_files
    path = checkpoint.weight_files[0].parent if is_folder else checkpoint.path
    return path.name.removesuffix(".safetensors"), ""


def _headers_of(expert: Checkpoint) -> dict[str, tuple[bytes, int]]:
    """Give the headers of the expert's weight files with the sizes of the files.

    An adapter or a delta has no weight files of the model it makes: that model gets one.
    """
    if expert.kind not in {"adapter", "delta"}:
        return {
            path.name: (read_header_bytes(path), path.stat().st_size)
            for path in expert.weight_files
        }
    if isinstance(expert, DeltaCheckpoint):
        sizes = expert.manifest.expert.files
        return {name: (raw, sizes[name]) for name, raw in expert.original_headers().items()}
    infos = [expert.info(name) for name in expert.names]
    header = build_header(infos, {"format": "pt"})
    n_bytes = len(header) + sum(info.nbytes for info in infos)
    return {"model.safetensors": (header, n_bytes)}


def _side_files_of(expert: Checkpoint) -> dict[str, bytes]:
    if isinstance(expert, DeltaCheckpoint):
        return expert.side_file_bytes()
    return {name: read_bytes(path, MAX_SIDE_FILE_BYTES) for name, path in expert.side_files.items()}


def _blobs(side: Mapping[str, bytes], headers: Mapping[str, tuple[bytes, int]]) -> dict[str, bytes]:
    """Pack side files and headers: stored name to blob."""
    blobs = {f"{FILE_PREFIX}{BETWEEN}{name}": pack_blob(data) for name, data in side.items()}
    for name, (raw, _) in headers.items():
        blobs[f"{HEADER_PREFIX}{BETWEEN}{name}"] = pack_blob(raw)
    return blobs
