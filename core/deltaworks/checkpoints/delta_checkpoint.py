"""A delta file over its base: looks like the fine-tuned model, tensor by tensor."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.delta_manifest import (
    BETWEEN,
    FILE_PREFIX,
    HEADER_PREFIX,
    METADATA_KEYS,
    DeltaManifest,
    StoredDelta,
    json_of,
    parse_manifest,
    unpack_blob,
)
from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.checkpoints.file_state import FileState
from deltaworks.checkpoints.folder import file_identity
from deltaworks.checkpoints.hashes import tensor_hash
from deltaworks.checkpoints.headers import parse_header, parse_object, read_header_bytes
from deltaworks.checkpoints.layout import is_plain_name
from deltaworks.checkpoints.mapped import MappedFile
from deltaworks.checkpoints.seal import SEAL_KEY, check_header_seal, data_fault
from deltaworks.checkpoints.tensors import DTYPE_BYTES, TensorInfo
from deltaworks.errors import FileError, MismatchError
from deltaworks.methods import compression_method
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.words import tensor_words, words_tensor
from deltaworks.options import read_options
from deltaworks.progress import JobControl, Progress, Warned

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts


_OF_DAMAGED_PARTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What decoders raise of parts that no encoder has made: shapes, kinds and values at odds."""


class DeltaCheckpoint(Checkpoint):
    """A delta file; with its base, the fine-tuned model that it stands for.

    Names, shapes and dtypes are the expert's. Reading needs the base, whose tensors are
    compared with the recorded hashes the first time that each is used. Side files are
    inside the delta file: ``side_files`` is empty, ``side_file_bytes`` gives them.

    Attributes:
        manifest: what the file says of itself.
        base: None when it was opened alone.
    """

    def __init__(
        self, path: Path, base: Checkpoint | None = None, *, owns_base: bool = False
    ) -> None:
        self.path = path
        self.kind = "delta"
        self.base = base
        self._owns_base = owns_base
        self._file = MappedFile(path)
        self.weight_files = (path,)
        self.side_files: Mapping[str, Path] = {}
        self.metadata: Mapping[str, str] = self._file.header.metadata
        self.manifest: DeltaManifest = parse_manifest(self.metadata, path)
        self._parts = self._sorted_parts()
        self._check_names()
        self._infos = {info.name: info for info in self._expert_infos()}
        self._check_tensors()
        # Last, so that a fault that has a name of its own is called by it.
        check_header_seal(read_header_bytes(path), self.metadata, path)
        self.config: Mapping[str, Any] = self._config()
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def _sorted_parts(self) -> dict[str, dict[str, str]]:
        """Map parameter names to part names to stored names."""
        found: dict[str, dict[str, str]] = {}
        for stored in self._file.header.tensors:
            owner, between, part = stored.rpartition(BETWEEN)
            if stored.startswith((FILE_PREFIX + BETWEEN, HEADER_PREFIX + BETWEEN)):
                owner, between, part = stored.partition(BETWEEN)
            if not between:
                self._damaged(f"tensor {stored:.80} is part of no delta")
            found.setdefault(owner, {})[part] = stored
        return found

    def _check_names(self) -> None:
        files = (self.manifest.side_files, self.manifest.expert.files)
        for prefix, names in zip((FILE_PREFIX, HEADER_PREFIX), files, strict=True):
            if set(names) != set(self._parts.get(prefix, {})):
                self._damaged(f"the manifest and the file differ about {prefix} parts")
            for name in names:
                if not is_plain_name(name):
                    self._damaged(f"{name!r:.80} is no plain file name")

    def _expert_infos(self) -> list[TensorInfo]:
        """Tell the expert's tensors from its own headers, in file order."""
        sizes = self.manifest.expert.files
        return [
            stored.info
            for name, raw in self.original_headers().items()
            for stored in parse_header(
                raw, sizes[name], f"{place(self.path)} ({name})"
            ).tensors.values()
        ]

    def _check_tensors(self) -> None:
        manifest = self.manifest
        told = [*manifest.tensors, *manifest.same, *manifest.alias]
        if len(told) != len(set(told)) or set(told) != set(self._infos):
            self._damaged("the manifest and the expert's headers name different tensors")
        for name, stored in manifest.tensors.items():
            info = self._infos[name]
            if stored.shape != info.shape or stored.orig_dtype != info.dtype:
                self._damaged(f"tensor {name:.80} is {list(info.shape)} in {info.dtype}")
            if stored.dtype not in DTYPE_BYTES:
                self._damaged(f"tensor {name:.80} has dtype {stored.dtype!r:.40}")
            if stored.transposed and len(info.shape) < 2:
                self._damaged(f"tensor {name:.80} is no matrix and called transposed")
        if set(self._parts) - {FILE_PREFIX, HEADER_PREFIX} - set(manifest.tensors):
            self._damaged("it holds parts of tensors that the manifest does not name")
        if any(
            target not in told or target in manifest.alias for target in manifest.alias.values()
        ):
            self._damaged("an alias points to no stored tensor")

    def _damaged(self, what: str) -> NoReturn:
        raise FileError(what, where=place(self.path), fix=DAMAGED)

    def _config(self) -> dict[str, Any]:
        if "config.json" not in self.manifest.side_files:
            return {}
        raw = self._blob(FILE_PREFIX, "config.json")
        return parse_object(raw, f"{place(self.path)} (config.json)")

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor of the expert, in its file order."""
        return tuple(self._infos)

    def info(self, name: str) -> TensorInfo:
        """Shape and dtype in the expert; KeyError when there is none of that name."""
        return self._infos[name]

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._infos

    @property
    def report(self) -> dict[str, Any]:
        """The report stored inside; empty when there is none."""
        return json_of(self.metadata, "report", self.path) if "report" in self.metadata else {}

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe stored inside; empty when there is none."""
        return json_of(self.metadata, "recipe", self.path) if "recipe" in self.metadata else {}

    @property
    def original_bytes(self) -> int:
        """Bytes of the expert's weight files."""
        return sum(self.manifest.expert.files.values())

    @property
    def is_exact(self) -> bool:
        """Whether every tensor comes back bit for bit."""
        codecs = {stored.codec for stored in self.manifest.tensors.values()}
        return all(compression_method(codec).is_exact for codec in codecs)

    def read_words(self, name: str, rows: slice | None = None) -> np.ndarray[Any, Any]:
        """Rebuild a tensor; what is the base's is a view of the base. Decoding needs torch."""
        name = self.manifest.alias.get(name, name)
        if name not in self.manifest.tensors:
            return self._checked_base(name).read_words(name, rows)
        return tensor_words(self.read(name, rows))

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Rebuild a tensor from the base and its parts.

        Raises:
            MismatchError: the base is not known, or not the one the delta was made from.
            FileError: the parts are damaged.
        """
        name = self.manifest.alias.get(name, name)
        info = self.info(name)
        stored = self.manifest.tensors.get(name)
        if stored is None:
            return words_tensor(self._checked_base(name).read_words(name, rows), info.dtype)
        whole = self._decoded(name, stored)
        return whole if rows is None else whole[rows]

    def _decoded(self, name: str, stored: StoredDelta) -> Tensor:
        manifest = self.manifest
        method = compression_method(stored.codec)
        values = manifest.params if stored.codec == manifest.method else {}
        options = read_options(method.options, values, where=place(self.path))
        base = None
        if name in manifest.base.tensors:
            base = self._checked_base(name).read(name)
        shape = stored.shape
        if stored.transposed:
            shape = (*shape[:-2], shape[-1], shape[-2])
            base = None if base is None else base.mT.contiguous()
        spec = TensorSpec(name, shape, manifest.seed)
        parts = self.parts(name)
        try:
            from deltaworks.methods.compression.applying import restore_tensor

            tensor = restore_tensor(method, parts, base, spec, options, stored.dtype)
        except _OF_DAMAGED_PARTS as error:
            if "memory" in str(error):
                raise
            text = f"its parts do not decode with {method.title} ({error!r:.200})"
            raise FileError(text, where=f"{place(self.path)}: {name:.80}", fix=DAMAGED) from error
        if stored.transposed:
            tensor = tensor.mT.contiguous()
        is_right = not stored.tuned or not method.is_exact
        found = "" if is_right else tensor_hash(tensor_words(tensor), like=stored.tuned)
        if not (is_right or found == stored.tuned):
            text = "does not come back bit for bit"
            raise FileError(text, where=f"{place(self.path)}: {name}", fix=DAMAGED)
        return tensor

    def release(self, name: str) -> None:
        """Drop the base's pages from memory."""
        if self.base is not None and name in self.base:
            self.base.release(name)

    def parts(self, name: str) -> Parts:
        """Copy what is stored of a tensor into memory."""
        stored = self._parts.get(name, {})
        # Parts lie at any address in the file; a copy is aligned and may be written to.
        return {part: np.array(self._file.words(at)) for part, at in stored.items()}

    def _checked_base(self, name: str) -> Checkpoint:
        """Give the base after comparing one tensor of it with the recorded hash."""
        base = self._base_or_refuse()
        with self._lock:
            if name in self._checked:
                return base
        fix = "Choose the base that the delta was made from."
        if name not in base:
            raise MismatchError(f"is not in the base {place(base.path)}", where=name, fix=fix)
        known = self.manifest.base.tensors.get(name)
        if tensor_hash(base.read_words(name), like=known) != known:
            raise MismatchError(
                f"differs in the base {place(base.path)} from the one in {self.manifest.base.id}",
                where=name,
                fix=fix,
            )
        with self._lock:
            self._checked.add(name)
        return base

    def _base_or_refuse(self) -> Checkpoint:
        if self.base is None:
            raise MismatchError(
                f"its base {self.manifest.base.id} is not known here",
                where=place(self.path),
                fix="Choose the base that the delta was made from.",
            )
        return self.base

    def check_base(self, control: JobControl) -> None:
        """Compare every tensor that is needed of the base with its recorded hash.

        Raises:
            MismatchError: naming the first one that differs.
            CancelledError: stopped.
        """
        base = self._base_or_refuse()
        needed = list(self.manifest.base.tensors)
        total = sum(base.info(name).nbytes for name in needed if name in base)
        done = 0
        for name in needed:
            control.step(Progress(done, total, "comparing the base"))
            self._checked_base(name)
            done += base.info(name).nbytes
        control.step(Progress(done, total, "comparing the base"))

    def stored_faults(self, control: JobControl) -> Iterator[str]:
        """Compare everything in the file with the hashes that it has of itself.

        Raises:
            FileError: it cannot be read.
            CancelledError: stopped.
        """
        unknown = sorted(set(self.metadata) - METADATA_KEYS)
        if unknown:
            text = f"its metadata holds {unknown[0]!r:.40}, which no version of ours writes"
            yield str(FileError(text, where=place(self.path), fix=DAMAGED))
        if SEAL_KEY not in self.metadata:
            text = "it was written by an early version, without hashes of its own"
            control.step(Warned(text, place(self.path)))
            return
        fault = data_fault(self.path, self._file.header.data_start, self.metadata, control)
        if fault:
            yield fault

    def side_file_bytes(self) -> dict[str, bytes]:
        """Unpack the expert's side files: name to content."""
        return {name: self._blob(FILE_PREFIX, name) for name in self.manifest.side_files}

    def original_headers(self) -> dict[str, bytes]:
        """Unpack the headers of the expert's weight files, length included, in file order."""
        return {name: self._blob(HEADER_PREFIX, name) for name in self.manifest.expert.files}

    def _blob(self, prefix: str, name: str) -> bytes:
        words = self._file.words(self._parts[prefix][name])
        return unpack_blob(words.tobytes(), f"{place(self.path)} ({name})")

    @property
    def identity(self) -> Identity:
        """Facts of the delta file itself."""
        stored = [one.info for one in self._file.header.tensors.values()]
        return file_identity(self.weight_files, stored)

    def stored_bytes(self, name: str) -> int:
        """Bytes of all parts of a tensor."""
        stored = self._file.header.tensors
        return sum(stored[at].info.nbytes for at in self._parts.get(name, {}).values())

    @property
    def file_states(self) -> Mapping[Path, FileState]:
        """The delta's own file and the base's, as they were when they were opened."""
        below = {} if self.base is None else self.base.file_states
        return {**below, self._file.path: self._file.state}

    def close(self) -> None:
        """Let go of the file, and of the base if it was opened with it."""
        self._file.close()
        if self._owns_base and self.base is not None:
            self.base.close()
