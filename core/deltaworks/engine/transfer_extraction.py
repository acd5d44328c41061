"""From a larger model's weights to factors of a smaller one's: sensitivities, layers, blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.engine.transfer_types import Place, TransferJob
from deltaworks.inference.running import load_model
from deltaworks.inference.slots import match
from deltaworks.methods.transfer.record import Block, Factors, Scores
from deltaworks.methods.transfer.starts import factors_of
from deltaworks.numerics.similarity import start_cosines
from deltaworks.progress import JobControl, Progress
from deltaworks.training.sensitivity import Sensitivity, sensitivity

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.engine.execution import Run
    from deltaworks.training.answers import Lesson

_MOST_CELLS = 48


def extract(
    job: TransferJob, lessons: list[Lesson], run: Run, control: JobControl
) -> tuple[dict[str, Factors], dict[str, Any]]:
    """Give factors by tensor of the target, and what was found on the way."""
    with run.stage("sensitivity"):
        found = _sensitivity(job, lessons, control)
    scores = layer_scores(job, found)
    chosen = job.method.layers(scores, job.depth[1], job.recipe.seed, job.options)
    facts: dict[str, Any] = {"layer_scores": scores, "layers": chosen, "matrices": []}
    starts: dict[str, Factors] = {}
    with run.stage("extraction"):
        for number, place in enumerate(job.places):
            stage = f"extraction · {place.info.name}"
            control.step(Progress(len(lessons) + number, 0, stage))
            name = job.sources[chosen[place.block], place.layer]
            matrix: Scores = found.matrices.pop(name).cpu().numpy()
            shape = (place.info.shape[0], place.info.shape[1])
            block = job.method.block(matrix, shape, job.recipe.seed, place.info.name, job.options)
            extracted = cut(job.source.read(name), block)
            start = job.method.start(extracted, place.info.name, job.options)
            starts[place.info.name] = start
            facts["matrices"].append(_facts(job, place, name, block, start))
            if "heat" not in facts:
                facts["heat"] = _heat(matrix, block, name)
    return starts, facts


def _sensitivity(job: TransferJob, lessons: list[Lesson], control: JobControl) -> Sensitivity:
    device = job.recipe.device
    running = load_model(job.source, device=device, control=control.silent())
    tensors = {one.source: one.slot.tensor for one in match(running.model, job.source)}
    kinds = {place.layer for place in job.places}
    kept = {name for (_, layer), name in job.sources.items() if layer in kinds}
    return sensitivity(running.model, tensors, lessons, kept, control, device=device)


def layer_scores(job: TransferJob, found: Sensitivity) -> list[float]:
    """Sum the sensitivities of each layer of the source; the mean where layers differ in size."""
    from deltaworks.checkpoints import roles_of

    roles = roles_of([job.source.info(name) for name in found.totals], job.source.config)
    sums, counts = [0.0] * job.depth[0], [0] * job.depth[0]
    for name, role in roles.items():
        if role.block is not None:
            sums[role.block] += found.totals[name]
            counts[role.block] += found.counts[name]
    if len(set(counts)) == 1:
        return sums
    return [total / max(1, count) for total, count in zip(sums, counts, strict=True)]


def cut(matrix: Tensor, block: Block) -> Tensor:
    """Take a block out of a matrix, float32."""
    import torch

    rows, cols = torch.from_numpy(block.rows), torch.from_numpy(block.cols)
    return matrix[rows].float()[:, cols]


def _facts(job: TransferJob, place: Place, name: str, block: Block, start: Factors) -> Any:
    tensor = job.target.read(place.info.name).float()
    weight = tensor.numpy()
    product = job.scale * start.product().numpy()
    with_weight, with_rest = start_cosines(product, weight)
    own = {}
    if any(arm.startswith("pissa") for arm in job.recipe.arms):
        principal = job.scale * factors_of(tensor, job.options.rank, place.info.name).product()
        pair = start_cosines(principal.numpy(), weight)
        own = {"pissa_cosine_weight": pair[0], "pissa_cosine_rest": pair[1]}
    return {
        **own,
        "tensor": place.info.name,
        "block": place.block,
        "layer": place.layer,
        "source": name,
        "top": int(block.rows[0]),
        "left": int(block.cols[0]),
        "share": block.share,
        "cosine_weight": with_weight,
        "cosine_rest": with_rest,
        "relative_norm": float(np.linalg.norm(product)) / max(1e-30, float(np.linalg.norm(weight))),
    }


def _heat(scores: Scores, block: Block, name: str) -> dict[str, Any]:
    """Sum the scores of one matrix over cells, for a picture of it."""
    edges = [np.linspace(0, n, min(n, _MOST_CELLS) + 1).astype(int)[:-1] for n in scores.shape]
    cells = np.add.reduceat(np.add.reduceat(scores, edges[0], axis=0), edges[1], axis=1)
    return {
        "tensor": name,
        "cells": cells.astype(float).tolist(),
        "shape": list(scores.shape),
        "rows": [int(block.rows[0]), int(block.rows[-1]) + 1],
        "cols": [int(block.cols[0]), int(block.cols[-1]) + 1],
    }
