"""Whether the models of a repair belong together; every answer is one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.roles import TensorRole
from deltaworks.errors import AppError, MismatchError
from deltaworks.numerics.words import to_float32

SHOWN = 20
"""Offending tensors that are listed."""
_TABLES = ("embedding", "head")
_FAR = 0.9
"""Relative distance above which a model is no fine-tune: of two strangers it is about 1.4."""
_SAMPLED, _ROWS = 3, 64
_OTHER_PARENT = "Choose the aligned model that this one was tuned from"


def quantised(model: Checkpoint, names: Sequence[str]) -> Iterator[AppError]:
    """Refuse weights that are stored in a few bits."""
    config = model.config.get("quantization_config")
    odd = [name for name in names if name in model and not model.info(name).is_floating]
    if not config and not odd:
        return
    how = str(config.get("quant_method", "")) if isinstance(config, Mapping) else ""
    kind = how or (model.info(odd[0]).dtype if odd else "")
    what = f"is quantised ({kind})" if kind else "is quantised"
    yield MismatchError(what, where=str(model.path), fix="Dequantise it first")


def same_tensors(
    aligned: Checkpoint, tuned: Checkpoint, roles: Mapping[str, TensorRole]
) -> Iterator[AppError]:
    """Both models must have the same tensors, but for new words in the fine-tune."""
    is_tied = bool(aligned.config.get("tie_word_embeddings"))
    texts = []
    for name in dict.fromkeys((*aligned.names, *tuned.names)):
        role = roles[name].role
        if role == "buffer" or (is_tied and role == "head"):
            continue
        if name not in tuned or name not in aligned:
            owner = "aligned model" if name in aligned else "fine-tune"
            texts.append(f"{name} only in the {owner}")
            continue
        ours, theirs = tuned.info(name).shape, aligned.info(name).shape
        if ours != theirs and not grows(ours, theirs, roles[name]):
            texts.append(f"{name} is {ours} here, {theirs} in the aligned model")
    if not texts:
        return
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    count = "1 tensor does" if len(texts) == 1 else f"{len(texts)} tensors do"
    what = f"{count} not fit: {'; '.join(texts[:SHOWN])}{more}"
    yield MismatchError(what, where=str(tuned.path), fix=_OTHER_PARENT)


def grows(ours: tuple[int, ...], theirs: tuple[int, ...], role: TensorRole) -> bool:
    """Whether a fine-tune has further rows in a table of words."""
    is_table = role.role in _TABLES or role.block is None
    return is_table and len(ours) == len(theirs) > 0 and (
        ours[1:] == theirs[1:] and ours[0] > theirs[0]
    )  # fmt: skip


def same_shapes(model: Checkpoint, aligned: Checkpoint, names: Sequence[str]) -> Iterator[AppError]:
    """A further model must have what is repaired, in the same shapes."""
    texts = []
    for name in names:
        if name not in model:
            texts.append(f"{name} is missing")
        elif model.info(name).shape != aligned.info(name).shape:
            shapes = f"{model.info(name).shape} here, {aligned.info(name).shape}"
            texts.append(f"{name} is {shapes} in the aligned model")
    if texts:
        more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
        what = f"does not fit the aligned model: {'; '.join(texts[:SHOWN])}{more}"
        yield MismatchError(what, where=str(model.path), fix="Choose a model of the same family")


def other_parent(
    aligned: Checkpoint, tuned: Checkpoint, names: Sequence[str]
) -> Iterator[AppError]:
    """Refuse a fine-tune whose weights have nothing to do with the aligned model's."""
    chosen = [names[place * len(names) // _SAMPLED] for place in range(min(_SAMPLED, len(names)))]
    distances = []
    for name in chosen:
        theirs, ours = (_sample(model, name) for model in (aligned, tuned))
        size = float(np.linalg.norm(theirs))
        if size:
            distances.append(float(np.linalg.norm(ours - theirs)) / size)
    if distances and min(distances) > _FAR:
        what = (
            f"is no fine-tune of {aligned.path.name}: its weights lie {min(distances):.2f} "
            "times that model's norm away from it"
        )
        yield MismatchError(what, where=str(tuned.path), fix=_OTHER_PARENT)


def _sample(model: Checkpoint, name: str) -> np.ndarray[Any, Any]:
    rows = slice(0, min(_ROWS, model.info(name).shape[0]))
    return to_float32(model.read_words(name, rows), model.info(name).dtype)
