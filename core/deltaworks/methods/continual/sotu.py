"""SoTU: one backbone for many tasks, merged from changes that are thinned at random.

Source: Ning et al., "Sparse Orthogonal Parameters Tuning for Continual Learning",
arXiv:2411.02813. Neither its code nor its full text was at hand: the steps are a
reconstruction after its abstract, and every default is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from deltaworks.methods.continual.record import ContinualMethod, Floats
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.masks import Mask, bernoulli_mask
from deltaworks.options import Options, option

Statistics = Literal["streaming", "re-pass"]
Classifier = Literal["class-mean", "ridge"]


class SotuOptions(Options):
    """Options of SoTU."""

    drop_rate: float = option(
        0.9,
        title="Drop rate",
        help="Chance that a weight's change is dropped. More disturbs earlier tasks less and "
        "teaches the backbone less.",
        ge=0.0,
        le=1.0,
        unit="fraction",
        step=0.01,
        sweepable=True,
        sweep=(0.5, 0.7, 0.8, 0.9, 0.95),
    )
    scale: float = option(
        1.0,
        title="Scale (lambda)",
        help="Multiplies the sum of all thinned changes before it is added to the base.",
        ge=-10.0,
        le=10.0,
        step=0.05,
    )
    rescale: bool = option(
        False,
        title="Rescale",
        help="Divide what is left by the share that is kept, as DARE does. In streaming use this "
        "drags the features of earlier tasks away.",
    )
    statistics: Statistics = option(
        "streaming",
        title="Statistics",
        help="Streaming computes each task's statistics once, while its data are there. Re-pass "
        "computes them all again with the last backbone, which needs all data.",
        labels={"streaming": "Streaming", "re-pass": "Re-pass over all data"},
    )
    classifier: Classifier = option(
        "class-mean",
        title="Classifier",
        help="Class means compare directions; ridge solves a regression on random projections.",
        labels={"class-mean": "Class means", "ridge": "Ridge (RanPAC)"},
    )
    projection: int = option(
        2000,
        title="Random projection",
        help="Columns of the ridge classifier's random projection; 0 takes features as they are.",
        ge=0,
        le=20_000,
        advanced=True,
    )


def mask_of(spec: TensorSpec, task: int, options: SotuOptions) -> Mask:
    """Draw which entries a task keeps: a function of seed, tensor name and task alone."""
    count = int(np.prod(spec.shape, dtype=np.int64))
    return bernoulli_mask(spec.seed, spec.name, count, options.drop_rate, f"task {task}")


def thin(delta: Floats, spec: TensorSpec, task: int, options: SotuOptions) -> Floats:
    """Keep the entries of a task's mask, one after the other."""
    kept: Floats = delta.astype(np.float32, copy=False).reshape(-1)[mask_of(spec, task, options)]
    return kept


def widen(values: Floats, spec: TensorSpec, task: int, options: SotuOptions) -> Floats:
    """Put kept entries back to their places, rescaled where that is asked for."""
    mask = mask_of(spec, task, options)
    if len(values) != np.count_nonzero(mask):
        raise ValueError(
            f"{spec.name}: {len(values)} values for {np.count_nonzero(mask)} places of task {task}"
        )
    found = np.zeros(len(mask), dtype=np.float32)
    found[mask] = values
    if options.rescale and options.drop_rate < 1.0:
        found /= np.float32(1.0 - options.drop_rate)
    return found.reshape(spec.shape)


def merge(
    base: Floats, kept: Mapping[int, Floats], spec: TensorSpec, options: SotuOptions
) -> Floats:
    """Give ``base + scale * sum of thinned changes``; tasks are summed by number."""
    total = np.zeros(spec.shape, dtype=np.float32)
    for task in sorted(kept):
        total += widen(kept[task], spec, task, options)
    merged: Floats = base + np.float32(options.scale) * total
    return merged


def remove(
    merged: Floats, values: Floats, spec: TensorSpec, task: int, options: SotuOptions
) -> Floats:
    """Take one task out of a merged tensor again."""
    found: Floats = merged - np.float32(options.scale) * widen(values, spec, task, options)
    return found


def expected_overlap(drop_rate: float, n_tasks: int) -> tuple[float, float]:
    """Give the shares of entries that at least one and at least two tasks are expected to touch."""
    none = drop_rate**n_tasks
    one = n_tasks * (1.0 - drop_rate) * drop_rate ** (n_tasks - 1) if n_tasks else 0.0
    return 1.0 - none, max(0.0, 1.0 - none - one)


METHOD = ContinualMethod(
    id="sotu",
    title="SoTU (reconstructed)",
    family="continual",
    summary="Thins every task's change at random and adds them all to one backbone.",
    source="arXiv:2411.02813 (after its abstract), arXiv:2307.02251 (ridge)",
    options=SotuOptions,
    evidence="A reconstruction after the abstract; the authors' code and tables were not at hand.",
    is_random=True,
    thin=thin,
    widen=widen,
    merge=merge,
)
