"""What a run writes down of a finished tensor or file, and how a later run takes it over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.hashes import tensor_hash
from deltaworks.engine.compress_plan import Choice, CompressJob, ExpertJob, TensorTask
from deltaworks.engine.encoding import Encoded, EncodedTensor
from deltaworks.engine.journal import Entry, Rests
from deltaworks.engine.provenance import output_recipe
from deltaworks.engine.reports import Artefact, Sizes, TensorReport
from deltaworks.errors import AppError
from deltaworks.methods.compression_record import Parts


@dataclass(frozen=True)
class Finished:
    """A tensor that one setting has finished in an earlier run."""

    tensor: EncodedTensor
    encoded: Encoded | None


def entry_of(tensor: EncodedTensor, encoded: Encoded | None) -> Entry:
    """Give the journal's line for what one setting keeps of one tensor."""
    facts = {
        "is_same": tensor.is_same,
        "base_hash": tensor.base_hash,
        "tuned_hash": tensor.tuned_hash,
        "energy": tensor.energy,
        "warning": tensor.warning,
        "alias": tensor.alias,
    }
    if encoded is not None:
        facts["encoded"] = {
            "codec": encoded.codec,
            "payload_bits": encoded.payload_bits,
            "error": encoded.error,
            "seconds": encoded.seconds,
            "is_transposed": encoded.is_transposed,
        }
        facts["parts"] = [
            [name, words.dtype.str, list(words.shape)] for name, words in encoded.parts.items()
        ]
    parts = encoded.parts if encoded else {}
    n_bytes = encoded.n_bytes if encoded else 0
    return Entry(tensor.task.item.id, n_bytes, _checksum(parts), facts)


def _checksum(parts: Parts) -> str:
    from blake3 import blake3

    digest = blake3()
    for name in sorted(parts):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(parts[name]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def finished_of(
    entry: Entry, task: TensorTask, read_back: Callable[[int], bytes]
) -> Finished | None:
    """Turn a journal's line back into what was stored.

    Args:
        entry: of an earlier run.
        task: the tensor that should be next.
        read_back: gives the bytes of its parts as they lie on disk.

    Returns:
        None when it is another tensor, or when something is damaged.
    """
    facts = dict(entry.facts)
    try:
        encoded, layout = facts.pop("encoded", None), facts.pop("parts", [])
        parts = _parts(layout, entry.n_bytes, read_back)
        if entry.item != task.item.id or _checksum(parts) != entry.checksum:
            return None
        tensor = EncodedTensor(task=task, results=(), **facts)
        return Finished(tensor, Encoded(parts=parts, **encoded) if encoded else None)
    except (AppError, TypeError, ValueError, AttributeError):
        return None


def _parts(
    layout: list[tuple[str, str, list[int]]], n_bytes: int, read_back: Callable[[int], bytes]
) -> Parts:
    kinds = [(name, np.dtype(kind), shape) for name, kind, shape in layout]
    if sum(kind.itemsize * prod(shape) for _, kind, shape in kinds) != n_bytes:
        raise ValueError("the parts are larger or smaller than noted")
    raw, at = read_back(n_bytes), 0
    parts: Parts = {}
    for name, kind, shape in kinds:
        parts[name] = np.frombuffer(raw, kind, count=prod(shape), offset=at).reshape(shape)
        at += parts[name].nbytes
    return parts


def artefact_name(expert: ExpertJob, choice: Choice) -> str:
    """Name a delta file for people."""
    label = f" · {choice.label}" if choice.label else ""
    return f"{expert.name} · {choice.method.title}{label}"


def made_before(
    job: CompressJob, expert: ExpertJob, choice: Choice, target: Path
) -> Artefact | None:
    """Give the file that an earlier run of this job has finished.

    Returns:
        None when there is none, when another recipe made it, or when a model that it was
        made from has changed since.
    """
    lasting = output_recipe(job, expert, choice, target)
    try:
        with open_checkpoint(target) as delta:
            if not isinstance(delta, DeltaCheckpoint) or delta.recipe != lasting:
                return None
            if not _is_made_of(delta, job.base, expert.checkpoint):
                return None
            made = _artefact(job, expert, choice, delta)
        rests = Rests(target, lasting)
        if rests.are_there():
            rests.remove()
        return made
    except (AppError, OSError, KeyError, TypeError):
        return None


def _is_made_of(delta: DeltaCheckpoint, base: Checkpoint, expert: Checkpoint) -> bool:
    """Whether a delta file is of these very weights.

    Mostly the times of change tell. A clock may have been set back since, so where they
    do not, the weights are read and compared with the hashes that the file has of them.
    """
    made_at = delta.identity.modified_ns
    if all(one.identity.modified_ns < made_at for one in (base, expert)):
        return True
    manifest = delta.manifest
    of_base, of_expert = manifest.base.tensors, manifest.tensors
    return (
        set(delta.names) == set(expert.names)
        and all(_is_hashed(base, name, of_base[name]) for name in of_base)
        and all(_is_hashed(expert, name, of_expert[name].tuned) for name in of_expert)
        and all(_is_hashed(expert, name, of_base[name]) for name in manifest.same)
    )


def _is_hashed(model: Checkpoint, name: str, recorded: str) -> bool:
    return tensor_hash(model.read_words(name), like=recorded) == recorded


def _artefact(
    job: CompressJob, expert: ExpertJob, choice: Choice, delta: DeltaCheckpoint
) -> Artefact:
    report = delta.report
    sizes = Sizes(**report["sizes"])
    return Artefact(
        path=str(delta.path),
        kind="delta",
        name=artefact_name(expert, choice),
        expert=str(expert.checkpoint.path),
        base=str(job.base.path),
        method=choice.method.id,
        options=choice.values,
        file_bytes=sizes.file_bytes,
        sizes=sizes,
        is_exact=report["is_exact"],
        error=report["error"],
        tensors=tuple(TensorReport(**tensor) for tensor in report["tensors"]),
    )
