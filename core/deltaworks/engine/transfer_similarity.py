"""How alike two models' layers answer the same texts, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.calibration.sequences import make_sequences
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.engine.transfer_checks import layers_of
from deltaworks.engine.transfer_types import TransferJob
from deltaworks.inference.running import RunningModel, load_model
from deltaworks.inference.slots import match
from deltaworks.numerics.similarity import linear_cka
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from deltaworks.engine.execution import Run

_KINDS = ("up_proj", "down_proj", "v_proj", "o_proj")
_MOST_TEXTS = 512
_ENOUGH = 128
_FEWEST_UNBIASED = 4

Features = dict[tuple[int, str], np.ndarray[Any, np.dtype[np.float32]]]


def similarity_of(job: TransferJob, run: Run, control: JobControl) -> dict[str, Any]:
    """Compare every layer of the source with every layer of the target, module by module.

    Features are the modules' outputs at the last token of each text.
    """
    texts = job.texts.get("control_data") or job.texts["held_out"]
    with run.stage("similarity"):
        theirs = _features(job, job.source, control.part(0, 0, "source"))
        ours = _features(job, job.target, control.part(0, 0, "target"))
    n_texts = len(next(iter(ours.values())))
    if n_texts < _ENOUGH:
        run.warn(f"similarity of {n_texts} texts: with fewer than {_ENOUGH} plain CKA is too high")
    kinds = list(dict.fromkeys(layer for _, layer in ours))
    return {
        "texts": texts.source,
        "n_texts": n_texts,
        "kinds": [_kind(one, theirs, ours, n_texts) for one in kinds],
    }


def _kind(layer: str, theirs: Features, ours: Features, n_texts: int) -> dict[str, Any]:
    rows = sorted(block for block, one in ours if one == layer)
    cols = sorted(block for block, one in theirs if one == layer)

    def table(unbiased: bool) -> list[list[float]]:
        return [
            [linear_cka(ours[row, layer], theirs[col, layer], unbiased=unbiased) for col in cols]
            for row in rows
        ]

    found: dict[str, Any] = {"layer": layer, "cka": table(False)}
    if n_texts >= _FEWEST_UNBIASED:
        found["unbiased"] = table(True)
    return found


def _features(job: TransferJob, model: Checkpoint, control: JobControl) -> Features:
    """Run every text through one model alone; give what its modules put out at the end."""
    import torch

    recipe = job.recipe
    running = load_model(model, device=recipe.device, control=control.silent())
    texts = job.texts.get("control_data") or job.texts["held_out"]
    sequences = make_sequences(
        texts,
        running.text_tokenizer,
        samples=min(recipe.samples, _MOST_TEXTS),
        tokens=min(recipe.tokens, running.context),
    )
    found: dict[tuple[int, str], list[Tensor]] = {}
    with ExitStack() as hooks, torch.inference_mode():
        for place, module in _modules(model, running):
            found[place] = []
            hooks.callback(module.register_forward_hook(_keeping(found[place])).remove)
        for number, ids in enumerate(sequences.ids):
            stage = f"similarity · text {number + 1}/{len(sequences.ids)}"
            control.step(Progress(0, 0, stage))
            prompt = ids[: sequences.answers[number]] or ids
            tokens = torch.tensor([prompt], device=recipe.device)
            running.model(input_ids=tokens, use_cache=False)
    return {place: torch.stack(rows).numpy() for place, rows in found.items()}


def _keeping(rows: list[Tensor]) -> Callable[..., None]:
    def keep(_: Module, __: tuple[Tensor, ...], out: Tensor) -> None:
        rows.append(out[0, -1].float().cpu().clone())

    return keep


def _modules(model: Checkpoint, running: RunningModel) -> list[tuple[tuple[int, str], Module]]:
    layers = layers_of(model)
    usual = {one for one in layers if one[1].rpartition(".")[2] in _KINDS} or set(layers)
    names: Mapping[str, tuple[int, str]] = {layers[one].name: one for one in usual}
    return [
        (
            names[filling.source],
            running.model.get_submodule(filling.slot.names[0].rpartition(".")[0]),
        )
        for filling in match(running.model, model)
        if filling.source in names
    ]
