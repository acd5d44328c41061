from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deltaworks.methods import METHODS, continual_method
from deltaworks.methods.continual import sotu
from deltaworks.methods.continual.sotu import SotuOptions
from deltaworks.methods.method import TensorSpec

FIRST = np.array([0.2, -0.4, 0.1, 0.6], np.float32)
SECOND = np.array([-0.3, 0.1, 0.5, 0.2], np.float32)
MASKS = {1: np.array([1, 0, 1, 0], bool), 2: np.array([0, 1, 1, 1], bool)}


def cosine(a: Any, b: Any) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_the_worked_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sotu, "mask_of", lambda _spec, task, _options: MASKS[task])
    spec, options = TensorSpec("w", (4,)), SotuOptions()
    kept = {1: sotu.thin(FIRST, spec, 1, options), 2: sotu.thin(SECOND, spec, 2, options)}

    merged = sotu.merge(np.zeros(4, np.float32), kept, spec, options)

    a, b = (sotu.widen(kept[task], spec, task, options) for task in (1, 2))
    np.testing.assert_allclose(merged, [0.2, 0.1, 0.6, 0.2], atol=1e-7)
    assert float(a @ b) == pytest.approx(0.05)
    assert cosine(FIRST, SECOND) == pytest.approx(0.148466, abs=1e-6)
    assert cosine(a, b) == pytest.approx(0.408248, abs=1e-6)


def test_masks_shrink_cosines_by_the_share_kept() -> None:
    count, keep = 400_000, 0.1
    rng = np.random.Generator(np.random.Philox(3))
    first, noise = rng.standard_normal((2, count)).astype(np.float32)
    second = 0.5 * first + np.sqrt(0.75, dtype=np.float32) * noise
    spec, options = TensorSpec("w", (count,), 7), SotuOptions(drop_rate=1 - keep)

    a, b = (
        sotu.widen(sotu.thin(one, spec, task, options), spec, task, options)
        for task, one in enumerate((first, second))
    )

    assert cosine(a, b) == pytest.approx(0.05, abs=0.01)
    for one in (a, b):
        share = np.count_nonzero(one) / count
        assert abs(share - keep) < 4 * np.sqrt(keep * (1 - keep) / count)


@pytest.mark.parametrize("rescale", [False, True])
def test_merging_is_the_slow_sum(rescale: bool) -> None:
    rng = np.random.Generator(np.random.Philox(5))
    base, *deltas = rng.standard_normal((4, 6, 5)).astype(np.float32)
    spec = TensorSpec("layer.weight", (6, 5), 2)
    options = SotuOptions(drop_rate=0.6, scale=0.7, rescale=rescale)
    kept = {task: sotu.thin(one, spec, task, options) for task, one in enumerate(deltas)}

    slow = base.astype(np.float64)
    for task, delta in enumerate(deltas):
        mask = sotu.mask_of(spec, task, options)
        for at, (number, is_kept) in enumerate(zip(delta.flat, mask, strict=True)):
            factor = 0.7 / (0.4 if rescale else 1.0)
            slow.flat[at] += factor * float(number) * is_kept

    np.testing.assert_allclose(sotu.merge(base, kept, spec, options), slow, atol=1e-6)


def test_the_ends_are_task_arithmetic_and_the_base() -> None:
    spec, base = TensorSpec("w", (4,)), np.ones(4, np.float32)

    def merged(drop_rate: float) -> Any:
        options = SotuOptions(drop_rate=drop_rate)
        kept = {1: sotu.thin(FIRST, spec, 1, options), 2: sotu.thin(SECOND, spec, 2, options)}
        return sotu.merge(base, kept, spec, options)

    np.testing.assert_allclose(merged(0.0), base + FIRST + SECOND, atol=1e-6)
    np.testing.assert_array_equal(merged(1.0), base)


def test_a_task_that_is_removed_leaves_nothing() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    base, first, second = rng.standard_normal((3, 1000)).astype(np.float32)
    spec, options = TensorSpec("w", (1000,), 4), SotuOptions(drop_rate=0.5, rescale=True)
    kept = {1: sotu.thin(first, spec, 1, options), 2: sotu.thin(second, spec, 2, options)}
    both = sotu.merge(base, kept, spec, options)

    without = sotu.remove(both, kept[2], spec, 2, options)

    alone = sotu.merge(base, {1: kept[1]}, spec, options)
    np.testing.assert_allclose(without, alone, atol=1e-6)
    assert np.abs(both - alone).max() > 0.1


def test_masks_depend_on_seed_name_and_task_alone() -> None:
    options = SotuOptions(drop_rate=0.5)
    specs = [TensorSpec(name, (64,), seed) for name in ("a", "b") for seed in (0, 1)]
    one_way = {(s, t): sotu.mask_of(s, t, options).tobytes() for s in specs for t in (0, 1)}
    other = {(s, t): sotu.mask_of(s, t, options).tobytes() for t in (1, 0) for s in reversed(specs)}

    assert one_way == other
    assert len(set(one_way.values())) == 8


def test_values_of_another_mask_are_refused() -> None:
    spec = TensorSpec("w", (64,))
    with pytest.raises(ValueError, match=r"w: 3 values for \d+ places of task 0"):
        sotu.widen(np.ones(3, np.float32), spec, 0, SotuOptions(drop_rate=0.5))


def test_expected_shares_of_touched_weights() -> None:
    once, twice = sotu.expected_overlap(0.9, 10)

    assert once == pytest.approx(0.651, abs=5e-4)
    assert twice == pytest.approx(0.264, abs=5e-4)


def test_it_is_found_by_its_id() -> None:
    assert continual_method("sotu") is METHODS["sotu"] is sotu.METHOD
