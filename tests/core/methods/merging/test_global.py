"""Methods with statistics of the whole model, and those that keep one model an expert."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from deltaworks.errors import OptionError
from deltaworks.methods import MERGING
from deltaworks.methods.merging_record import MergeExpert, MergeInputs, MergingMethod
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.global_ranks import (
    coarse_counts,
    fine_counts,
    joined,
    locate,
    ordered_keys,
    value_of,
)

BASE = [1.0, 1.0, 1.0, 1.0]
A = [1.4, 0.9, 1.3, 1.0]
B = [1.2, 1.3, 0.5, 1.1]
Floats = npt.NDArray[np.float64]


@pytest.mark.parametrize(
    ("method_id", "options", "expected"),
    [
        ("emr", {"expert": 1}, [1.8, 1, 1, 1]),
        ("emr", {"expert": 2}, [1.338462, 1.253846, 0.576923, 1.084615]),
        ("tall-mask", {"expert": 1, "threshold": 0.4}, [1.6, 1, 0.8, 1]),
        ("tall-mask", {"expert": 2, "threshold": 0.4}, [1.6, 1.2, 0.8, 1.1]),
        ("tall-mask", {"expert": 1, "threshold": 1.0}, [1.6, 1, 1, 1]),
        ("tall-mask", {"expert": 2, "threshold": 1.0}, [1, 1.2, 0.8, 1.1]),
        ("pcb", {"ratio": 0.5, "scale": 1.0}, [1.3, 1, 0.7, 1]),
        ("magmax", {"scale": 1.0}, [1.4, 1.3, 0.5, 1.1]),
        ("magmax", {}, [1.2, 1.15, 0.75, 1.05]),
        ("ties-global", {"density": 1.0}, [1.3, 1.3, 0.5, 1.1]),
        ("ties-global", {"density": 0.5}, [1.4, 1.3, 0.5, 1]),
        ("localize-and-stitch", {"density": 1.0}, [1.3, 1.1, 0.9, 1.05]),
        ("localize-and-stitch", {"density": 0.5}, [1.4, 1.3, 0.9, 1]),
    ],
)
def test_hand_computed_cases(
    merged: Any, method_id: str, options: dict[str, Any], expected: list[float]
) -> None:
    found = merged(method_id, BASE, [(A, {}), (B, {})], **options)

    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=0, atol=2e-6)


def test_an_expert_that_is_not_there_is_refused(merged: Any) -> None:
    with pytest.raises(OptionError, match=r"'expert' is 3, with 2 experts"):
        merged("emr", BASE, [(A, {}), (B, {})], expert=3)


def test_of_equal_magnitudes_magmax_takes_the_last(merged: Any) -> None:
    found = merged("magmax", [0.0], [([1.0], {}), ([-1.0], {})], scale=1.0)

    assert found.tolist() == [-1.0]


# --- over several tensors ---------------------------------------------------------------------


def _model(seed: int) -> list[Tensor]:
    """Three tensors whose changes have different lengths."""
    rng = torch.Generator().manual_seed(seed)
    shapes = [(37, 41), (50,), (64, 20)]
    return [torch.randn(shape, generator=rng) * 0.3**number for number, shape in enumerate(shapes)]


def _merge_all(method: MergingMethod, models: list[list[Tensor]], **options: Any) -> list[Tensor]:
    """Merge every tensor of a zero base as the engine does: surveys first, in order."""
    chosen, every, pooled = method.options(**options), [], None
    for tensors in zip(*models, strict=True):
        shape = tuple(tensors[0].shape)
        experts = tuple(MergeExpert(one, method.expert_options()) for one in tensors)
        every.append((TensorSpec("w", shape), torch.zeros(shape), experts))
    for survey in method.surveys:
        total: Any = None
        for one in every:
            found = survey.gather(MergeInputs(*one, pooled), chosen)
            total = found if total is None else survey.add(total, found)
        pooled = survey.finish(total, chosen, pooled)
    return [method.merge(MergeInputs(*one, pooled), chosen) for one in every]


def _flat(model: list[Tensor]) -> Floats:
    return torch.cat([tensor.reshape(-1) for tensor in model]).double().numpy()


def _ties(deltas: Floats, density: float) -> Floats:
    kept = np.zeros_like(deltas)
    for row, delta in zip(kept, deltas, strict=True):
        cut = np.sort(np.abs(delta))[len(delta) - int(len(delta) * density)]
        row[:] = np.where(np.abs(delta) >= cut, delta, 0)
    sign = np.sign(kept.sum(0))
    sign[sign == 0] = np.sign(sign.sum())
    agree = (np.sign(kept) == sign) & (kept != 0)
    result: Floats = (kept * agree).sum(0) / np.maximum(agree.sum(0), 1)
    return result


def _pcb(deltas: Floats, ratio: float) -> Floats:
    n, d = deltas.shape
    size = np.abs(deltas)
    order = np.sort(size, axis=1)
    low, high = order[:, [int(d * 1e-4)]], order[:, [int(d * (1 - 1e-4) - 1)]]
    clamped = np.sign(deltas) * size.clip(low, high)
    own = (size.clip(low, high) - low) / (high - low)
    score = np.exp(n * own**2) * np.tanh(deltas * deltas.sum(0))
    floor = np.sort(score, axis=1)[:, [int(d * (1 - ratio))]]
    beta = (score.clip(floor) - floor) / (score.max(1, keepdims=True) - floor)
    result: Floats = (beta * clamped).sum(0) / np.maximum(beta.sum(0), 1e-12)
    return result


def _stitched(deltas: Floats, density: float) -> Floats:
    masks = []
    for delta in deltas:
        size = np.abs(delta)
        masks.append(size > np.sort(size)[len(size) - int(len(size) * density) - 1])
    mask = np.array(masks)
    result: Floats = (deltas * mask).sum(0) / np.maximum(mask.sum(0), 1)
    return result


def _emr(deltas: Floats, expert: int) -> Floats:
    sign = np.where(deltas.sum(0) > 0, 1.0, -1.0)
    unified = sign * np.where(np.sign(deltas) == sign, np.abs(deltas), 0).max(0)
    mask = deltas[expert] * sign > 0
    result: Floats = mask * unified * np.abs(deltas[expert]).sum() / np.abs(mask * unified).sum()
    return result


@pytest.mark.parametrize(
    ("method_id", "options", "slow"),
    [
        ("ties-global", {"density": 0.2}, lambda d: _ties(d, 0.2)),
        ("ties-global", {"density": 0.55}, lambda d: _ties(d, 0.55)),
        ("pcb", {"ratio": 0.2, "scale": 1.0}, lambda d: _pcb(d, 0.2)),
        ("localize-and-stitch", {"density": 0.1}, lambda d: _stitched(d, 0.1)),
        ("emr", {"expert": 3}, lambda d: _emr(d, 2)),
    ],
)
def test_thresholds_hold_for_the_whole_model(
    method_id: str, options: dict[str, Any], slow: Any
) -> None:
    models = [_model(seed) for seed in (1, 2, 3)]

    found = _merge_all(MERGING[method_id], models, **options)

    expected = slow(np.stack([_flat(model) for model in models]))
    np.testing.assert_allclose(_flat(found), expected, rtol=2e-5, atol=2e-6)


def test_emr_keeps_the_length_of_every_change() -> None:
    models = [_model(seed) for seed in (1, 2, 3)]

    for place, model in enumerate(models):
        found = _flat(_merge_all(MERGING["emr"], models, expert=place + 1))
        assert np.abs(found).sum() == pytest.approx(np.abs(_flat(model)).sum(), rel=1e-5)


@pytest.mark.parametrize("method_id", ["emr", "tall-mask"])
def test_one_expert_alone_comes_back(method_id: str) -> None:
    model = _model(5)

    found = _merge_all(MERGING[method_id], [model])

    for one, other in zip(found, model, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


# --- exact ranks ------------------------------------------------------------------------------


def test_ranks_are_exact_for_any_numbers() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.standard_normal(5000), rng.standard_normal(500) * 1e-30, [0.0, -0.0, 3e38, -3e38]]
    ).astype(np.float32)
    keys = ordered_keys(values)
    counts = coarse_counts(keys)

    for rank in (0, 1, 7, 2500, 2752, 5502, 5503):
        upper, inside = locate(counts, rank)
        lower, _ = locate(fine_counts(keys, upper), inside)
        assert joined(upper, lower) == np.sort(values)[rank]


def test_keys_have_the_order_of_the_numbers() -> None:
    values = np.array([-np.inf, -2.0, -1e-40, 0.0, 1e-40, 1.5, np.inf], dtype=np.float32)

    keys = ordered_keys(values)

    assert list(keys) == sorted(keys)
    assert [value_of(int(key)) for key in keys] == values.tolist()
    assert len(set(ordered_keys(np.array([-0.0, 0.0], dtype=np.float32)).tolist())) == 1
