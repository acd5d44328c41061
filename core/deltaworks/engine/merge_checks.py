"""What is looked at before a merge, as data that the window and the command line show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.checkpoints.adapter import AdapterCheckpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.vocabulary import TOKENIZER, read_vocabulary
from deltaworks.engine.merge_names import is_head
from deltaworks.engine.merge_vocabulary import tables_of
from deltaworks.engine.plan_types import Check, Level
from deltaworks.errors import AppError, MismatchError

if TYPE_CHECKING:
    from deltaworks.engine.merge_plan import MergeJob

_PACKED = (
    ".qweight",
    ".qzeros",
    ".absmax",
    ".weight_scale",
    ".weight_scale_inv",
    ".SCB",
    ".scales",
)
_SUBJECTS = {"vocabulary": "vocabulary", "tokenizer": "tokenizers"}


def check_packed(label: str, model: Checkpoint) -> Iterator[AppError]:
    """Refuse a model whose weights are packed: their numbers cannot be averaged.

    It is known by its config, by the names of its scales, or by 8-bit floats.
    """
    settings = model.config.get("quantization_config")
    how = str(settings.get("quant_method", "")) if isinstance(settings, Mapping) else ""
    signs = [name for name in model.names if name.endswith(_PACKED)]
    signs += [name for name in model.names if model.info(name).dtype.startswith("F8_")]
    if signs:
        yield MismatchError(
            f"{label} holds packed weights ({how or 'quantised'}: {signs[0]})",
            where=str(model.path),
            fix="Merge the model it was packed from, or unpack it first.",
        )


def fault_check(error: AppError) -> Check:
    """Show a fault as a check."""
    text = f"{error.where}: {error.what}" if error.where else error.what
    subject = next((name for word, name in _SUBJECTS.items() if word in error.where), "recipe")
    if isinstance(error, MismatchError) and subject == "recipe":
        subject = "tensors"
    return Check(subject, "fault", f"{text}. {error.fix}".rstrip())


def checks_of(job: MergeJob) -> tuple[Check, ...]:
    """Say what fits and what does not, of a merge that can run."""
    return tuple(
        Check(subject, level, text)
        for subject, found in (
            ("families", _families(job)),
            ("tensors", _tensors(job)),
            ("dtypes", _dtypes(job)),
            ("vocabulary", _vocabulary(job)),
            ("tokenizers", _tokenizers(job)),
            ("heads", _heads(job)),
            ("adapters", _adapters(job)),
        )
        for level, text in found
    )


_Found = Iterator[tuple[Level, str]]


def _families(job: MergeJob) -> _Found:
    kinds = {str(model.config.get("model_type") or "") for model in job.inputs}
    if len(kinds) == 1 and "" not in kinds:
        yield "ok", f"All models are {kinds.pop()}."
    else:
        yield "warning", "Not all models say of which family they are; names and shapes fit."


def _tensors(job: MergeJob) -> _Found:
    copied = sum(task.copied is not None for task in job.tasks.values())
    merged = len(job.tasks) - copied
    yield "ok", f"{merged} tensors are merged, {copied} copied; all shapes fit."
    dropped = _dropped(job)
    if dropped:
        some = ", ".join(dropped[:3]) + (", …" if len(dropped) > 3 else "")
        yield "warning", f"{len(dropped)} tensors of the inputs are not in the result ({some})."
    for note in job.notes:
        if note not in job.alignment.notes:
            yield "note", note


def _dropped(job: MergeJob) -> list[str]:
    """Name tensors that no tensor of the result comes from, as slices leave some out."""
    used = {
        (source.model, source.name)
        for task in job.tasks.values()
        for source in (*task.read, *task.sources)
    }
    named = {name for _, name in used}
    return [
        name
        for model in job.inputs
        for name in model.names
        if name not in named and name not in job.tasks
    ]


def _dtypes(job: MergeJob) -> _Found:
    found = {
        job.models.labels[place]: ", ".join(
            sorted({model.info(name).dtype for name in model.names})
        )
        for place, model in job.models.opened.items()
    }
    out = ", ".join(sorted({task.info.dtype for task in job.tasks.values()}))
    if len(set(found.values())) == 1:
        yield "ok", f"All models are {next(iter(found.values()))}; the result is {out}."
    else:
        listed = ", ".join(f"{label}: {dtype}" for label, dtype in found.items())
        yield "note", f"Types differ ({listed}); the result is {out}."


def _vocabulary(job: MergeJob) -> _Found:
    if not job.alignment.notes:
        rows = {tables_of(model).n_rows for model in job.inputs} - {0}
        if rows:
            yield "ok", f"All token matrices have {rows.pop():,} rows."
    for note in job.alignment.notes:
        yield "note", note


def _tokenizers(job: MergeJob) -> _Found:
    known = {}
    for place, model in job.models.opened.items():
        vocabulary = read_vocabulary(model)
        if vocabulary is None:
            yield "warning", f"{job.models.labels[place]} has no {TOKENIZER}: tokens not compared."
        else:
            known[place] = vocabulary
    first = next(iter(known.values()), None)
    if first is None:
        return
    others = [job.models.labels[p] for p, one in known.items() if dict(one.ids) != dict(first.ids)]
    if not others:
        yield "ok", f"All tokenizers that are there have the same {len(first.ids):,} tokens."
    elif job.alignment.n_rows is not None:
        yield "ok", f"{', '.join(others)} have other tokens; rows are matched by token."
    else:
        yield "warning", f"{', '.join(others)} have other tokens; rows are merged by number."


def _heads(job: MergeJob) -> _Found:
    heads = [name for name in job.tasks if is_head(name)]
    tied = [job.models.labels[place] for place, naming in job.models.names.items() if naming.tied]
    if not heads:
        yield "ok", "The result has no head of its own: it is tied to the embedding."
    elif tied:
        yield "note", f"The result has a head; in {', '.join(tied)} the embedding stands for it."
    else:
        yield "ok", "All models have a head of their own."


def _adapters(job: MergeJob) -> _Found:
    for place, model in job.models.opened.items():
        if not isinstance(model, AdapterCheckpoint) or model.base is None:
            continue
        named, used = Path(model.adapter.base).name, model.base.path.name
        if named and named != used:
            label = job.models.labels[place]
            yield "warning", f"{label} was trained on '{named}' and is laid over '{used}'."
        else:
            yield "ok", f"{job.models.labels[place]} is laid over the base that it names."
