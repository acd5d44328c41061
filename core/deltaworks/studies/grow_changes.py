"""Facts of the tasks' changes: cosines, norms and overlap, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.continual.sotu import SotuOptions, expected_overlap, mask_of
from deltaworks.methods.method import TensorSpec

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """Of all tasks together; see ``grow_record.GrowResult``."""

    cosines: npt.NDArray[np.float64]
    thinned_cosines: npt.NDArray[np.float64]
    norms: npt.NDArray[np.float64]
    sum_norms: tuple[float, float]
    touched: tuple[float, float]
    expected_touched: tuple[float, float]


def change_facts(
    specs: Iterable[TensorSpec],
    read: Callable[[int, str], Floats],
    numbers: tuple[int, ...],
    options: SotuOptions,
) -> ChangeFacts:
    """Compare the tasks' changes, as they are and thinned.

    Args:
        specs: of all tensors.
        read: place of a task and tensor name to its dense change.
        numbers: of the tasks, that their masks are drawn with.
        options: of SoTU.
    """
    n_tasks = len(numbers)
    dense, thinned = np.zeros((2, n_tasks, n_tasks))
    sums, once, twice, count = np.zeros(2), 0, 0, 0
    factor = 1.0 / (1.0 - options.drop_rate) if options.rescale and options.drop_rate < 1 else 1.0
    for spec in specs:
        rows = np.stack([read(at, spec.name).reshape(-1) for at in range(n_tasks)])
        masks = np.stack([mask_of(spec, number, options) for number in numbers])
        left = rows * masks
        dense += _inner(rows)
        thinned += _inner(left)
        sums += [np.square(one.sum(0, dtype=np.float64)).sum() for one in (rows, factor * left)]
        touches = masks.sum(0)
        once += int((touches >= 1).sum())
        twice += int((touches >= 2).sum())
        count += rows.shape[1]
    return ChangeFacts(
        _cosines(dense),
        _cosines(thinned),
        np.sqrt(np.diag(dense)),
        (float(np.sqrt(sums[0])), float(np.sqrt(sums[1]))),
        (once / count, twice / count),
        expected_overlap(options.drop_rate, n_tasks),
    )


def _inner(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    plain = rows.astype(np.float64)
    found: npt.NDArray[np.float64] = plain @ plain.T
    return found


def _cosines(inner: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    norms = np.sqrt(np.diag(inner))
    scale = np.outer(norms, norms)
    found: npt.NDArray[np.float64] = np.zeros_like(inner)
    np.divide(inner, scale, out=found, where=scale > 0)
    return found
